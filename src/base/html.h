/**
 * @file
 * Pages of HTML that stand alone: escaping, the frame of a page with its style, no scripts and
 * nothing fetched. Light and dark follow the reader's setting; wide content scrolls in its own box.
 *
 * Classes that the style knows:
 *     scroll    a box that scrolls sideways (give it tabindex="0" role="region" aria-label="...")
 *     num       a number: right-aligned, figures of one width
 *     best      the best value of its column or row
 *     lead      the paragraph under the headline
 *     quiet     secondary text, small
 *     why       a reason in a small of a cell: it may wrap
 *     bar       a cell with `<i style="width:N%">` as a bar behind its number
 *     chart     a figure with an SVG; in it: grid, axis, line-1, line-2, dot-1, dot-2, whisker-1,
 *               whisker-2, key-1, key-2, label
 *     charts    charts beside each other where there is room
 *     facts     a dl of div's with dt and dd: the few numbers that matter
 *     samples   sample texts, each in a div of class sample with a dl
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_BASE_HTML_H
#define OD_BASE_HTML_H

#include <stddef.h>

#include "base/memory.h"

/**
 * Append text so that it stands for itself in an element or a quoted attribute: & < > " ' are
 * escaped, invalid UTF-8 and control characters (but tab and newline) become U+FFFD.
 */
void od_html_text(struct od_buf *out, const char *text);
void od_html_text_n(struct od_buf *out, const char *text, size_t size);

/** Everything up to and including `<main>` and the headline. `title` and `lead` are escaped; `lead`
 *  may be NULL. */
void od_html_begin(struct od_buf *out, const char *title, const char *lead);
/** Everything from `</main>` on. */
void od_html_end(struct od_buf *out);

#endif
