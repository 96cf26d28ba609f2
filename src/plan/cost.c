#include "plan/cost.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model/program.h"
#include "ops/gpu.h"
#include "ops/op.h"

// Products of eight-bit floats where the library takes scales of rows were measured at 1370 TFLOP/s; where
// it does not, the own kernel has not been measured yet and counts as bf16.
static const struct od_card cards[] = {
    {"rtx-4090", "NVIDIA GeForce RTX 4090", 25757220864, 150e12, 0.93e12, 430.0, false, 1.0},
    {"a100-40gb", "NVIDIA A100-SXM4-40GB", 42505076736, 250e12, 1.35e12, 390.0, false, 0.0},
    {"a100-80gb", "NVIDIA A100-SXM4-80GB", 85899345920, 250e12, 1.75e12, 390.0, false, 0.0},
    {"h100", "NVIDIA H100 80GB HBM3", 85520809984, 640e12, 2.9e12, 690.0, true, 2.09},
    {"h200", "NVIDIA H200", 150754820096, 655e12, 4.1e12, 690.0, true, 2.09},
    {"rtx-3090", "NVIDIA GeForce RTX 3090", 25769803776, 66e12, 0.86e12, 350.0, false, 0.0},
    {"l4", "NVIDIA L4", 24152899584, 90e12, 0.26e12, 72.0, false, 1.0},
    {NULL, NULL, 0, 0.0, 0.0, 0.0, false, 0.0},
};

// What our kernels reach of a card's rates.
static const double PRODUCT = 1.10;  // weights and activations switch fewer bits than normal data
static const double ATTENTION = 0.55;
static const double ATTENTION_BWD = 0.435;
static const double NORM = 0.52;
static const double ROPE = 0.76;
static const double SKINNY = 0.57;  // adapters: as good as they read their inputs
static const double DECODE = 0.63;
static const double STREAM = 0.95;       // activations, sums, the optimiser
static const double COLUMNS = 0.5;       // sums over rows: gradients of biases
static const double NORM_SUMS = 0.26;    // two of them beside a norm's backward pass
static const double LOGIT_BYTES = 13.0;  // written, read for the loss, rewritten as gradients
static const double TILE = 128.0;        // rows and columns that a product computes at a time

// What an operation's launches take at the least, recorded as a graph.
static const double LEAST_S = 6e-6;

const struct od_card *od_cards(void)
{
    return cards;
}

const struct od_card *od_card_find(const char *name)
{
    for (size_t i = 0; cards[i].name; i++) {
        if (strcmp(cards[i].name, name) == 0) {
            return &cards[i];
        }
    }
    return NULL;
}

const struct od_card *od_card_titled(const char *title)
{
    for (size_t i = 0; cards[i].name; i++) {
        if (strcmp(cards[i].title, title) == 0) {
            return &cards[i];
        }
    }
    return NULL;
}

// One pass, and what is added up about it.
struct pass {
    const struct od_card *card;
    double rows;
    double document;
    double labelled;
    double *floor;  // [OD_GPU_PART_COUNT] seconds at the card's full rates; NULL: not wanted
};

static double at_share(const struct pass *p, enum od_gpu_part part, double ideal_s, double share)
{
    if (p->floor) {
        p->floor[part] += ideal_s;
    }
    return ideal_s / share;
}

static double arithmetic(const struct pass *p, enum od_gpu_part part, double flops, double share)
{
    return at_share(p, part, flops / p->card->flops_per_s, share);
}

static double traffic(const struct pass *p, enum od_gpu_part part, double bytes, double share)
{
    return at_share(p, part, bytes / p->card->bytes_per_s, share);
}

static double product(const struct pass *p, enum od_gpu_part part, double m, double n, double k)
{
    const double tiles = ceil(m / TILE) * ceil(n / TILE);
    const double full = 2.0 * TILE * TILE * k * tiles;
    return arithmetic(p, part, 2.0 * m * n * k, PRODUCT * 2.0 * m * n * k / full);
}

// Rows rounded to eight bits, and multiplied so.
static double product_e4m3(const struct pass *p, enum od_gpu_part part, double n, double k)
{
    const double rate = p->card->e4m3 > 0.0 ? p->card->e4m3 : 1.0;
    const double tiles = ceil(p->rows / TILE) * ceil(n / TILE);
    const double share = p->rows * n / (TILE * TILE * tiles);
    return arithmetic(p, part, 2.0 * p->rows * n * k / rate, share) +
           traffic(p, OD_GPU_PART_DECODE, 3.0 * p->rows * k, STREAM);
}

// What goes beside the product of codes: the adapter's share is written first.
static double linear_e4m3(const struct pass *p, const struct od_op *op)
{
    const double n = (double)op->n;
    const double k = (double)op->k;
    double seconds = product_e4m3(p, OD_GPU_PART_PRODUCT, n, k);
    if (op->fold > 0) {
        seconds += traffic(p, OD_GPU_PART_ADAPTER, 2.0 * p->rows * (n + k), SKINNY);
    }
    return seconds;
}

static double input_gradient_e4m3(const struct pass *p, const struct od_op *op)
{
    const double n = (double)op->n;
    const double k = (double)op->k;
    double seconds = product_e4m3(p, OD_GPU_PART_PRODUCT_BWD_X, k, n);
    seconds += traffic(p, OD_GPU_PART_DECODE, 2.0 * n * k, DECODE);  // the codes, turned
    if (op->fold > 0) {
        seconds += traffic(p, OD_GPU_PART_ADAPTER_BWD, 2.0 * p->rows * k, SKINNY);
    }
    return seconds;
}

static double decode(const struct pass *p, const struct od_op *op)
{
    if (op->quant == OD_QUANT_E4M3) {
        return 0.0;
    }
    const double bytes =
        op->quant == OD_QUANT_NONE ? 0.0 : (op->quant == OD_QUANT_NF4 ? 2.52 : 3.0);
    return traffic(p, OD_GPU_PART_DECODE, bytes * (double)op->n * (double)op->k, DECODE);
}

static double linear(const struct pass *p, const struct od_op *op)
{
    const double n = (double)op->n;
    const double k = (double)op->k;
    if (op->quant == OD_QUANT_E4M3) {
        return linear_e4m3(p, op);
    }
    double seconds =
        decode(p, op) + product(p, OD_GPU_PART_PRODUCT, p->rows, n, k + (double)op->fold);
    if (op->fold > 0) {
        seconds += traffic(p, OD_GPU_PART_ADAPTER, 2.0 * p->rows * k, SKINNY);
    }
    return seconds;
}

static double linear_bwd(const struct pass *p, const struct od_op *op)
{
    const double n = (double)op->n;
    const double k = (double)op->k;
    double seconds = decode(p, op);
    if (op->slot[OD_SLOT_DX] >= 0 && op->quant == OD_QUANT_E4M3) {
        seconds += input_gradient_e4m3(p, op);
    } else if (op->slot[OD_SLOT_DX] >= 0) {
        seconds += product(p, OD_GPU_PART_PRODUCT_BWD_X, p->rows, k, n + (double)op->fold);
    }
    if (op->slot[OD_SLOT_DW] >= 0) {  // added to what is there, in fp32
        seconds += product(p, OD_GPU_PART_PRODUCT_BWD_W, n, k, p->rows);
        seconds += traffic(p, OD_GPU_PART_PRODUCT_BWD_W, 8.0 * n * k, STREAM);
    }
    if (op->slot[OD_SLOT_DBIAS] >= 0) {
        seconds += traffic(p, OD_GPU_PART_ADD, 2.0 * p->rows * n, COLUMNS);
    }
    if (op->fold > 0) {
        seconds += traffic(p, OD_GPU_PART_ADAPTER_BWD, 2.0 * p->rows * n, SKINNY);
        seconds += traffic(p, OD_GPU_PART_ADAPTER_BWD_W, 2.0 * p->rows * (n + k), SKINNY);
    }
    if (op->refold) {
        seconds += traffic(p, OD_GPU_PART_ADAPTER, 2.0 * p->rows * k, SKINNY);
    }
    return seconds;
}

// What attention reaches with heads of so many channels beside those of 128.
static double of_heads(int32_t head_dim)
{
    static const struct {
        int32_t head_dim;
        double share;
    } known[] = {{64, 0.74}, {80, 0.43}, {96, 0.48}, {256, 0.35}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].head_dim == head_dim) {
            return known[i].share;
        }
    }
    return 1.0;
}

// What attention reaches in long documents beside those of 2048 tokens: tiles on the diagonal are half
// wasted, and the longer a document, the fewer they are. 1.56 was measured at 79872.
static double of_length(double document)
{
    static const double known = 2048.0;
    static const double more = 0.58;
    return document > known ? (1.0 + more) * document / (document + more * known) : 1.0;
}

// A query sees half of its document.
static double attention(const struct pass *p, const struct od_op *op, double units, double share)
{
    const double seen =
        op->window > 0 && (double)op->window < p->document ? (double)op->window : p->document / 2.0;
    const double width = (double)op->heads * (double)op->head_dim;
    return arithmetic(p, od_gpu_part_of(op->kind), 2.0 * units * p->rows * seen * width,
                      share * of_heads(op->head_dim) * of_length(2.0 * seen));
}

static double head(const struct pass *p, const struct od_op *op)
{
    const double products =
        1.0 + (op->slot[OD_SLOT_DX] >= 0 ? 1.0 : 0.0) + (op->slot[OD_SLOT_DW] >= 0 ? 1.0 : 0.0);
    const double rows = p->rows * p->labelled;
    const double n = (double)op->n;
    const double k = (double)op->k;
    double seconds = products * product(p, OD_GPU_PART_HEAD, rows, n, k) +
                     traffic(p, OD_GPU_PART_HEAD, LOGIT_BYTES * rows * n, STREAM);
    if (op->fold > 0) {
        seconds += product(p, OD_GPU_PART_HEAD, rows, n, (double)op->fold) +
                   product(p, OD_GPU_PART_HEAD, rows, k, (double)op->fold) +
                   traffic(p, OD_GPU_PART_HEAD, 4.0 * rows * (n + k), SKINNY);
    }
    return seconds;
}

// Rows looked up, or scattered; the adapter's products read and write them once more.
static double embed(const struct pass *p, const struct od_op *op)
{
    const double values = 2.0 * p->rows * (double)op->n;
    const bool whole = op->kind == OD_OP_EMBED || op->slot[OD_SLOT_DW] >= 0;
    return (whole ? traffic(p, OD_GPU_PART_EMBED, 2.0 * values, STREAM) : 0.0) +
           (op->fold > 0 ? traffic(p, OD_GPU_PART_EMBED, 2.0 * values, SKINNY) : 0.0);
}

static double seconds_of(const struct pass *p, const struct od_op *op)
{
    const enum od_gpu_part part = od_gpu_part_of(op->kind);
    const double values = 2.0 * p->rows * (double)op->n;  // bytes of a [rows, n] tensor
    const double heads = 2.0 * p->rows * (double)(op->heads + op->kv_heads) * (double)op->head_dim;
    switch (op->kind) {
    case OD_OP_LINEAR: return linear(p, op);
    case OD_OP_LINEAR_BWD: return linear_bwd(p, op);
    case OD_OP_ATTENTION: return attention(p, op, 2.0, ATTENTION);
    case OD_OP_ATTENTION_BWD: return attention(p, op, 5.0, ATTENTION_BWD);
    case OD_OP_HEAD_LOSS: return head(p, op);
    case OD_OP_RMS_NORM:
    case OD_OP_LAYER_NORM: return traffic(p, part, 2.0 * values, NORM);
    case OD_OP_RMS_NORM_BWD:
    case OD_OP_LAYER_NORM_BWD:
        return traffic(p, part, 4.0 * values, NORM) +
               (op->slot[OD_SLOT_DW] >= 0 ? traffic(p, part, 2.0 * values, NORM_SUMS) : 0.0);
    case OD_OP_HEAD_NORM: return traffic(p, part, 3.0 * heads, NORM);
    case OD_OP_HEAD_NORM_BWD: return traffic(p, part, 4.0 * heads, NORM);
    case OD_OP_ROPE:
    case OD_OP_ROPE_BWD: return traffic(p, part, 2.0 * heads, ROPE);
    case OD_OP_GLU: return traffic(p, part, 3.0 * values, STREAM);
    case OD_OP_GLU_BWD: return traffic(p, part, 5.0 * values, STREAM);
    case OD_OP_ACTIVATION: return traffic(p, part, 2.0 * values, STREAM);
    case OD_OP_ADD:
    case OD_OP_POSITIONS:
    case OD_OP_ACTIVATION_BWD: return traffic(p, part, 3.0 * values, STREAM);
    case OD_OP_EMBED:
    case OD_OP_EMBED_BWD: return embed(p, op);
    case OD_OP_POSITIONS_BWD: return traffic(p, part, 2.0 * values, STREAM);
    case OD_OP_STORE:  // copied beside the work
    case OD_OP_STORED:
    case OD_OP_FETCH:
    case OD_OP_FETCHED:
    case OD_OP_ATTENTION_CACHED:
    case OD_OP_HEAD_LOGITS:
    case OD_OP_COUNT: break;
    }
    return 0.0;
}

static double pass_seconds(const struct od_program *program, const struct pass *pass)
{
    double seconds = 0.0;
    for (int32_t i = 0; i < program->op_count; i++) {
        const double work = seconds_of(pass, &program->ops[i]);
        seconds += work > LEAST_S ? work : LEAST_S;
    }
    return seconds;
}

static double update_seconds(const struct od_program *program, const struct pass *pass)
{
    double bytes = 0.0;
    for (int32_t i = 0; i < program->param_count; i++) {
        const struct od_param *param = &program->params[i];
        const struct od_tensor *t = &program->tensors[param->tensor];
        // Gradient cleared, its norm, then all of w, m, v read and written, and a copy.
        const double each = (param->m_scales < 0 ? 38.0 : 26.0) - (param->rounded ? 6.0 : 0.0);
        bytes += each * (double)t->rows * (double)t->cols;
    }
    return traffic(pass, OD_GPU_PART_OPTIMIZER, bytes, STREAM);
}

double od_cost_pass(const struct od_program *program, const struct od_card *card, double document,
                    double labelled)
{
    const struct pass pass = {card, (double)program->options.tokens, document, labelled, NULL};
    return pass_seconds(program, &pass);
}

double od_cost_update(const struct od_program *program, const struct od_card *card)
{
    const struct pass pass = {.card = card};
    return update_seconds(program, &pass);
}

void od_cost_floor(const struct od_program *program, const struct od_card *card, double document,
                   double passes, double seconds[OD_GPU_PART_COUNT])
{
    const struct pass pass = {card, (double)program->options.tokens, document, 1.0, seconds};
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        seconds[i] = 0.0;
    }
    (void)pass_seconds(program, &pass);
    for (int i = 0; i < OD_GPU_PART_COUNT; i++) {
        seconds[i] *= passes;
    }
    (void)update_seconds(program, &pass);
}
