/**
 * @file
 * GET /openapi.json: the description of all endpoints, made from the tables that read the requests.
 * @source OpenAPI 3.0.2.
 * @thread Re-entrant.
 */
#ifndef OD_SERVE_OPENAPI_H
#define OD_SERVE_OPENAPI_H

#include "base/memory.h"

/** The whole document. */
void od_openapi_write(struct od_buf *out);

#endif
