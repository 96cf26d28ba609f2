// Descriptions of runs: NAME:KEY=VALUE,KEY=VALUE. The first `:` ends the name, every `,` ends a
// pair, the first `=` of a pair ends its key. A value is an integer, else a float, else text. A
// repeated key keeps its first place and takes its last value.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/run_spec.h"

// A number as Python's int() and float() take it: blanks around it, `_` between digits. False when
// the text cannot be one; `out` then is undefined.
static bool tidy_number(const char *text, char *out, size_t out_bytes)
{
    size_t size = strlen(text);
    size_t n = 0;
    od_strip(&text, &size);
    if (size == 0 || size >= out_bytes) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        const bool between = i > 0 && i + 1 < size && isdigit((unsigned char)text[i - 1]) &&
                             isdigit((unsigned char)text[i + 1]);
        if (text[i] == '_') {
            if (!between) {
                return false;
            }
            continue;
        }
        out[n++] = text[i];
    }
    out[n] = '\0';
    return true;
}

static bool parse_special(const char *text, double *ret)
{
    const bool minus = *text == '-';
    if (*text == '-' || *text == '+') {
        text++;
    }
    if (strcasecmp(text, "nan") == 0) {
        *ret = (double)NAN;
        return true;
    }
    if (strcasecmp(text, "inf") == 0 || strcasecmp(text, "infinity") == 0) {
        *ret = minus ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    return false;
}

static const char *python_float_text(double value, char out[OD_NUMBER_BYTES])
{
    if (isnan(value)) {
        return "nan";
    }
    if (isinf(value)) {
        return value < 0 ? "-inf" : "inf";
    }
    od_double_text(value, out);
    return out;
}

static enum od_status set_value(struct od_run_arg *arg, const char *text, struct od_arena *arena,
                                struct od_error *err)
{
    char tidy[256];
    char shown[OD_NUMBER_BYTES];
    const char *digits = tidy;
    const char *python = text;

    arg->kind = OD_RUN_ARG_TEXT;
    if (tidy_number(text, tidy, sizeof tidy)) {
        if (tidy[0] == '+') {
            digits++;
        }
        if ((digits == tidy || isdigit((unsigned char)*digits)) &&
            od_parse_int(digits, &arg->integer)) {
            arg->kind = OD_RUN_ARG_INT;
            (void)snprintf(shown, sizeof shown, "%lld", (long long)arg->integer);
            python = shown;
        } else if (od_parse_double(digits, &arg->number) || parse_special(tidy, &arg->number)) {
            arg->kind = OD_RUN_ARG_FLOAT;
            python = python_float_text(arg->number, shown);
        }
    }
    arg->text = od_arena_strdup(arena, python);
    return arg->text ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for a run description");
}

static enum od_status add_pair(struct od_run_description *out, char *pair, const char *whole,
                               struct od_arena *arena, struct od_error *err)
{
    char *equals = strchr(pair, '=');
    struct od_run_arg *arg = NULL;
    if (!equals) {
        return od_fail(err, OD_E_FORMAT, "run description '%s': '%s' is not KEY=VALUE", whole,
                       pair);
    }
    *equals = '\0';
    for (size_t i = 0; i < out->arg_count; i++) {
        if (strcmp(out->args[i].key, pair) == 0) {
            arg = &out->args[i];
        }
    }
    if (!arg) {
        if (out->arg_count == OD_RUN_ARGS_MAX) {
            return od_fail(err, OD_E_LIMIT, "run description '%s' has more than %d arguments",
                           whole, OD_RUN_ARGS_MAX);
        }
        arg = &out->args[out->arg_count++];
        arg->key = pair;
    }
    return set_value(arg, equals + 1, arena, err);
}

enum od_status od_run_description_parse(const char *text, struct od_arena *arena,
                                        struct od_run_description *ret, struct od_error *err)
{
    struct od_run_description out = {0};
    if (strlen(text) > OD_RUN_DESCRIPTION_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "a run description of more than %d bytes",
                       OD_RUN_DESCRIPTION_MAX_BYTES);
    }
    char *copy = od_arena_strdup(arena, text);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for a run description");
    }
    char *rest = strchr(copy, ':');
    out.name = copy;
    if (rest) {
        *rest++ = '\0';
    }
    while (rest) {
        char *comma = strchr(rest, ',');
        if (comma) {
            *comma++ = '\0';
        }
        const enum od_status status = add_pair(&out, rest, text, arena, err);
        if (status != OD_OK) {
            return status;
        }
        rest = comma;
    }
    if (out.name[0] == '\0') {
        return od_fail(err, OD_E_FORMAT, "run description '%s' names no scenario", text);
    }
    *ret = out;
    return OD_OK;
}

const struct od_run_arg *od_run_arg_find(const struct od_run_description *description,
                                         const char *key)
{
    for (size_t i = 0; i < description->arg_count; i++) {
        if (strcmp(description->args[i].key, key) == 0) {
            return &description->args[i];
        }
    }
    return NULL;
}
