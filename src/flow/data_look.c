#include "flow/data_look.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "data/inspect.h"
#include "formats/json.h"
#include "model/spec.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { BAR_WIDTH = 40, BUCKET_FIRST = 64 };

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text);
    return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

static enum od_status open_recipe(const char *path, struct od_look *look, struct od_error *err)
{
    struct od_spec spec;
    enum od_status status = od_recipe_read(path, &look->recipe, err);
    if (status != OD_OK) {
        return status;
    }
    const struct od_recipe *recipe = &look->recipe;
    const char *folder = recipe->base_model ? recipe->base_model : recipe->base_tokenizer;
    look->options = (struct od_dataset_options){.sequence_len = recipe->sequence_len,
                                                .train_on_inputs = recipe->train_on_inputs,
                                                .seed = recipe->seed,
                                                .model_folder = folder};
    status = od_session_spec(recipe, &spec, err);
    if (status == OD_OK) {
        status = od_tokenizer_open(folder, &look->tokenizer, err);
    }
    if (status == OD_OK) {
        od_tokenizer_set_bos_eos(look->tokenizer, spec.bos, spec.eos);
    }
    look->count = recipe->dataset_count;
    look->specs = od_alloc(look->count, sizeof *look->specs);
    if (status == OD_OK && !look->specs) {
        return od_fail(err, OD_E_MEMORY, "no memory for the list of files");
    }
    if (status == OD_OK) {
        memcpy(look->specs, recipe->datasets, look->count * sizeof *look->specs);
    }
    return status;
}

static enum od_status find_type(const char *name, enum od_dataset_type *ret, struct od_error *err)
{
    for (size_t i = 0; i < OD_DATASET_OWN; i++) {
        if (strcmp(name, od_dataset_type_names[i]) == 0) {
            *ret = (enum od_dataset_type)i;
            return OD_OK;
        }
    }
    return od_fail(
        err, OD_E_ARGUMENT,
        "there is no type of data '%.40s': it must be input-output, alpaca, alpaca_chat, "
        "chat_template, oasst or completion",
        name);
}

static enum od_status open_tokenizer(const char *folder, struct od_look *look, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_spec spec;
    enum od_status status = od_tokenizer_open(folder, &look->tokenizer, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, "config.json", err);
    }
    if (status == OD_OK && od_path_exists(path) && od_spec_read(path, &spec, NULL) == OD_OK) {
        od_tokenizer_set_bos_eos(look->tokenizer, spec.bos, spec.eos);
    }
    return status;
}

static enum od_status open_files(const char *const *paths, size_t count,
                                 const struct od_look_options *options, struct od_look *look,
                                 struct od_error *err)
{
    enum od_dataset_type type = OD_DATASET_COMPLETION;
    enum od_status status = options->type ? find_type(options->type, &type, err) : OD_OK;
    look->guess_type = options->type == NULL;
    look->options = (struct od_dataset_options){.sequence_len = options->sequence_len,
                                                .model_folder = options->tokenizer};
    look->specs = od_alloc(count, sizeof *look->specs);
    if (status == OD_OK && !look->specs) {
        return od_fail(err, OD_E_MEMORY, "no memory for the list of files");
    }
    for (size_t i = 0; status == OD_OK && i < count; i++) {
        look->specs[i] = (struct od_dataset_spec){.path = paths[i],
                                                  .type = type,
                                                  .weight = 1,
                                                  .columns = options->columns,
                                                  .chat_template = options->chat_template};
    }
    look->count = count;
    if (status == OD_OK && options->tokenizer) {
        status = open_tokenizer(options->tokenizer, look, err);
    }
    return status;
}

enum od_status od_look_open(const char *const *paths, size_t count,
                            const struct od_look_options *options, struct od_look *ret,
                            struct od_error *err)
{
    struct od_look *look = ret;
    *look = (struct od_look){0};
    const bool recipe = ends_with(paths[0], ".yaml") || ends_with(paths[0], ".yml");
    if (recipe && count > 1) {
        return od_fail(err, OD_E_ARGUMENT, "a recipe stands alone: '%s' is one too many", paths[1]);
    }
    const enum od_status status =
        recipe ? open_recipe(paths[0], look, err) : open_files(paths, count, options, look, err);
    if (status != OD_OK) {
        od_look_close(look);
    }
    return status;
}

void od_look_close(struct od_look *look)
{
    od_tokenizer_free(look->tokenizer);
    od_free(look->specs);
    od_recipe_release(&look->recipe);
    *look = (struct od_look){0};
}

// The length that a share of the documents does not pass.
static int64_t quantile(const struct od_data_report *report, int64_t percent)
{
    const int64_t at = (report->length_count - 1) * percent / 100;
    return report->lengths[at];
}

// How many lengths are above `low` and at most `high`.
static int64_t between(const struct od_data_report *report, int64_t low, int64_t high)
{
    int64_t count = 0;
    for (int64_t i = 0; i < report->length_count; i++) {
        count += report->lengths[i] > low && report->lengths[i] <= high;
    }
    return count;
}

static void put_members_json(struct od_json_writer *w, const struct od_data_report *report)
{
    od_json_key(w, "members");
    od_json_array_begin(w);
    for (size_t i = 0; i < report->member_count; i++) {
        const struct od_report_member *m = &report->members[i];
        od_json_object_begin(w);
        od_json_member_text(w, "name", m->name);
        od_json_member_text(w, "kind", m->kind);
        od_json_member_int(w, "rows", m->count);
        od_json_member_int(w, "empty", m->empty);
        od_json_member_int(w, "bytes_max", m->bytes_max);
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

static void put_lengths_json(struct od_json_writer *w, const struct od_data_report *report)
{
    od_json_member_int(w, "learned_tokens", report->label_count);
    od_json_key(w, "lengths");
    od_json_object_begin(w);
    od_json_member_int(w, "min", quantile(report, 0));
    od_json_member_int(w, "median", quantile(report, 50));
    od_json_member_int(w, "p95", quantile(report, 95));
    od_json_member_int(w, "max", quantile(report, 100));
    od_json_key(w, "histogram");
    od_json_array_begin(w);
    int64_t low = 0;
    for (int64_t high = BUCKET_FIRST; low < quantile(report, 100); high *= 2) {
        od_json_object_begin(w);
        od_json_member_int(w, "up_to", high);
        od_json_member_int(w, "documents", between(report, low, high));
        od_json_object_end(w);
        low = high;
    }
    od_json_array_end(w);
    od_json_object_end(w);
}

static void put_report_json(struct od_json_writer *w, const struct od_dataset_spec *spec,
                            const struct od_data_report *report)
{
    od_json_object_begin(w);
    od_json_member_text(w, "path", spec->path);
    od_json_member_number(w, "weight", spec->weight);
    od_json_key(w, "type");
    if (report->type_known) {
        od_json_put_text(w, od_dataset_type_names[report->type]);
    } else {
        od_json_put_null(w);
    }
    od_json_member_int(w, "rows", report->rows);
    od_json_member_int(w, "duplicates", report->duplicates);
    od_json_member_int(w, "invalid_utf8", report->invalid_utf8);
    put_members_json(w, report);
    if (report->counted) {
        od_json_member_int(w, "read_as_rows", report->counts.rows);
        od_json_member_int(w, "without_answer", report->counts.empty);
        od_json_member_int(w, "kept", report->counts.kept);
    }
    if (report->lengths) {
        od_json_member_int(w, "too_long", report->counts.too_long);
        od_json_member_int(w, "split", report->counts.split);
        od_json_member_int(w, "documents", report->counts.documents);
        od_json_member_int(w, "tokens", report->counts.tokens);
        put_lengths_json(w, report);
    }
    od_json_object_end(w);
}

static void put_lengths(struct od_buf *out, const struct od_data_report *report)
{
    int64_t most = 1;
    int64_t low = 0;
    od_buf_printf(out,
                  "  documents        %" PRId64 ", %" PRId64 " tokens, %" PRId64
                  " of them learned\n  tokens           least %" PRId64 ", median %" PRId64
                  ", 95 %% up to %" PRId64 ", most %" PRId64 "\n",
                  report->counts.documents, report->counts.tokens, report->label_count,
                  quantile(report, 0), quantile(report, 50), quantile(report, 95),
                  quantile(report, 100));
    for (int64_t high = BUCKET_FIRST; low < quantile(report, 100); high *= 2) {
        const int64_t count = between(report, low, high);
        most = count > most ? count : most;
        low = high;
    }
    low = 0;
    for (int64_t high = BUCKET_FIRST; low < quantile(report, 100); high *= 2) {
        const int64_t count = between(report, low, high);
        od_buf_printf(out, "  %7" PRId64 " .. %7" PRId64 " %7" PRId64 " ", low + 1, high, count);
        for (int64_t i = 0; i < count * BAR_WIDTH / most; i++) {
            od_buf_putc(out, '#');
        }
        od_buf_putc(out, '\n');
        low = high;
    }
}

static void put_report(struct od_buf *out, const struct od_dataset_spec *spec,
                       const struct od_data_report *report, const struct od_look *look)
{
    const char *path = spec->path;
    const double weight = spec->weight;
    const bool guessed = look->guess_type;
    od_buf_printf(out, "%s\n  type             %s%s\n", path,
                  report->type_known ? od_dataset_type_names[report->type] : "not known",
                  !report->type_known ? ": say it with --type"
                  : guessed           ? " (seen in the first row)"
                                      : "");
    od_buf_printf(out, "  rows             %" PRId64 "\n", report->rows);
    if (weight < 1) {
        od_buf_printf(out, "  weight           %g: a share of the rows\n", weight);
    } else if (weight > 1) {
        od_buf_printf(out, "  weight           %g: times each row\n", weight);
    }
    if (report->counted) {
        if (report->counts.rows != report->rows) {
            od_buf_printf(out, "  conversations    %" PRId64 "\n", report->counts.rows);
        }
        od_buf_printf(out, "  without answer   %" PRId64 "\n", report->counts.empty);
    }
    od_buf_printf(out, "  duplicates       %" PRId64 "\n", report->duplicates);
    if (report->invalid_utf8 > 0) {
        od_buf_printf(out, "  broken UTF-8     %" PRId64 "\n", report->invalid_utf8);
    }
    for (size_t i = 0; i < report->member_count; i++) {
        const struct od_report_member *m = &report->members[i];
        od_buf_printf(out, "  %s %-14s %-7s in %" PRId64 " row%s, %" PRId64 " empty",
                      i == 0 ? "members " : "        ", m->name, m->kind, m->count,
                      od_plural(m->count), m->empty);
        if (m->bytes_max > 0) {
            od_buf_printf(out, ", up to %" PRId64 " bytes", m->bytes_max);
        }
        od_buf_putc(out, '\n');
    }
    if (report->lengths) {
        od_buf_printf(out, "  too long         %" PRId64 "\n", report->counts.too_long);
        if (report->counts.split > 0) {
            od_buf_printf(out, "  split            %" PRId64 "\n", report->counts.split);
        }
        put_lengths(out, report);
    } else if (!look->tokenizer) {
        od_buf_puts(out, "  tokens           not counted: give --tokenizer MODEL, or a recipe\n");
    }
}

enum od_status od_look_inspect(const struct od_look *look, bool json, struct od_buf *out,
                               struct od_error *err)
{
    const struct od_inspect_options options = {
        .guess_type = look->guess_type, .tokenizer = look->tokenizer, .dataset = look->options};
    struct od_json_writer w;
    enum od_status status = OD_OK;
    struct od_data_report *report = od_alloc(1, sizeof *report);
    if (!report) {
        return od_fail(err, OD_E_MEMORY, "no memory for the report");
    }
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, false);
    if (json) {
        od_json_array_begin(&w);
    }
    for (size_t i = 0; status == OD_OK && i < look->count; i++) {
        status = od_data_inspect(&look->specs[i], &options, report, err);
        if (status == OD_OK && json) {
            put_report_json(&w, &look->specs[i], report);
        } else if (status == OD_OK) {
            put_report(out, &look->specs[i], report, look);
        }
        od_data_report_release(report);
    }
    if (json && status == OD_OK) {
        od_json_array_end(&w);
        od_buf_putc(out, '\n');
    }
    od_free(report);
    return status == OD_OK ? od_buf_check(out, err) : status;
}

// The text of one id; a cut UTF-8 sequence shows as U+FFFD.
static enum od_status piece_text(const struct od_look *look, int32_t id, struct od_buf *piece,
                                 struct od_error *err)
{
    od_buf_reset(piece);
    const enum od_status status =
        od_tokenizer_decode(look->tokenizer, &id, 1, OD_DECODE_RAW, piece, err);
    return status == OD_OK ? od_buf_check(piece, err) : status;
}

static enum od_status put_document_json(struct od_json_writer *w, const struct od_look *look,
                                        const struct od_preview_document *document,
                                        struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_buf piece;
    od_buf_init(&piece, OD_TOKENIZER_PIECE_MAX_BYTES);
    od_json_array_begin(w);
    for (size_t i = 0; status == OD_OK && i < document->count; i++) {
        status = piece_text(look, document->ids[i], &piece, err);
        od_json_object_begin(w);
        od_json_member_int(w, "id", document->ids[i]);
        od_json_member_bool(w, "learned", document->label[i] != 0);
        od_json_key(w, "text");
        od_json_put_text_n(w, od_buf_text(&piece), piece.size);
        od_json_object_end(w);
    }
    od_json_array_end(w);
    od_buf_release(&piece);
    return status;
}

// A line for each id; or, in colour, running text: what is learned green, the rest dim.
static enum od_status put_document(struct od_buf *out, const struct od_look *look,
                                   const struct od_preview_document *document, bool colour,
                                   struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_buf piece;
    od_buf_init(&piece, OD_TOKENIZER_PIECE_MAX_BYTES);
    od_buf_puts(out, colour ? "" : "  place      id  loss     text\n");
    for (size_t i = 0; status == OD_OK && i < document->count; i++) {
        status = piece_text(look, document->ids[i], &piece, err);
        if (colour) {
            od_buf_puts(out, document->label[i] != 0 ? "\033[32m" : "\033[2m");
            od_utf8_append_valid(out, od_buf_text(&piece), piece.size);
            od_buf_printf(out, "\033[0m\033[2m\xc2\xb7\033[0m");
        } else {
            struct od_json_writer w;
            od_buf_printf(out, "%7zu %7d  %s  ", i, (int)document->ids[i],
                          document->label[i] != 0 ? "learned" : "-      ");
            od_json_writer_init(&w, out, OD_JSON_COMPACT, false);
            od_json_put_text_n(&w, od_buf_text(&piece), piece.size);
            od_buf_putc(out, '\n');
        }
    }
    od_buf_puts(out, colour ? "\n" : "");
    od_buf_release(&piece);
    return status;
}

static enum od_status put_preview_json(const struct od_look *look, const char *path, int64_t row,
                                       const struct od_preview *preview, struct od_buf *out,
                                       struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "path", path);
    od_json_member_int(&w, "row", row);
    od_json_member_int(&w, "line", preview->line);
    od_json_member_int(&w, "prompts", (int64_t)preview->turns);
    od_json_member_int(&w, "prompts_as_served", (int64_t)preview->agreeing);
    od_json_member_int(&w, "doubled_bos", (int64_t)preview->doubled_bos);
    od_json_member_int(&w, "without_eos", (int64_t)preview->without_eos);
    od_json_key(&w, "documents");
    od_json_array_begin(&w);
    for (size_t i = 0; status == OD_OK && i < preview->count; i++) {
        status = put_document_json(&w, look, &preview->documents[i], err);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    return status;
}

static void put_agreement(const struct od_preview *preview, struct od_buf *out)
{
    if (preview->count == 0) {
        od_buf_puts(out, "nothing to learn: the row is left out\n");
    }
    if (preview->turns > 0 && preview->agreeing == preview->turns) {
        od_buf_printf(out, "as served: the ids of %s\n",
                      preview->turns == 1 ? "the prompt agree" : "all prompts agree");
    } else if (preview->turns > 0) {
        od_buf_printf(out, "NOT as served: the ids of %zu of %zu prompts differ\n",
                      preview->turns - preview->agreeing, preview->turns);
    }
    if (preview->doubled_bos > 0) {
        od_buf_puts(out, "BOS stands twice in front\n");
    }
    if (preview->without_eos > 0) {
        od_buf_puts(out, "no EOS at the end\n");
    }
}

// Behind the row's place: how long it is, and of how much the loss is taken.
static void put_counts(const struct od_preview *preview, struct od_buf *out)
{
    size_t tokens = 0;
    size_t learned = 0;
    for (size_t i = 0; i < preview->count; i++) {
        tokens += preview->documents[i].count;
        for (size_t t = 0; t < preview->documents[i].count; t++) {
            learned += preview->documents[i].label[t] != 0;
        }
    }
    if (preview->count > 0) {
        od_buf_printf(out, ": %zu token%s, %zu of them learned", tokens, od_plural((int64_t)tokens),
                      learned);
    }
    od_buf_putc(out, '\n');
}

enum od_status od_look_preview(const struct od_look *look, int64_t file, int64_t row, bool json,
                               bool colour, struct od_buf *out, struct od_error *err)
{
    struct od_preview preview = {0};
    if (!look->tokenizer) {
        return od_fail(err, OD_E_ARGUMENT, "ids need a tokenizer: give a recipe, or --tokenizer");
    }
    if (file < 0 || file >= (int64_t)look->count || row < 0) {
        return od_fail(err, OD_E_ARGUMENT, "there are %zu data files, and rows are counted from 0",
                       look->count);
    }
    struct od_dataset_spec spec = look->specs[file];
    enum od_status status = OD_OK;
    if (look->guess_type) {
        struct od_data_report *report = od_alloc(1, sizeof *report);
        const struct od_inspect_options options = {.guess_type = true, .dataset = look->options};
        status = report ? od_data_inspect(&spec, &options, report, err) : OD_E_MEMORY;
        if (status == OD_OK && !report->type_known) {
            od_error_set(err, OD_E_ARGUMENT, "'%s': say with --type what its rows are", spec.path);
            status = OD_E_ARGUMENT;
        } else if (status == OD_OK) {
            spec.type = report->type;
            od_data_report_release(report);
        }
        od_free(report);
    }
    if (status == OD_OK) {
        status = od_data_preview(&spec, look->tokenizer, &look->options, row, &preview, err);
    }
    if (status == OD_OK && json) {
        status = put_preview_json(look, spec.path, row, &preview, out, err);
    } else if (status == OD_OK) {
        od_buf_printf(out, "%s:%" PRId64 ", row %" PRId64, spec.path, preview.line, row);
        put_counts(&preview, out);
        for (size_t i = 0; status == OD_OK && i < preview.count; i++) {
            if (preview.count > 1) {
                od_buf_printf(out, "document %zu\n", i + 1);
            }
            status = put_document(out, look, &preview.documents[i], colour, err);
        }
        put_agreement(&preview, out);
    }
    od_preview_release(&preview);
    return status == OD_OK ? od_buf_check(out, err) : status;
}
