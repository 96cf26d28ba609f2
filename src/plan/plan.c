#include "plan/plan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/json.h"
#include "model/program.h"
#include "plan/fit.h"

static bool is_transient(enum od_role role)
{
    return role == OD_ROLE_ACTIVATION || role == OD_ROLE_WORK;
}

static bool tensor_bytes(const struct od_tensor *tensor, size_t *ret)
{
    int64_t count;
    size_t bytes;
    if (!od_count_mul(tensor->rows + tensor->pad_rows, od_tensor_stride(tensor), &count) ||
        !od_size_mul((size_t)count, od_dtype_size(tensor->dtype), &bytes) ||
        !od_size_add(bytes, OD_PLAN_ALIGN_BYTES - 1, &bytes)) {
        return false;
    }
    *ret = bytes & ~(size_t)(OD_PLAN_ALIGN_BYTES - 1);
    return true;
}

// A transient tensor on its way to a place.
struct item {
    int32_t tensor;
    int32_t first;
    int32_t last;
    size_t bytes;
    size_t offset;
};

static int largest_first(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes > y->bytes ? -1 : 1;
    }
    return x->tensor < y->tensor ? -1 : 1;
}

static int lowest_first(const void *a, const void *b)
{
    const struct item *const *x = a;
    const struct item *const *y = b;
    if ((*x)->offset != (*y)->offset) {
        return (*x)->offset < (*y)->offset ? -1 : 1;
    }
    return (*x)->tensor < (*y)->tensor ? -1 : 1;
}

// The lowest gap between the placed items that live at the same time.
static size_t place(const struct item *items, size_t placed, const struct item *fresh,
                    const struct item **neighbours)
{
    size_t count = 0;
    size_t at = 0;
    for (size_t i = 0; i < placed; i++) {
        if (items[i].first <= fresh->last && fresh->first <= items[i].last) {
            neighbours[count++] = &items[i];
        }
    }
    qsort(neighbours, count, sizeof(const struct item *), lowest_first);
    for (size_t i = 0; i < count; i++) {
        if (neighbours[i]->offset >= at && neighbours[i]->offset - at >= fresh->bytes) {
            break;
        }
        const size_t end = neighbours[i]->offset + neighbours[i]->bytes;
        at = end > at ? end : at;
    }
    return at;
}

static enum od_status place_transient(const struct od_program *program, struct od_plan *plan,
                                      struct od_error *err)
{
    enum od_status status = OD_OK;
    size_t count = 0;
    struct item *items = od_alloc((size_t)program->tensor_count, sizeof *items);
    const struct item **neighbours = od_alloc((size_t)program->tensor_count, sizeof(struct item *));

    if (!items || !neighbours) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a plan");
        goto done;
    }
    for (int32_t i = 0; i < program->tensor_count; i++) {
        const struct od_tensor *tensor = &program->tensors[i];
        if (is_transient(tensor->role) && tensor->first >= 0) {
            items[count] = (struct item){.tensor = i, .first = tensor->first, .last = tensor->last};
            (void)tensor_bytes(tensor, &items[count].bytes);  // fitted when roles were summed
            count++;
        }
    }
    qsort(items, count, sizeof *items, largest_first);
    for (size_t i = 0; i < count; i++) {
        size_t end;
        items[i].offset = place(items, i, &items[i], neighbours);
        if (!od_size_add(items[i].offset, items[i].bytes, &end)) {
            status = od_fail(err, OD_E_LIMIT, "the plan does not fit in an address space");
            goto done;
        }
        plan->transient_bytes = end > plan->transient_bytes ? end : plan->transient_bytes;
        plan->offset[items[i].tensor] = plan->persistent_bytes + items[i].offset;
    }

done:
    od_free(neighbours);
    od_free(items);
    return status;
}

enum od_status od_plan_make(const struct od_program *program, struct od_plan *ret,
                            struct od_error *err)
{
    struct od_plan plan = {.tensor_count = program->tensor_count};
    enum od_status status;

    plan.offset = od_alloc((size_t)program->tensor_count, sizeof *plan.offset);
    if (!plan.offset) {
        return od_fail(err, OD_E_MEMORY, "no memory for a plan");
    }
    for (int32_t i = 0; i < program->tensor_count; i++) {
        const struct od_tensor *tensor = &program->tensors[i];
        size_t bytes = 0;
        if (!tensor_bytes(tensor, &bytes) ||
            !od_size_add(plan.role_bytes[tensor->role], bytes, &plan.role_bytes[tensor->role])) {
            od_plan_release(&plan);
            return od_fail(err, OD_E_LIMIT, "tensor '%s' [%lld, %lld] does not fit", tensor->name,
                           (long long)tensor->rows, (long long)tensor->cols);
        }
        if (tensor->role == OD_ROLE_HOST && program->options.half) {
            plan.offset[i] = plan.host_bytes;
            plan.host_bytes += bytes;  // their sum fits: see role_bytes
        } else if (!is_transient(tensor->role)) {
            plan.offset[i] = plan.persistent_bytes;
            if (!od_size_add(plan.persistent_bytes, bytes, &plan.persistent_bytes)) {
                od_plan_release(&plan);
                return od_fail(err, OD_E_LIMIT, "the plan does not fit in an address space");
            }
        }
    }
    status = place_transient(program, &plan, err);
    if (status == OD_OK &&
        !od_size_add(plan.persistent_bytes, plan.transient_bytes, &plan.total_bytes)) {
        status = od_fail(err, OD_E_LIMIT, "the plan does not fit in an address space");
    }
    if (status != OD_OK) {
        od_plan_release(&plan);
        return status;
    }
    *ret = plan;
    return OD_OK;
}

void od_plan_release(struct od_plan *plan)
{
    od_free(plan->offset);
    *plan = (struct od_plan){0};
}

static const char *const role_names[OD_ROLE_COUNT] = {"weight", "copy",       "adapter", "gradient",
                                                      "moment", "constant",   "input",   "cache",
                                                      "host",   "activation", "work"};

enum od_status od_plan_write(const struct od_plan *plan, const struct od_program *program,
                             struct od_buf *out, struct od_error *err)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "total_bytes", (int64_t)plan->total_bytes);
    od_json_member_int(&w, "persistent_bytes", (int64_t)plan->persistent_bytes);
    od_json_member_int(&w, "transient_bytes", (int64_t)plan->transient_bytes);
    od_json_member_int(&w, "host_bytes", (int64_t)plan->host_bytes);
    od_json_key(&w, "role_bytes");
    od_json_object_begin(&w);
    for (int i = 0; i < OD_ROLE_COUNT; i++) {
        od_json_member_int(&w, role_names[i], (int64_t)plan->role_bytes[i]);
    }
    od_json_object_end(&w);
    od_json_member_int(&w, "tokens", program->options.tokens);
    od_json_member_int(&w, "threads", program->options.threads);
    if (program->options.mode != OD_PROGRAM_INFER) {
        od_json_member_text(&w, "keep", od_keep_name(program->options.keep));
        od_json_member_int(&w, "lean_layers", program->options.lean_layers);
        od_json_member_bool(&w, "embedding_on_host", program->options.embedding_on_host);
    }
    od_json_member_int(&w, "operations", program->op_count);
    od_json_key(&w, "tensors");
    od_json_array_begin(&w);
    for (int32_t i = 0; i < program->tensor_count; i++) {
        const struct od_tensor *tensor = &program->tensors[i];
        od_json_object_begin(&w);
        od_json_member_text(&w, "name", tensor->name);
        od_json_member_text(&w, "role", role_names[tensor->role]);
        od_json_member_text(&w, "dtype", od_dtype_name(tensor->dtype));
        od_json_key(&w, "shape");
        od_json_array_begin(&w);
        od_json_put_int(&w, tensor->rows);
        od_json_put_int(&w, tensor->cols);
        od_json_array_end(&w);
        if (tensor->pad > 0) {
            od_json_key(&w, "spare");
            od_json_array_begin(&w);
            od_json_put_int(&w, tensor->pad_rows);
            od_json_put_int(&w, tensor->pad);
            od_json_array_end(&w);
        }
        od_json_member_int(&w, "first", tensor->first);
        od_json_member_int(&w, "last", tensor->last);
        od_json_member_int(&w, "offset", (int64_t)plan->offset[i]);
        od_json_object_end(&w);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    return od_buf_check(out, err);
}

// Zeroed now, which touches every page: no step stops for its first one.
static enum od_status take_memory(struct od_arrays *arrays, struct od_error *err)
{
    arrays->memory = od_alloc_large(arrays->bytes, 1);
    if (!arrays->memory) {
        od_free(arrays->tensor);
        return od_fail(err, OD_E_MEMORY, "cannot allocate the plan's %zu bytes", arrays->bytes);
    }
    memset(arrays->memory, 0, arrays->bytes);
    return OD_OK;
}

enum od_status od_arrays_make(const struct od_plan *plan, struct od_arrays *ret,
                              struct od_error *err)
{
    struct od_arrays arrays = {.bytes = plan->total_bytes};
    arrays.tensor = od_alloc((size_t)plan->tensor_count, sizeof *arrays.tensor);
    if (!arrays.tensor) {
        return od_fail(err, OD_E_MEMORY, "no memory for a plan");
    }
    const enum od_status status = take_memory(&arrays, err);
    if (status != OD_OK) {
        return status;
    }
    for (int32_t i = 0; i < plan->tensor_count; i++) {
        arrays.tensor[i] = (float *)(void *)((char *)arrays.memory + plan->offset[i]);
    }
    *ret = arrays;
    return OD_OK;
}

enum od_status od_arrays_make_beside(const struct od_program *program, struct od_arrays *ret,
                                     struct od_error *err)
{
    struct od_arrays arrays = {0};
    size_t *offset = od_alloc((size_t)program->tensor_count, sizeof *offset);
    bool *wanted = od_alloc((size_t)program->tensor_count, sizeof *wanted);
    enum od_status status = OD_OK;
    arrays.tensor = od_alloc((size_t)program->tensor_count, sizeof *arrays.tensor);
    if (!offset || !wanted || !arrays.tensor) {
        od_free(arrays.tensor);
        status = od_fail(err, OD_E_MEMORY, "no memory for a plan");
        goto done;
    }
    for (int32_t i = 0; i < program->param_count; i++) {
        const struct od_param *param = &program->params[i];
        wanted[param->tensor] = true;
        wanted[param->m] = true;
        wanted[param->v] = true;
        if (param->m_scales >= 0) {
            wanted[param->m_scales] = true;
            wanted[param->v_scales] = true;
        }
    }
    for (int32_t i = 0; i < program->tensor_count; i++) {
        const struct od_tensor *tensor = &program->tensors[i];
        struct od_tensor held = *tensor;
        size_t bytes = 0;
        wanted[i] = wanted[i] || tensor->role == OD_ROLE_INPUT || tensor->role == OD_ROLE_CONSTANT;
        offset[i] = arrays.bytes;
        if (tensor->dtype == OD_DTYPE_BF16) {  // a weight without a master: fp32 here
            held.dtype = OD_DTYPE_F32;
        }
        if (wanted[i] &&
            (!tensor_bytes(&held, &bytes) || !od_size_add(arrays.bytes, bytes, &arrays.bytes))) {
            od_free(arrays.tensor);
            status = od_fail(err, OD_E_LIMIT, "tensor '%s' does not fit", tensor->name);
            goto done;
        }
    }
    status = take_memory(&arrays, err);
    if (status != OD_OK) {
        goto done;
    }
    for (int32_t i = 0; i < program->tensor_count; i++) {
        arrays.tensor[i] = wanted[i] ? (float *)(void *)((char *)arrays.memory + offset[i]) : NULL;
    }
    *ret = arrays;

done:
    od_free(wanted);
    od_free(offset);
    return status;
}

void od_arrays_release(struct od_arrays *arrays)
{
    od_free(arrays->memory);
    od_free(arrays->tensor);
    *arrays = (struct od_arrays){0};
}
