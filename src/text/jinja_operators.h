/**
 * @file
 * Operators of templates. As in jinja_internal.h, false means that the rendering has failed.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_TEXT_JINJA_OPERATORS_H
#define OD_TEXT_JINJA_OPERATORS_H

#include <stdbool.h>

#include "text/jinja_internal.h"

/** a operator b, for + - * / // % ** and ~. */
bool od_jinja_binary(struct od_jinja_render *r, const char *operator,
                     const struct od_jinja_value * a, const struct od_jinja_value *b,
                     struct od_jinja_value *ret);
/** a operator b, for == != < <= > >=, in and not in. */
bool od_jinja_compare(struct od_jinja_render *r, const char *operator,
                      const struct od_jinja_value * a, const struct od_jinja_value *b, bool *ret);

#endif
