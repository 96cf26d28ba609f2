#include "text/bpe_scheme.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const char qwen2_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char llama3_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static const struct od_bpe_scheme schemes[] = {
    {.pre = "gpt-2",
     .family = "gpt2",
     .class_name = "GPT2Tokenizer",
     .specials = {"<|endoftext|>"}},
    {.pre = "qwen2",
     .family = "qwen2",
     .class_name = "Qwen2Tokenizer",
     .pattern = qwen2_pattern,
     .compose = true,
     .specials = {"<|endoftext|>"}},
    {.pre = "qwen2",
     .family = "qwen3",
     .class_name = "Qwen2Tokenizer",
     .pattern = qwen2_pattern,
     .compose = true,
     .specials = {"<|endoftext|>"}},
    {.pre = "roberta-bpe",
     .family = "roberta",
     .class_name = "RobertaTokenizer",
     .around = true,
     .specials = {"<s>", "</s>", "<unk>", "<pad>", "<mask>"},
     .lstrip_special = "<mask>"},
    {.pre = "llama-bpe", .pattern = llama3_pattern, .whole_words = true},
    {.pre = "mpt", .compose = true},
    {.pre = "olmo", .compose = true},
};

enum { SCHEMES = sizeof(schemes) / sizeof(schemes[0]) };

const struct od_bpe_scheme *od_bpe_scheme_of_pre(const char *pre)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        if (strcmp(schemes[i].pre, pre) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

const struct od_bpe_scheme *od_bpe_scheme_of_family(const char *family)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        if (schemes[i].family && strcmp(schemes[i].family, family) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

const struct od_bpe_scheme *od_bpe_scheme_of_class(const char *class_name)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        const char *name = schemes[i].class_name;
        const size_t size = name ? strlen(name) : 0;
        if (name && strncmp(class_name, name, size) == 0 &&
            (class_name[size] == '\0' || strcmp(class_name + size, "Fast") == 0)) {
            return &schemes[i];
        }
    }
    return NULL;
}

const struct od_bpe_scheme *od_bpe_scheme_of_steps(const char *pattern, bool compose,
                                                   bool whole_words)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        const char *own = schemes[i].pattern;
        const bool same = own && pattern ? strcmp(own, pattern) == 0 : !own && !pattern;
        if (same && schemes[i].compose == compose && schemes[i].whole_words == whole_words) {
            return &schemes[i];
        }
    }
    return NULL;
}

const char *od_bpe_scheme_classes(void)
{
    return "GPT2Tokenizer, Qwen2Tokenizer, RobertaTokenizer";
}

json_t *od_bpe_scheme_tree(const struct od_bpe_scheme *scheme, json_t *vocab, json_t *merges,
                           bool prefix_space)
{
    json_t *words =
        scheme->pattern
            ? json_pack("{ss s[{ss s{ss} ss sb} {ss sb sb}]}", "type", "Sequence", "pretokenizers",
                        "type", "Split", "pattern", "Regex", scheme->pattern, "behavior",
                        "Isolated", "invert", false, "type", "ByteLevel", "add_prefix_space",
                        prefix_space, "use_regex", false)
            : json_pack("{ss sb sb}", "type", "ByteLevel", "add_prefix_space", prefix_space,
                        "use_regex", true);
    json_t *normalizer = scheme->compose ? json_pack("{ss}", "type", "NFC") : json_null();
    return json_pack("{s[] so so s{ss} s{ss sO sO sb}}", "added_tokens", "normalizer", normalizer,
                     "pre_tokenizer", words, "decoder", "type", "ByteLevel", "model", "type", "BPE",
                     "vocab", vocab, "merges", merges, "ignore_merges", scheme->whole_words);
}
