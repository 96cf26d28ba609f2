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
//   precompiled_charsmap: u32 little-endian size of the double array in bytes; the array of u32
//   units; NUL-terminated replacement texts. A unit of the array:
//     bits 0-7 label, bit 31 set in a value   bit 8 has a value   bits 10-30 offset, << 8 when
//     bit 9 is set; the value of a node lies at node ^ offset and is an offset into the texts.
//
// Limits: SPM_FILE_MAX_BYTES, OD_TOKENIZER_VOCAB_MAX pieces of OD_TOKENIZER_PIECE_MAX_BYTES.
//
// Source: sentencepiece_model.proto and the protocol buffers encoding guide; Darts-clone's
// description of its units.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/phrases.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/vocab.h"

#define SPM_FILE_MAX_BYTES ((size_t)64 << 20)

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { VARINT_MAX_BYTES = 10, BYTE_COUNT = 256 };
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
    if (size == 0 || od_utf8_invalid_at(text, size) != size) {
        return od_fail(err, OD_E_FORMAT, "'%s': piece %lld is %s", reader->name, (long long)id,
                       size == 0 ? "empty" : "no UTF-8");
    }
    if (type < OD_PIECE_NORMAL || type > OD_PIECE_BYTE || isnan(score)) {
        return od_fail(err, OD_E_FORMAT, "'%s': piece %lld has type %llu and score %g",
                       reader->name, (long long)id, (unsigned long long)type, (double)score);
    }
    const enum od_status status =
        od_vocab_add(&tokenizer->vocab, id, text, size, (enum od_piece_kind)type, err);
    if (status != OD_OK) {
        od_error_prefix(err, "'%s'", reader->name);
        return status;
    }
    tokenizer->spm.scores[id] = score + 0.0F;  // no negative zero: equal scores, equal bits
    return OD_OK;
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

// The array is copied, so that its units are aligned.
static enum od_status read_charsmap(struct od_spm *spm, const unsigned char *bytes, size_t size,
                                    const char *name, struct od_error *err)
{
    od_free(spm->charsmap);
    spm->charsmap = NULL;
    spm->unit_count = 0;
    if (size == 0) {
        return OD_OK;
    }
    uint32_t array_size = 0;
    for (size_t i = 0; i < 4 && i < size; i++) {
        array_size |= (uint32_t)bytes[i] << (8 * i);
    }
    if (size < 4 || array_size > size - 4 || array_size % 4 != 0 || array_size == 0 ||
        size - 4 == array_size || bytes[size - 1] != '\0') {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': the normalisation rules are broken (%zu bytes, array of %u)", name,
                       size, (unsigned)array_size);
    }
    char *copy = od_alloc(size - 4, 1);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for the normalisation rules of '%s'", name);
    }
    memcpy(copy, bytes + 4, size - 4);
    spm->charsmap = copy;
    spm->units = (const uint32_t *)(const void *)copy;
    spm->unit_count = array_size / 4;
    spm->replacements = copy + array_size;
    spm->replacements_size = size - 4 - array_size;
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
            status = read_charsmap(spm, record.bytes, record.size, reader->name, err);
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
    if (count == 0 || count > OD_TOKENIZER_VOCAB_MAX) {
        return od_fail(err, count == 0 ? OD_E_FORMAT : OD_E_LIMIT,
                       "'%s' has %lld pieces; 1 to %d are allowed", reader.name, (long long)count,
                       (int)OD_TOKENIZER_VOCAB_MAX);
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

static enum od_status check_kinds(struct od_tokenizer *tokenizer, const char *name,
                                  struct od_error *err)
{
    struct od_vocab *vocab = &tokenizer->vocab;
    int32_t bytes_count = 0;
    tokenizer->spm.unknown_id = -1;
    for (int32_t id = 0; id < vocab->count; id++) {
        size_t size;
        const char *text = od_vocab_text(vocab, id, &size);
        struct od_piece *piece = &vocab->pieces[id];
        if (piece->kind == OD_PIECE_UNKNOWN) {
            if (tokenizer->spm.unknown_id >= 0) {
                return od_fail(err, OD_E_FORMAT, "'%s' has two unknown pieces", name);
            }
            tokenizer->spm.unknown_id = id;
        } else if (piece->kind == OD_PIECE_BYTE) {
            const int value = od_byte_piece_value(text, size);
            if (value < 0) {
                return od_fail(err, OD_E_FORMAT, "'%s': byte piece %d is no <0x..>", name, (int)id);
            }
            bytes_count++;
        } else if (piece->kind == OD_PIECE_USER) {
            const enum od_status added = od_phrases_add(&tokenizer->phrases, text, size, id, err);
            if (added != OD_OK) {
                return added;
            }
        }
        piece->special = piece->kind == OD_PIECE_CONTROL;
        tokenizer->spm.has_unused = tokenizer->spm.has_unused || piece->kind == OD_PIECE_UNUSED;
    }
    od_phrases_finish(&tokenizer->phrases);
    if (tokenizer->spm.unknown_id < 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' has no unknown piece", name);
    }
    enum od_status status = od_bpe_finish(&tokenizer->bpe, err);
    if (status == OD_OK) {
        status = od_bpe_find_joints_spm(vocab, &tokenizer->spm.joints, err);
    }
    if (status != OD_OK) {
        return status;
    }
    for (int i = 0; i < BYTE_COUNT && tokenizer->spm.byte_fallback; i++) {
        const int32_t id = tokenizer->bpe.byte_ids[i];
        if (id < 0 || vocab->pieces[id].kind != OD_PIECE_BYTE || bytes_count != BYTE_COUNT) {
            return od_fail(err, OD_E_FORMAT,
                           "'%s' falls back to bytes and its byte pieces are not 256", name);
        }
    }
    return OD_OK;
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
    tokenizer->is_spm = true;
    spm->add_dummy_prefix = true;
    spm->remove_extra_whitespaces = true;
    spm->escape_whitespaces = true;
    enum od_status status = count_pieces(reader, &count, err);
    if (status != OD_OK) {
        return status;
    }
    spm->scores = od_alloc((size_t)count, sizeof(*spm->scores));
    spm->unknown_text = od_strdup(" \xE2\x81\x87 ");
    if (!spm->scores || !spm->unknown_text) {
        return od_fail(err, OD_E_MEMORY, "no memory for the %lld pieces of '%s'", (long long)count,
                       name);
    }
    status = read_parts(tokenizer, reader, &trainer, err);
    if (status != OD_OK) {
        return status;
    }
    if (trainer.model_type != MODEL_BPE) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': model_type %llu (%s) of trainer_spec is not supported, only 2 (BPE)",
                       name, (unsigned long long)trainer.model_type,
                       trainer.model_type == MODEL_UNIGRAM ? "unigram" : "word or character");
    }
    if (trainer.whitespace_as_suffix) {
        return od_fail(err, OD_E_UNSUPPORTED, "'%s': treat_whitespace_as_suffix is not supported",
                       name);
    }
    status = check_kinds(tokenizer, name, err);
    if (status == OD_OK) {
        tokenizer->bos = control_id(tokenizer, trainer.bos, trainer.bos_size);
        tokenizer->eos = control_id(tokenizer, trainer.eos, trainer.eos_size);
    }
    return status;
}
