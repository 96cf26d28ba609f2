// checkpoints/step-N/
//     trained.safetensors    F32, one tensor per trained tensor, the program's names
//     optimizer.safetensors  F32, m.NAME and v.NAME; of moments that are 8-bit codes m.NAME.scales
//                            and v.NAME.scales as F32, and m.NAME and v.NAME as U8 behind all F32
//     state.json             place in the data, seconds, hash, digest of the inputs
//     manifest.json          {"files": {NAME: SHA-256}}; written last

#include "tune/checkpoint.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/dtype.h"
#include "formats/json.h"
#include "model/program.h"
#include "model/weights.h"
#include "tune/session.h"

static const char *const file_names[] = {"trained.safetensors", "optimizer.safetensors",
                                         "state.json"};
enum { FILE_COUNT = 3 };

// Parts that stand for whole tensors, under the program's own names.
static struct od_part whole(const struct od_program *program, int32_t number)
{
    const struct od_tensor *tensor = &program->tensors[number];
    struct od_part part = {.tensor = number,
                           .rows = tensor->rows,
                           .cols = tensor->cols,
                           .rank = 2,
                           .is_bytes = tensor->dtype == OD_DTYPE_U8};
    (void)snprintf(part.name, sizeof part.name, "%s", tensor->name);
    return part;
}

// The parts of a checkpoint: weights, then moments.
struct parts {
    struct od_part *part;  ///< [weights + moments]
    int32_t weights;
    int32_t moments;
};

static void add_moment(const struct od_program *program, int32_t number, struct parts *parts)
{
    parts->part[parts->weights + parts->moments++] = whole(program, number);
}

// Of moments those that are fp32 first: a file puts wider types first.
static enum od_status state_parts(const struct od_program *program, struct parts *ret,
                                  struct od_error *err)
{
    const int32_t count = program->param_count;
    struct parts parts = {.part = od_alloc(5 * (size_t)count + 1, sizeof *parts.part),
                          .weights = count};
    if (!parts.part) {
        return od_fail(err, OD_E_MEMORY, "no memory for a checkpoint");
    }
    for (int32_t i = 0; i < count; i++) {
        const struct od_param *param = &program->params[i];
        parts.part[i] = whole(program, param->tensor);
        add_moment(program, param->m_scales < 0 ? param->m : param->m_scales, &parts);
        add_moment(program, param->m_scales < 0 ? param->v : param->v_scales, &parts);
    }
    for (int32_t i = 0; i < count; i++) {
        const struct od_param *param = &program->params[i];
        if (param->m_scales >= 0) {
            add_moment(program, param->m, &parts);
            add_moment(program, param->v, &parts);
        }
    }
    *ret = parts;
    return OD_OK;
}

static enum od_status write_state(const struct od_checkpoint_state *state, const char *path,
                                  struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    char hash[OD_XXH_HEX_BYTES];
    od_hash_hex(state->weight_hash, hash);
    od_buf_init(&buf, 1 << 20);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "step", state->place.step);
    od_json_member_int(&w, "epoch", state->place.epoch);
    od_json_member_int(&w, "pack", state->place.pack);
    od_json_member_int(&w, "tokens", state->place.tokens);
    od_json_member_int(&w, "labels", state->place.labels);
    od_json_member_number(&w, "train_s", state->train_s);
    od_json_member_number(&w, "elapsed_s", state->elapsed_s);
    od_json_member_bool(&w, "out_of_time", state->out_of_time);
    od_json_member_number(&w, "first_loss", state->first_loss);
    od_json_member_int(&w, "best_step", state->best_step);
    if (state->best_step >= 0) {
        od_json_member_number(&w, "eval_loss", state->eval_loss);
        od_json_member_number(&w, "best_loss", state->best_loss);
        od_json_member_int(&w, "worse", state->worse);
    }
    od_json_member_text(&w, "weight_hash", hash);
    od_json_member_text(&w, "inputs", state->inputs);
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

static enum od_status write_manifest(const char *folder, struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    char path[OD_PATH_MAX_BYTES];
    char digest[OD_SHA256_HEX_BYTES];
    enum od_status status = OD_OK;
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_key(&w, "files");
    od_json_object_begin(&w);
    for (int i = 0; status == OD_OK && i < FILE_COUNT; i++) {
        status = od_path_join(path, folder, file_names[i], err);
        if (status == OD_OK) {
            status = od_sha256_file(path, digest, err);
        }
        od_json_member_text(&w, file_names[i], digest);
    }
    od_json_object_end(&w);
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    if (status == OD_OK && (status = od_buf_check(&buf, err)) == OD_OK &&
        (status = od_path_join(path, folder, "manifest.json", err)) == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

// The step of a folder name "step-N", or -1.
static int64_t step_of(const char *name)
{
    int64_t step;
    if (strncmp(name, "step-", 5) != 0 || !od_parse_int(name + 5, &step) || step < 0) {
        return -1;
    }
    return step;
}

// Under its name a checkpoint is whole to the end.
static enum od_status remove_whole(const char *path, struct od_error *err)
{
    char temp[OD_PATH_MAX_BYTES];
    const int length = snprintf(temp, sizeof temp, "%s.tmp-old", path);
    if (length < 0 || (size_t)length >= sizeof temp) {
        return od_fail(err, OD_E_LIMIT, "path is too long: '%.100s...'", path);
    }
    enum od_status status = od_dir_remove(temp, err);
    if (status == OD_OK) {
        status = od_path_rename(path, temp, err);
    }
    return status == OD_OK ? od_dir_remove(temp, err) : status;
}

// Remove all but the newest `keep` checkpoints and `protect`, and what a crash left half-written.
static enum od_status prune(const char *folder, int64_t newest, int64_t keep, int64_t protect,
                            struct od_error *err)
{
    char **names = NULL;
    size_t count = 0;
    enum od_status status = od_dir_list(folder, &names, &count, err);
    for (size_t i = 0; status == OD_OK && i < count; i++) {
        char path[OD_PATH_MAX_BYTES];
        const int64_t step = step_of(names[i]);
        int64_t newer = 0;
        for (size_t j = 0; j < count; j++) {
            newer += step_of(names[j]) > step && step_of(names[j]) <= newest;
        }
        if (step < 0 ? strstr(names[i], ".tmp") != NULL
                     : keep > 0 && newer >= keep && step != protect) {
            status = od_path_join(path, folder, names[i], err);
            if (status == OD_OK) {
                status = remove_whole(path, err);
            }
        }
    }
    od_names_free(names, count);
    return status;
}

enum od_status od_checkpoint_write(const struct od_session *session, const char *folder,
                                   const struct od_checkpoint_state *state, int64_t keep,
                                   int64_t protect, struct od_error *err)
{
    const enum od_status status = od_session_fetch(session, err);
    return status == OD_OK ? od_checkpoint_write_fetched(session, folder, state, keep, protect, err)
                           : status;
}

enum od_status od_checkpoint_write_fetched(const struct od_session *session, const char *folder,
                                           const struct od_checkpoint_state *state, int64_t keep,
                                           int64_t protect, struct od_error *err)
{
    char temp[OD_PATH_MAX_BYTES];
    char final[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char name[64];
    struct parts parts = {0};
    enum od_status status;

    (void)snprintf(name, sizeof name, "step-%lld", (long long)state->place.step);
    if ((status = od_path_join(final, folder, name, err)) != OD_OK) {
        return status;
    }
    (void)snprintf(name, sizeof name, "step-%lld.tmp", (long long)state->place.step);
    if ((status = od_path_join(temp, folder, name, err)) != OD_OK ||
        (status = state_parts(&session->program, &parts, err)) != OD_OK ||
        (status = od_dir_remove(temp, err)) != OD_OK ||
        (status = od_dir_make(temp, err)) != OD_OK ||
        (status = od_path_join(path, temp, file_names[0], err)) != OD_OK ||
        (status = od_parts_write(parts.part, parts.weights, session->arrays.tensor, path,
                                 OD_DTYPE_F32, err)) != OD_OK ||
        (status = od_path_join(path, temp, file_names[1], err)) != OD_OK ||
        (status = od_parts_write(parts.part + parts.weights, parts.moments, session->arrays.tensor,
                                 path, OD_DTYPE_F32, err)) != OD_OK ||
        (status = od_path_join(path, temp, file_names[2], err)) != OD_OK ||
        (status = write_state(state, path, err)) != OD_OK ||
        (status = write_manifest(temp, err)) != OD_OK ||
        (status = od_dir_replace(temp, final, err)) != OD_OK) {
        goto done;
    }
    status = prune(folder, state->place.step, keep, protect, err);

done:
    od_free(parts.part);
    return status;
}

static enum od_status verify(const char *folder, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char digest[OD_SHA256_HEX_BYTES];
    json_t *manifest = NULL;
    enum od_status status = od_path_join(path, folder, "manifest.json", err);
    if (status == OD_OK) {
        status = od_json_read(path, &manifest, err);
    }
    for (int i = 0; status == OD_OK && i < FILE_COUNT; i++) {
        const char *want =
            json_string_value(json_object_get(json_object_get(manifest, "files"), file_names[i]));
        status = od_path_join(path, folder, file_names[i], err);
        if (status == OD_OK) {
            status = od_sha256_file(path, digest, err);
        }
        if (status == OD_OK && (!want || strcmp(want, digest) != 0)) {
            status = od_fail(err, OD_E_FORMAT, "'%s' is not what its manifest says", path);
        }
    }
    json_decref(manifest);
    return status;
}

static enum od_status read_state(const char *path, struct od_checkpoint_state *ret,
                                 struct od_error *err)
{
    struct od_checkpoint_state state = {0};
    json_t *json = NULL;
    int64_t epoch;
    const char *hash;
    const char *inputs;
    enum od_status status = od_json_read(path, &json, err);
    if (status != OD_OK || (status = od_json_int(json, "step", path, &state.place.step, err)) ||
        (status = od_json_int(json, "epoch", path, &epoch, err)) ||
        (status = od_json_int(json, "pack", path, &state.place.pack, err)) ||
        (status = od_json_int(json, "tokens", path, &state.place.tokens, err)) ||
        (status = od_json_int(json, "labels", path, &state.place.labels, err)) ||
        (status = od_json_number_or(json, "train_s", path, 0.0, &state.train_s, err)) ||
        (status = od_json_number_or(json, "elapsed_s", path, 0.0, &state.elapsed_s, err)) ||
        (status = od_json_bool_or(json, "out_of_time", path, false, &state.out_of_time, err)) ||
        (status = od_json_number_or(json, "first_loss", path, 0.0, &state.first_loss, err)) ||
        (status = od_json_int_or(json, "best_step", path, -1, &state.best_step, err)) ||
        (state.best_step >= 0 &&
         ((status = od_json_number_or(json, "eval_loss", path, 0.0, &state.eval_loss, err)) ||
          (status = od_json_number_or(json, "best_loss", path, 0.0, &state.best_loss, err)) ||
          (status = od_json_int_or(json, "worse", path, 0, &state.worse, err)))) ||
        (status = od_json_text(json, "weight_hash", path, &hash, err)) ||
        (status = od_json_text(json, "inputs", path, &inputs, err))) {
        json_decref(json);
        return status;
    }
    state.place.epoch = (uint32_t)epoch;  // its digest was checked: it is what was written
    state.weight_hash = strtoull(hash, NULL, 16);
    (void)snprintf(state.inputs, sizeof state.inputs, "%s", inputs);
    json_decref(json);
    *ret = state;
    return OD_OK;
}

static enum od_status restore(struct od_session *session, const char *folder, const char *inputs,
                              struct od_checkpoint_state *ret, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct parts parts = {0};
    enum od_status status;
    if ((status = od_path_join(path, folder, file_names[2], err)) != OD_OK ||
        (status = read_state(path, ret, err)) != OD_OK) {
        return status;
    }
    if (strcmp(ret->inputs, inputs) != 0) {
        return od_fail(err, OD_E_REFUSED,
                       "'%s' was made from another recipe, other data or other base weights",
                       folder);
    }
    if ((status = state_parts(&session->program, &parts, err)) != OD_OK ||
        (status = od_path_join(path, folder, file_names[0], err)) != OD_OK ||
        (status = od_parts_read(parts.part, parts.weights, session->arrays.tensor, path, err)) !=
            OD_OK ||
        (status = od_path_join(path, folder, file_names[1], err)) != OD_OK ||
        (status = od_parts_read(parts.part + parts.weights, parts.moments, session->arrays.tensor,
                                path, err)) != OD_OK ||
        (status = od_session_store(session, err)) != OD_OK) {
        goto done;
    }
    if (od_session_weight_hash(session) != ret->weight_hash) {
        status =
            od_fail(err, OD_E_REFUSED,
                    "'%s': the weights' hash is not the recorded one; a run goes on only on the "
                    "kind of device that it began on",
                    folder);
        goto done;
    }
    session->place = ret->place;
    status = od_session_seek(session, err);

done:
    od_free(parts.part);
    return status;
}

enum od_status od_checkpoint_weights(struct od_session *session, const char *folder, int64_t step,
                                     struct od_error *err)
{
    char name[64];
    char path[OD_PATH_MAX_BYTES];
    char file[OD_PATH_MAX_BYTES];
    struct parts parts = {0};
    enum od_status status;
    (void)snprintf(name, sizeof name, "step-%lld", (long long)step);
    if ((status = od_path_join(path, folder, name, err)) != OD_OK ||
        (status = verify(path, err)) != OD_OK ||
        (status = state_parts(&session->program, &parts, err)) != OD_OK ||
        (status = od_path_join(file, path, file_names[0], err)) != OD_OK ||
        (status = od_parts_read(parts.part, parts.weights, session->arrays.tensor, file, err)) !=
            OD_OK) {
        goto done;
    }
    status = od_session_store(session, err);

done:
    od_free(parts.part);
    return status;
}

// The newest checkpoint below `before` that verifies, or -1.
static int64_t newest_below(const char *folder, int64_t before)
{
    char **names = NULL;
    size_t count = 0;
    int64_t best = -1;
    struct od_error err = {0};
    if (!od_path_is_dir(folder) || od_dir_list(folder, &names, &count, &err) != OD_OK) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t step = step_of(names[i]);
        best = step > best && step < before ? step : best;
    }
    od_names_free(names, count);
    return best;
}

static int64_t newest_good(const char *folder, int64_t before)
{
    char name[64];
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    int64_t step = newest_below(folder, before);
    while (step >= 0) {
        (void)snprintf(name, sizeof name, "step-%lld", (long long)step);
        if (od_path_join(path, folder, name, &err) == OD_OK && verify(path, &err) == OD_OK) {
            return step;
        }
        od_log(OD_LOG_WARNING, "checkpoint %s is passed over: %s", name, err.message);
        step = newest_below(folder, step);
    }
    return -1;
}

int64_t od_checkpoint_newest(const char *folder)
{
    return newest_good(folder, INT64_MAX);
}

enum od_status od_checkpoint_read(struct od_session *session, const char *folder,
                                  const char *inputs, struct od_checkpoint_state *ret,
                                  bool *ret_found, struct od_error *err)
{
    return od_checkpoint_read_before(session, folder, INT64_MAX, inputs, ret, ret_found, err);
}

enum od_status od_checkpoint_read_before(struct od_session *session, const char *folder,
                                         int64_t before, const char *inputs,
                                         struct od_checkpoint_state *ret, bool *ret_found,
                                         struct od_error *err)
{
    char name[64];
    char path[OD_PATH_MAX_BYTES];
    const int64_t step = newest_good(folder, before);
    *ret_found = step >= 0;
    if (step < 0) {
        return OD_OK;
    }
    (void)snprintf(name, sizeof name, "step-%lld", (long long)step);
    const enum od_status status = od_path_join(path, folder, name, err);
    return status == OD_OK ? restore(session, path, inputs, ret, err) : status;
}
