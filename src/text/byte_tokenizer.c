#include "text/byte_tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "text/byte_alphabet.h"

enum { BYTE_COUNT = 256, SPECIAL_COUNT = 3 };

#define FILE_MAX_BYTES ((size_t)1 << 20)

static const char *const special_names[SPECIAL_COUNT] = {"<s>", "</s>", "<pad>"};

static void put_added_tokens(struct od_json_writer *w)
{
    od_json_key(w, "added_tokens");
    od_json_array_begin(w);
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        od_json_object_begin(w);
        od_json_member_int(w, "id", BYTE_COUNT + i);
        od_json_member_text(w, "content", special_names[i]);
        od_json_member_bool(w, "single_word", false);
        od_json_member_bool(w, "lstrip", false);
        od_json_member_bool(w, "rstrip", false);
        od_json_member_bool(w, "normalized", false);
        od_json_member_bool(w, "special", true);
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

static void put_byte_level(struct od_json_writer *w, const char *key)
{
    od_json_key(w, key);
    od_json_object_begin(w);
    od_json_member_text(w, "type", "ByteLevel");
    od_json_member_bool(w, "add_prefix_space", false);
    od_json_member_bool(w, "trim_offsets", true);
    od_json_member_bool(w, "use_regex", false);
    od_json_object_end(w);
}

// {"NAME": {"id": ID, "type_id": TYPE}}
static void put_template_piece(struct od_json_writer *w, const char *name, const char *id, int type)
{
    od_json_object_begin(w);
    od_json_key(w, name);
    od_json_object_begin(w);
    od_json_member_text(w, "id", id);
    od_json_member_int(w, "type_id", type);
    od_json_object_end(w);
    od_json_object_end(w);
}

static void put_post_processor(struct od_json_writer *w)
{
    od_json_key(w, "post_processor");
    od_json_object_begin(w);
    od_json_member_text(w, "type", "TemplateProcessing");
    od_json_key(w, "single");
    od_json_array_begin(w);
    put_template_piece(w, "SpecialToken", "<s>", 0);
    put_template_piece(w, "Sequence", "A", 0);
    od_json_array_end(w);
    od_json_key(w, "pair");
    od_json_array_begin(w);
    put_template_piece(w, "SpecialToken", "<s>", 0);
    put_template_piece(w, "Sequence", "A", 0);
    put_template_piece(w, "SpecialToken", "<s>", 1);
    put_template_piece(w, "Sequence", "B", 1);
    od_json_array_end(w);
    od_json_key(w, "special_tokens");
    od_json_object_begin(w);
    od_json_key(w, "<s>");
    od_json_object_begin(w);
    od_json_member_text(w, "id", "<s>");
    od_json_key(w, "ids");
    od_json_array_begin(w);
    od_json_put_int(w, OD_BYTE_BOS);
    od_json_array_end(w);
    od_json_key(w, "tokens");
    od_json_array_begin(w);
    od_json_put_text(w, "<s>");
    od_json_array_end(w);
    od_json_object_end(w);
    od_json_object_end(w);
    od_json_object_end(w);
}

static void put_model(struct od_json_writer *w)
{
    static const char *const absent[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                         "end_of_word_suffix"};
    static const char *const off[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    od_json_key(w, "model");
    od_json_object_begin(w);
    od_json_member_text(w, "type", "BPE");
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        od_json_key(w, absent[i]);
        od_json_put_null(w);
    }
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        od_json_member_bool(w, off[i], false);
    }
    od_json_key(w, "vocab");
    od_json_object_begin(w);
    for (int i = 0; i < BYTE_COUNT; i++) {
        char name[8] = {0};
        (void)od_utf8_encode(od_byte_to_code((unsigned char)i), name);
        od_json_member_int(w, name, i);
    }
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        od_json_member_int(w, special_names[i], BYTE_COUNT + i);
    }
    od_json_object_end(w);
    od_json_key(w, "merges");
    od_json_array_begin(w);
    od_json_array_end(w);
    od_json_object_end(w);
}

void od_tokenizer_put_bytes(struct od_buf *out)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "version", "1.0");
    od_json_key(&w, "truncation");
    od_json_put_null(&w);
    od_json_key(&w, "padding");
    od_json_put_null(&w);
    put_added_tokens(&w);
    od_json_key(&w, "normalizer");
    od_json_put_null(&w);
    put_byte_level(&w, "pre_tokenizer");
    put_post_processor(&w);
    put_byte_level(&w, "decoder");
    put_model(&w);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
}

static void put_config(struct od_buf *out)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    od_json_member_text(&w, "bos_token", special_names[0]);
    od_json_member_text(&w, "eos_token", special_names[1]);
    od_json_member_text(&w, "pad_token", special_names[2]);
    od_json_member_bool(&w, "clean_up_tokenization_spaces", false);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
}

static enum od_status write_part(const char *folder, const char *name, void (*put)(struct od_buf *),
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_buf buf;
    od_buf_init(&buf, FILE_MAX_BYTES);
    put(&buf);
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, name, err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

enum od_status od_tokenizer_write_bytes(const char *folder, struct od_error *err)
{
    const enum od_status status = write_part(folder, "tokenizer.json", od_tokenizer_put_bytes, err);
    return status == OD_OK ? write_part(folder, "tokenizer_config.json", put_config, err) : status;
}
