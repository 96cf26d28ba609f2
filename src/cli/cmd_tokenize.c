// `oneday tokenize`: text to token ids and back.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "cli/options.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "text/tokenizer.h"

#define TEXT_MAX_BYTES   ((size_t)64 << 20)
#define OUTPUT_MAX_BYTES ((size_t)1 << 31)
enum { NUMBER_MAX_BYTES = 12 };

/** What the command line asks for. */
struct request {
    const char *file;
    bool ids_only;
    bool decode;
    bool no_special;
    bool json;
};

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text);
    const size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/** A model folder, or one tokenizer file by its name. */
static enum od_status open_tokenizer(const char *path, struct od_tokenizer **ret,
                                     struct od_error *err)
{
    if (od_path_is_dir(path) || od_gguf_is_path(path)) {
        return od_tokenizer_open(path, ret, err);
    }
    if (ends_with(path, ".model") || ends_with(path, ".model.gz")) {
        return od_tokenizer_open_spm(path, ret, err);
    }
    return od_tokenizer_open_json(path, ret, err);
}

/** The text from the command line, a file, or standard input. @memory Gives: od_free. */
static enum od_status read_input(const struct request *request, const struct od_args *args,
                                 char **ret_text, size_t *ret_size, struct od_error *err)
{
    if (args->count == 2) {
        char *text = od_strdup(args->values[1]);
        if (!text) {
            return od_fail(err, OD_E_MEMORY, "no memory for the text");
        }
        *ret_text = text;
        *ret_size = strlen(text);
        return OD_OK;
    }
    const bool standard = !request->file || strcmp(request->file, "-") == 0;
    return od_file_read(standard ? "/dev/stdin" : request->file, TEXT_MAX_BYTES, ret_text, ret_size,
                        err);
}

/** Ids divided by blanks, commas or new lines, brackets allowed: "[1, 2, 3]". */
static enum od_status read_ids(const char *text, struct od_ids *ids, struct od_error *err)
{
    static const char between[] = " \t\r\n,[]";
    for (const char *at = text + strspn(text, between); *at; at += strspn(at, between)) {
        char number[NUMBER_MAX_BYTES];
        int64_t id = 0;
        const size_t size = strcspn(at, between);
        (void)snprintf(number, sizeof number, "%.*s",
                       size < sizeof number ? (int)size : (int)sizeof number, at);
        if (size >= sizeof number || !od_parse_int(number, &id) || id < 0 || id > INT32_MAX) {
            return od_fail(err, OD_E_ARGUMENT, "'%.*s' is no token id", size < 40 ? (int)size : 40,
                           at);
        }
        od_ids_push(ids, (int32_t)id);
        at += size;
    }
    return od_ids_check(ids, err);
}

/** JSON text of each id's bytes; cut UTF-8 sequences show as U+FFFD. */
static enum od_status put_tokens(struct od_buf *out, const struct od_tokenizer *tokenizer,
                                 const struct od_ids *ids, bool json, struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_buf piece;
    struct od_json_writer writer;
    od_buf_init(&piece, OD_TOKENIZER_PIECE_MAX_BYTES);
    od_json_writer_init(&writer, out, json ? OD_JSON_INDENT_2 : OD_JSON_COMPACT, false);
    if (json) {
        od_json_object_begin(&writer);
        od_json_member_text(&writer, "tokenizer", od_tokenizer_digest(tokenizer));
        od_json_member_int(&writer, "count", (int64_t)ids->count);
        od_json_key(&writer, "tokens");
        od_json_array_begin(&writer);
    }
    for (size_t i = 0; i < ids->count && !status; i++) {
        od_buf_reset(&piece);
        status = od_tokenizer_decode(tokenizer, &ids->data[i], 1, OD_DECODE_RAW, &piece, err);
        if (!status) {
            status = od_buf_check(&piece, err);
        }
        if (status) {
            break;
        }
        if (json) {
            od_json_object_begin(&writer);
            od_json_member_int(&writer, "id", ids->data[i]);
            od_json_key(&writer, "text");
            od_json_put_text_n(&writer, od_buf_text(&piece), piece.size);
            od_json_object_end(&writer);
        } else {
            od_buf_printf(out, "%d\t", (int)ids->data[i]);
            od_json_writer_init(&writer, out, OD_JSON_COMPACT, false);
            od_json_put_text_n(&writer, od_buf_text(&piece), piece.size);
            od_buf_putc(out, '\n');
        }
    }
    if (!status && json) {
        od_json_array_end(&writer);
        od_json_object_end(&writer);
        od_buf_putc(out, '\n');
    }
    od_buf_release(&piece);
    return status;
}

static enum od_status encode(const struct request *request, const struct od_tokenizer *tokenizer,
                             const char *text, size_t size, struct od_buf *out,
                             struct od_error *err)
{
    struct od_ids ids;
    od_ids_init(&ids, TEXT_MAX_BYTES);
    enum od_status status =
        od_tokenizer_encode(tokenizer, text, size,
                            request->no_special ? OD_ENCODE_PLAIN : OD_ENCODE_SPECIAL, &ids, err);
    if (!status) {
        status = od_ids_check(&ids, err);
    }
    if (!status && request->ids_only && !request->json) {
        for (size_t i = 0; i < ids.count; i++) {
            od_buf_printf(out, i == 0 ? "%d" : " %d", (int)ids.data[i]);
        }
        od_buf_putc(out, '\n');
    } else if (!status) {
        status = put_tokens(out, tokenizer, &ids, request->json, err);
    }
    od_ids_release(&ids);
    return status;
}

static enum od_status decode(const struct request *request, const struct od_tokenizer *tokenizer,
                             const char *text, struct od_buf *out, struct od_error *err)
{
    struct od_ids ids;
    struct od_buf decoded;
    od_ids_init(&ids, TEXT_MAX_BYTES);
    od_buf_init(&decoded, OUTPUT_MAX_BYTES);
    enum od_status status = read_ids(text, &ids, err);
    if (!status) {
        status = od_tokenizer_decode(tokenizer, ids.data, ids.count,
                                     request->no_special ? OD_DECODE_SKIP_SPECIAL : OD_DECODE_PLAIN,
                                     &decoded, err);
    }
    if (!status) {
        status = od_buf_check(&decoded, err);
    }
    if (!status && request->json) {
        struct od_json_writer writer;
        od_json_writer_init(&writer, out, OD_JSON_INDENT_2, false);
        od_json_object_begin(&writer);
        od_json_member_text(&writer, "tokenizer", od_tokenizer_digest(tokenizer));
        od_json_member_int(&writer, "count", (int64_t)ids.count);
        od_json_key(&writer, "text");
        od_json_put_text_n(&writer, od_buf_text(&decoded), decoded.size);
        od_json_object_end(&writer);
        od_buf_putc(out, '\n');
    } else if (!status) {
        od_buf_append(out, od_buf_text(&decoded), decoded.size);
        od_buf_putc(out, '\n');
    }
    od_buf_release(&decoded);
    od_ids_release(&ids);
    return status;
}

static enum od_status run(const struct request *request, const struct od_args *args,
                          struct od_error *err)
{
    struct od_tokenizer *tokenizer = NULL;
    struct od_buf out;
    char *text = NULL;
    size_t size = 0;
    od_buf_init(&out, OUTPUT_MAX_BYTES);
    enum od_status status = open_tokenizer(args->values[0], &tokenizer, err);
    if (!status) {
        status = read_input(request, args, &text, &size, err);
    }
    if (!status) {
        status = request->decode ? decode(request, tokenizer, text, &out, err)
                                 : encode(request, tokenizer, text, size, &out, err);
    }
    if (!status) {
        status = od_buf_check(&out, err);
    }
    if (!status) {
        (void)fwrite(od_buf_text(&out), 1, out.size, stdout);  // main reports what was lost
    }
    od_free(text);
    od_tokenizer_free(tokenizer);
    od_buf_release(&out);
    return status;
}

int od_cmd_tokenize(struct od_cli *cli, int argc, char **argv)
{
    struct request request = {0};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('f', "file", "FILE", &request.file,
                          "read the text from FILE; - is standard input", NULL),
        OD_OPTION_FLAG_OF(0, "ids", &request.ids_only, "print the ids only, in one line"),
        OD_OPTION_FLAG_OF('d', "decode", &request.decode, "the text is ids: print what they say"),
        OD_OPTION_FLAG_OF(0, "no-special", &request.no_special,
                          "add no special tokens (BOS ...); leave them out when decoding"),
    };
    const struct od_command_spec spec = {
        .name = "tokenize",
        .arguments = "MODEL [TEXT | --file FILE] [--ids] [--decode] [--no-special]",
        .summary = "text to token ids and back",
        .details =
            "MODEL is a model folder, or a tokenizer.json or tokenizer.model file. Without "
            "TEXT and\n--file the text comes from standard input. Prints one token a line, "
            "its id and its text\nas a JSON string.\n\n"
            "    oneday tokenize models/base \"Once upon a time\"\n"
            "    oneday tokenize models/base --decode \"403 407 261\"",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 2,
    };
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    request.json = cli->json;
    enum od_status status = OD_OK;
    if (request.file && args.count == 2) {
        status = od_fail(&err, OD_E_ARGUMENT, "give a text or --file, not both");
    } else {
        status = run(&request, &args, &err);
    }
    return status ? od_command_fail(&spec, status, &err) : 0;
}
