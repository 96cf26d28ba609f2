/**
 * @file
 * The page at /: talk to one or two models of the server side by side, with the probability of every
 * token. Plain HTML and one script (chat.js), which asks the server's own API.
 * @thread Re-entrant.
 */
#ifndef OD_SERVE_CHAT_PAGE_H
#define OD_SERVE_CHAT_PAGE_H

#include "base/memory.h"

/** The page for a model of that name. */
void od_chat_page_write(struct od_buf *out, const char *model);
/** Its script. */
void od_chat_script_write(struct od_buf *out);

#endif
