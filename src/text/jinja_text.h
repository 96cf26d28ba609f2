/**
 * @file
 * What methods and filters of templates share. As in jinja_internal.h, false means that the
 * rendering has failed.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_TEXT_JINJA_TEXT_H
#define OD_TEXT_JINJA_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "text/jinja_internal.h"

/** How the case of letters is changed, one code point for one. */
enum od_jinja_case_kind {
    OD_JINJA_UPPER,
    OD_JINJA_LOWER,
    OD_JINJA_CAPITALIZE,  ///< the first upper, the others lower
    OD_JINJA_TITLE,       ///< each that stands behind no letter upper (the method)
    OD_JINJA_TITLE_WORDS  ///< each that stands behind white space or a bracket upper (the filter)
};

/** Take white space (`set` NULL or None) or the characters of `set` off the ends. */
bool od_jinja_strip(struct od_jinja_render *r, const struct od_jinja_value *text,
                    const struct od_jinja_value *set, bool left, bool right,
                    struct od_jinja_value *ret);
/** Change the case of letters. */
bool od_jinja_case(struct od_jinja_render *r, const struct od_jinja_value *text,
                   enum od_jinja_case_kind kind, struct od_jinja_value *ret);
/** Replace `old` by `with`, at most `count` times (below 0: each time). */
bool od_jinja_replace(struct od_jinja_render *r, const struct od_jinja_value *text,
                      const struct od_jinja_value *old, const struct od_jinja_value *with,
                      int64_t count, struct od_jinja_value *ret);
/** The members of a mapping as a list of pairs. */
bool od_jinja_pairs(struct od_jinja_render *r, const struct od_jinja_value *dict,
                    struct od_jinja_value *ret);

#endif
