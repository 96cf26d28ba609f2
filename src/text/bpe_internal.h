/**
 * @file
 * What the files of byte-pair encoding share.
 *
 * @thread See bpe.h.
 */
#ifndef OD_TEXT_BPE_INTERNAL_H
#define OD_TEXT_BPE_INTERNAL_H

#include <stdint.h>

#include "base/status.h"
#include "text/bpe.h"

/** `pair` of an empty entry of the merge table. */
#define OD_BPE_NO_PAIR UINT64_MAX

/** Fill `joints` from the merges. @error OD_E_MEMORY. */
enum od_status od_bpe_find_joints(struct od_bpe *bpe, struct od_error *err) OD_MUST_CHECK;

#endif
