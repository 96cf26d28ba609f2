/**
 * @file
 * How long a pass takes on a GPU, told from its program: each operation by the arithmetic or the
 * memory traffic that it cannot do without, times what our kernels reach of the card's rates.
 *
 * The shares were measured on an H200 (docs/design/speed-log-gpu.md); other cards are taken to reach
 * the same ones.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_PLAN_COST_H
#define OD_PLAN_COST_H

#include <stdbool.h>
#include <stdint.h>

#include "model/program.h"
#include "ops/gpu.h"

/** A card: what is known of it before anything runs there. */
struct od_card {
    const char *name;    ///< "rtx-4090"
    const char *title;   ///< "NVIDIA GeForce RTX 4090"
    uint64_t bytes;      ///< of memory
    double flops_per_s;  ///< of large bf16 products
    double bytes_per_s;  ///< of large copies, read and written counted
    double watts;        ///< while it trains
    bool measured;       ///< false: rates from published figures
    double e4m3;         ///< products of eight-bit floats: times flops_per_s; 0: there are none
};

/** The cards of the challenge's tracks and some others; NULL-terminated by name. */
const struct od_card *od_cards(void);
/** By name, or by the title that the driver gives; NULL: not known. */
const struct od_card *od_card_find(const char *name);
const struct od_card *od_card_titled(const char *title);

/** Seconds of a forward and backward pass whose documents are `document` tokens long and whose rows
 *  all have a share `labelled` of targets. The program is a half one. */
double od_cost_pass(const struct od_program *program, const struct od_card *card, double document,
                    double labelled);
/** Seconds of the optimiser's part of a step. */
double od_cost_update(const struct od_program *program, const struct od_card *card);

/** The floor of a step of `passes` passes, all rows labelled, by part: seconds of its arithmetic or its
 *  traffic at the card's full rates. Products of weights may come out below it, since `flops_per_s` is
 *  that of normal data, for which a card draws more power. */
void od_cost_floor(const struct od_program *program, const struct od_card *card, double document,
                   double passes, double seconds[OD_GPU_PART_COUNT]);

#endif
