#include "tune/bad_batch.h"

#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "text/tokenizer.h"
#include "tune/session.h"

enum { BAD_BATCH_MAX_BYTES = 1 << 30, TEXT_MAX_BYTES = 64 << 20 };

static void put_document(const struct od_session *s, int64_t doc, struct od_json_writer *w)
{
    const int64_t from = s->dataset.offset[doc];
    const int64_t to = s->dataset.offset[doc + 1];
    od_json_object_begin(w);
    od_json_member_int(w, "document", doc);
    od_json_key(w, "ids");
    od_json_array_begin(w);
    for (int64_t i = from; i < to; i++) {
        od_json_put_int(w, s->dataset.ids[i]);
    }
    od_json_array_end(w);
    od_json_key(w, "labels");
    od_json_array_begin(w);
    for (int64_t i = from; i < to; i++) {
        od_json_put_int(w, s->dataset.label[i]);
    }
    od_json_array_end(w);
    if (s->tokenizer) {
        struct od_buf text;
        od_buf_init(&text, TEXT_MAX_BYTES);
        if (od_tokenizer_decode(s->tokenizer, s->dataset.ids + from, (size_t)(to - from),
                                OD_DECODE_PLAIN, &text, NULL) == OD_OK) {
            od_json_member_text(w, "text", od_buf_text(&text));
        }
        od_buf_release(&text);
    }
    od_json_object_end(w);
}

enum od_status od_bad_batch_write(const struct od_session *s, const char *path,
                                  struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, BAD_BATCH_MAX_BYTES);
    od_json_writer_init(&w, &buf, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_member_int(&w, "step", s->place.step + 1);
    od_json_member_int(&w, "epoch", s->place.epoch);
    od_json_key(&w, "documents");
    od_json_array_begin(&w);
    for (int64_t pack = s->bad_first; pack < s->bad_last; pack++) {
        for (int64_t d = s->packs.first[pack]; d < s->packs.first[pack + 1]; d++) {
            put_document(s, s->packs.doc[d], &w);
        }
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}
