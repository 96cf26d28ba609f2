#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/bias.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/tokens.h"
#include "formats/text_file.h"

enum { NO_LIST = -1 };

static const char *const list_names[OD_BIAS_LISTS] = {
    "FEMALE_WORDS", "MALE_WORDS",     "ASIAN_NAMES",    "HISPANIC_NAMES",
    "WHITE_NAMES",  "ADJECTIVE_LIST", "PROFESSION_LIST"};

void od_bias_words_init(struct od_bias_words *words)
{
    for (size_t i = 0; i < OD_BIAS_LISTS; i++) {
        od_tokens_init(&words->lists[i]);
    }
}

void od_bias_words_release(struct od_bias_words *words)
{
    for (size_t i = 0; i < OD_BIAS_LISTS; i++) {
        od_tokens_release(&words->lists[i]);
    }
}

static bool is(struct od_slice text, const char *expected)
{
    return od_slice_order(text, od_slice_of(expected)) == 0;
}

// The list that a line opens, or NO_LIST.
static int list_opened(struct od_slice line)
{
    static const char behind[] = ": List[str] = [";
    for (int i = 0; i < OD_BIAS_LISTS; i++) {
        const size_t size = strlen(list_names[i]);
        if (line.size > size && memcmp(line.bytes, list_names[i], size) == 0 &&
            is((struct od_slice){line.bytes + size, line.size - size}, behind)) {
            return i;
        }
    }
    return NO_LIST;
}

// A line "word", in a list.
static enum od_status add_word(struct od_bias_words *words, int list, struct od_slice line,
                               struct od_error *err)
{
    enum { MARKS = 3 };  // two quotes and a comma
    const size_t size = line.size > MARKS ? line.size - MARKS : 0;
    if (size == 0 || line.bytes[0] != '"' || line.bytes[size + 1] != '"' ||
        line.bytes[size + 2] != ',' || memchr(line.bytes + 1, '"', size) ||
        memchr(line.bytes + 1, '\\', size)) {
        return od_fail(err, OD_E_FORMAT, "a line of the list %s is no word, as in \"word\",",
                       list_names[list]);
    }
    if (words->lists[list].count == OD_BIAS_WORDS_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d words", OD_BIAS_WORDS_MAX);
    }
    return od_tokens_add(&words->lists[list], line.bytes + 1, size, err);
}

// `list` is the one that is open, or NO_LIST.
static enum od_status parse_line(struct od_bias_words *words, struct od_slice line, int *list,
                                 struct od_error *err)
{
    od_strip(&line.bytes, &line.size);
    if (*list == NO_LIST) {
        *list = list_opened(line);
        if (*list != NO_LIST && words->lists[*list].count > 0) {
            return od_fail(err, OD_E_FORMAT, "a second list %s", list_names[*list]);
        }
        return OD_OK;
    }
    if (is(line, "]")) {
        *list = NO_LIST;
        return OD_OK;
    }
    return add_word(words, *list, line, err);
}

static enum od_status check_lists(const struct od_bias_words *words, int open, const char *path,
                                  struct od_error *err)
{
    if (open != NO_LIST) {
        return od_fail(err, OD_E_FORMAT, "'%s': the list %s has no end", path, list_names[open]);
    }
    for (size_t i = 0; i < OD_BIAS_LISTS; i++) {
        if (words->lists[i].count == 0) {
            return od_fail(err, OD_E_FORMAT, "'%s' has no list '%s: List[str] = ['", path,
                           list_names[i]);
        }
    }
    return OD_OK;
}

enum od_status od_bias_words_parse(struct od_bias_words *words, const char *text, size_t size,
                                   const char *path, struct od_error *err)
{
    size_t number = 1;
    int list = NO_LIST;
    if (size > OD_BIAS_FILE_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "'%s' has more than %d bytes", path,
                       OD_BIAS_FILE_MAX_BYTES);
    }
    if (od_utf8_invalid_at(text, size) < size) {
        return od_fail(err, OD_E_FORMAT, "'%s' is no text in UTF-8", path);
    }
    for (size_t at = 0; at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        const struct od_slice line = {text + at, end ? (size_t)(end - text) - at : size - at};
        const enum od_status status = parse_line(words, line, &list, err);
        if (status != OD_OK) {
            od_error_prefix(err, "'%s':%zu", path, number);
            return status;
        }
        at += line.size + 1;
    }
    return check_lists(words, list, path, err);
}

enum od_status od_bias_words_read(struct od_bias_words *words, const char *path,
                                  struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, OD_BIAS_FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_bias_words_parse(words, text, size, path, err);
    }
    od_free(text);
    return status;
}
