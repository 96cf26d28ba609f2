// A SentencePiece model file is one protocol buffer message (version 2, wire format):
//
//   record    key varint = field << 3 | wire type; then by wire type
//               0: varint (7 bits a byte, low first, at most 10 bytes)
//               1: 8 bytes    2: varint length, that many bytes    5: 4 bytes
//             The last of several records of a scalar field counts; unknown fields are skipped.
//
//   ModelProto      1 pieces (message, repeated; id = place)   2 trainer_spec (message)
//                   3 normalizer_spec (message)                5 denormalizer_spec (message)
//   SentencePiece   1 piece (text)   2 score (float)   3 type (1 normal, 2 unknown, 3 control,
//                   4 user defined, 5 unused, 6 byte; 1 when absent)
//   TrainerSpec     3 model_type (1 unigram, 2 BPE, 3 word, 4 char; 1 when absent)
//                   24 treat_whitespace_as_suffix   35 byte_fallback   44 unk_surface
//                   46 bos_piece   47 eos_piece
//   NormalizerSpec  2 precompiled_charsmap   3 add_dummy_prefix   4 remove_extra_whitespaces
//                   5 escape_whitespaces (the three are true when absent)
//
//   precompiled_charsmap: see charsmap.h
//
// Limits: SPM_FILE_MAX_BYTES, OD_TOKENIZER_VOCAB_MAX pieces of OD_TOKENIZER_PIECE_MAX_BYTES.
//
// Source: sentencepiece_model.proto and the protocol buffers encoding guide.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/vocab.h"

#define SPM_FILE_MAX_BYTES ((size_t)64 << 20)

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { VARINT_MAX_BYTES = 10 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

// A message being read; `name` and `base` are for messages.
struct reader {
    const unsigned char *at;
    const unsigned char *end;
    const unsigned char *base;
    const char *name;
};

// One record.
struct record {
    uint64_t field;
    unsigned wire;
    uint64_t number;             // of a varint or of fixed bytes
    const unsigned char *bytes;  // of a length-delimited record
    size_t size;
};

static enum od_status read_varint(struct reader *reader, uint64_t *ret, struct od_error *err)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX_BYTES && reader->at < reader->end; i++) {
        const unsigned char byte = *reader->at++;
        if (i == VARINT_MAX_BYTES - 1 && byte > 1) {
            break;  // more than 64 bits
        }
        value |= (uint64_t)(byte & 0x7Fu) << (7 * i);
        if (byte < 0x80) {
            *ret = value;
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_FORMAT, "'%s': byte %td: a number is cut or too long", reader->name,
                   reader->at - reader->base);
}

static enum od_status read_fixed(struct reader *reader, size_t size, uint64_t *ret,
                                 struct od_error *err)
{
    if ((size_t)(reader->end - reader->at) < size) {
        return od_fail(err, OD_E_FORMAT, "'%s': byte %td: the file is cut", reader->name,
                       reader->at - reader->base);
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)*reader->at++ << (8 * i);
    }
    *ret = value;
    return OD_OK;
}

static enum od_status read_record(struct reader *reader, struct record *ret, struct od_error *err)
{
    uint64_t key = 0;
    enum od_status status = read_varint(reader, &key, err);
    if (status != OD_OK) {
        return status;
    }
    struct record record = {.field = key >> 3, .wire = (unsigned)(key & 7)};
    switch (record.wire) {
    case WIRE_VARINT: status = read_varint(reader, &record.number, err); break;
    case WIRE_FIXED64: status = read_fixed(reader, 8, &record.number, err); break;
    case WIRE_FIXED32: status = read_fixed(reader, 4, &record.number, err); break;
    case WIRE_BYTES:
        status = read_varint(reader, &record.number, err);
        if (status == OD_OK && record.number > (uint64_t)(reader->end - reader->at)) {
            status = od_fail(err, OD_E_FORMAT, "'%s': byte %td: a field ends after the file",
                             reader->name, reader->at - reader->base);
        }
        if (status == OD_OK) {
            record.bytes = reader->at;
            record.size = (size_t)record.number;
            reader->at += record.size;
        }
        break;
    default:
        status = od_fail(err, OD_E_FORMAT, "'%s': byte %td: no SentencePiece model (wire type %u)",
                         reader->name, reader->at - reader->base, record.wire);
        break;
    }
    if (status == OD_OK) {
        *ret = record;
    }
    return status;
}

// The inside of a length-delimited record.
static struct reader reader_of(const struct reader *outer, const struct record *record)
{
    const unsigned char *bytes = record->wire == WIRE_BYTES ? record->bytes : outer->base;
    return (struct reader){
        .at = bytes, .end = bytes + record->size, .base = outer->base, .name = outer->name};
}

static enum od_status wrong_wire(const struct reader *reader, const char *what,
                                 struct od_error *err)
{
    return od_fail(err, OD_E_FORMAT, "'%s': byte %td: %s has the wrong wire type", reader->name,
                   reader->at - reader->base, what);
}

static enum od_status add_piece(struct od_tokenizer *tokenizer, struct reader *reader, int64_t id,
                                struct od_error *err)
{
    const char *text = "";
    size_t size = 0;
    float score = 0;
    uint64_t type = OD_PIECE_NORMAL;
    while (reader->at < reader->end) {
        struct record record;
        const enum od_status status = read_record(reader, &record, err);
        if (status != OD_OK) {
            return status;
        }
        if (record.field == 1 && record.wire == WIRE_BYTES) {
            text = (const char *)record.bytes;
            size = record.size;
        } else if (record.field == 2 && record.wire == WIRE_FIXED32) {
            const uint32_t bits = (uint32_t)record.number;
            memcpy(&score, &bits, sizeof(score));
        } else if (record.field == 3 && record.wire == WIRE_VARINT) {
            type = record.number;
        } else if (record.field >= 1 && record.field <= 3) {
            return wrong_wire(reader, "a member of a piece", err);
        }
    }
    return od_spm_add(tokenizer, id, text, size, score, type, reader->name, err);
}

// What is only needed while the file is read.
struct trainer {
    uint64_t model_type;
    bool whitespace_as_suffix;
    const char *bos;
    size_t bos_size;
    const char *eos;
    size_t eos_size;
};

static enum od_status read_trainer(struct od_tokenizer *tokenizer, struct reader *reader,
                                   struct trainer *trainer, struct od_error *err)
{
    while (reader->at < reader->end) {
        struct record record;
        const enum od_status status = read_record(reader, &record, err);
        if (status != OD_OK) {
            return status;
        }
        const bool is_text = record.field == 44 || record.field == 46 || record.field == 47;
        const bool is_number = record.field == 3 || record.field == 24 || record.field == 35;
        if ((is_text && record.wire != WIRE_BYTES) || (is_number && record.wire != WIRE_VARINT)) {
            return wrong_wire(reader, "a setting of the trainer", err);
        }
        switch (record.field) {
        case 3: trainer->model_type = record.number; break;
        case 24: trainer->whitespace_as_suffix = record.number != 0; break;
        case 35: tokenizer->spm.byte_fallback = record.number != 0; break;
        case 44:
            od_free(tokenizer->spm.unknown_text);
            tokenizer->spm.unknown_text = od_memdup(record.bytes, record.size);
            if (!tokenizer->spm.unknown_text) {
                return od_fail(err, OD_E_MEMORY, "no memory for '%s'", reader->name);
            }
            break;
        case 46:
            trainer->bos = (const char *)record.bytes;
            trainer->bos_size = record.size;
            break;
        case 47:
            trainer->eos = (const char *)record.bytes;
            trainer->eos_size = record.size;
            break;
        default: break;
        }
    }
    return OD_OK;
}

static enum od_status read_normalizer(struct od_spm *spm, struct reader *reader,
                                      struct od_error *err)
{
    while (reader->at < reader->end) {
        struct record record;
        enum od_status status = read_record(reader, &record, err);
        if (status != OD_OK) {
            return status;
        }
        const bool is_number = record.field >= 3 && record.field <= 5;
        if ((record.field == 2 && record.wire != WIRE_BYTES) ||
            (is_number && record.wire != WIRE_VARINT)) {
            return wrong_wire(reader, "a setting of the normalizer", err);
        }
        switch (record.field) {
        case 2:
            status = od_charsmap_read(&spm->charsmap, record.bytes, record.size, reader->name, err);
            if (status != OD_OK) {
                return status;
            }
            break;
        case 3: spm->add_dummy_prefix = record.number != 0; break;
        case 4: spm->remove_extra_whitespaces = record.number != 0; break;
        case 5: spm->escape_whitespaces = record.number != 0; break;
        default: break;
        }
    }
    return OD_OK;
}

// A denormalizer with rules of its own would change what is decoded.
static enum od_status check_denormalizer(struct reader *reader, struct od_error *err)
{
    while (reader->at < reader->end) {
        struct record record;
        const enum od_status status = read_record(reader, &record, err);
        if (status != OD_OK) {
            return status;
        }
        if (record.field == 2 && record.size > 0) {
            return od_fail(err, OD_E_UNSUPPORTED, "'%s': denormalizer_spec has rules",
                           reader->name);
        }
    }
    return OD_OK;
}

static enum od_status count_pieces(struct reader reader, int64_t *ret_count, struct od_error *err)
{
    int64_t count = 0;
    while (reader.at < reader.end) {
        struct record record;
        const enum od_status status = read_record(&reader, &record, err);
        if (status != OD_OK) {
            return status;
        }
        if (record.field >= 1 && record.field <= 5 && record.wire != WIRE_BYTES) {
            return wrong_wire(&reader, "a part of the model", err);
        }
        count += record.field == 1;
    }
    *ret_count = count;
    return OD_OK;
}

static enum od_status read_parts(struct od_tokenizer *tokenizer, struct reader reader,
                                 struct trainer *trainer, struct od_error *err)
{
    enum od_status status = OD_OK;
    int64_t id = 0;
    while (reader.at < reader.end && status == OD_OK) {
        struct record record;
        status = read_record(&reader, &record, err);
        if (status != OD_OK) {
            break;
        }
        struct reader inner = reader_of(&reader, &record);
        switch (record.field) {
        case 1: status = add_piece(tokenizer, &inner, id++, err); break;
        case 2: status = read_trainer(tokenizer, &inner, trainer, err); break;
        case 3: status = read_normalizer(&tokenizer->spm, &inner, err); break;
        case 5: status = check_denormalizer(&inner, err); break;
        default: break;
        }
    }
    return status;
}

// Id of a control piece, or -1.
static int32_t control_id(const struct od_tokenizer *tokenizer, const char *text, size_t size)
{
    const int32_t id = od_vocab_find(&tokenizer->vocab, text, size);
    return id >= 0 && tokenizer->vocab.pieces[id].kind == OD_PIECE_CONTROL ? id : -1;
}

enum od_status od_tokenizer_fill_spm(struct od_tokenizer *tokenizer, const char *bytes, size_t size,
                                     const char *name, struct od_error *err)
{
    const unsigned char *start = (const unsigned char *)bytes;
    const struct reader reader = {.at = start, .end = start + size, .base = start, .name = name};
    struct trainer trainer = {
        .model_type = MODEL_UNIGRAM, .bos = "<s>", .bos_size = 3, .eos = "</s>", .eos_size = 4};
    struct od_spm *spm = &tokenizer->spm;
    int64_t count = 0;
    if (size > SPM_FILE_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "'%s' has %zu bytes, more than %zu", name, size,
                       SPM_FILE_MAX_BYTES);
    }
    spm->add_dummy_prefix = true;
    spm->remove_extra_whitespaces = true;
    spm->escape_whitespaces = true;
    enum od_status status = count_pieces(reader, &count, err);
    if (status != OD_OK) {
        return status;
    }
    status = od_spm_begin(tokenizer, count, name, err);
    if (status != OD_OK) {
        return status;
    }
    status = read_parts(tokenizer, reader, &trainer, err);
    if (status != OD_OK) {
        return status;
    }
    if (trainer.model_type != MODEL_BPE && trainer.model_type != MODEL_UNIGRAM) {
        return od_fail(
            err, OD_E_UNSUPPORTED,
            "'%s': model_type %llu (word or character) of trainer_spec is not supported, "
            "only 1 (unigram) and 2 (BPE)",
            name, (unsigned long long)trainer.model_type);
    }
    if (trainer.whitespace_as_suffix) {
        return od_fail(err, OD_E_UNSUPPORTED, "'%s': treat_whitespace_as_suffix is not supported",
                       name);
    }
    tokenizer->is_unigram = trainer.model_type == MODEL_UNIGRAM;
    status = od_spm_finish(tokenizer, name, err);
    if (status == OD_OK) {
        tokenizer->bos = control_id(tokenizer, trainer.bos, trainer.bos_size);
        tokenizer->eos = control_id(tokenizer, trainer.eos, trainer.eos_size);
    }
    return status;
}
