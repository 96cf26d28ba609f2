#include "eval/metrics/stem.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { SUFFIX_MAX = 8 };

// A word being stemmed. No step makes it longer than it was before step 1.
struct word {
    char *text;
    size_t size;
};

// What a suffix becomes when the rest of the word is long enough.
struct rule {
    char suffix[SUFFIX_MAX];
    char becomes[SUFFIX_MAX];
};

static bool is_plain_vowel(char c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

// Whether text[at] is a consonant, where `before` says so of the character in front of it. A y is one
// at the start and behind a vowel.
static bool is_next_consonant(const char *text, size_t at, bool before)
{
    return text[at] == 'y' ? at == 0 || !before : !is_plain_vowel(text[at]);
}

static bool is_consonant(const char *text, size_t at)
{
    size_t first = at;
    bool consonant = false;
    while (first > 0 && text[first] == 'y') {
        first--;
    }
    for (size_t i = first; i <= at; i++) {
        consonant = is_next_consonant(text, i, consonant);
    }
    return consonant;
}

// Porter's m: how often a consonant comes right behind a vowel.
static size_t measure(const char *text, size_t size)
{
    size_t count = 0;
    bool before = true;
    for (size_t i = 0; i < size; i++) {
        const bool consonant = is_next_consonant(text, i, before);
        count += consonant && !before;
        before = consonant;
    }
    return count;
}

static bool has_vowel(const char *text, size_t size)
{
    bool before = true;
    for (size_t i = 0; i < size && before; i++) {
        before = is_next_consonant(text, i, before);
    }
    return !before;
}

// Porter's *o, and a word of a vowel and a consonant.
static bool ends_short(const char *text, size_t size)
{
    if (size == 2) {
        return !is_consonant(text, 0) && is_consonant(text, 1);
    }
    if (size < 3) {
        return false;
    }
    const char last = text[size - 1];
    return is_consonant(text, size - 3) && !is_consonant(text, size - 2) &&
           is_consonant(text, size - 1) && last != 'w' && last != 'x' && last != 'y';
}

static bool ends_with(const struct word *word, const char *suffix)
{
    const size_t size = strlen(suffix);
    return word->size >= size && memcmp(word->text + word->size - size, suffix, size) == 0;
}

// `suffix` stands at the end and gives way to `becomes`, which is no longer.
static void replace(struct word *word, const char *suffix, const char *becomes)
{
    const size_t left = word->size - strlen(suffix);
    const size_t size = strlen(becomes);
    memcpy(word->text + left, becomes, size);
    word->size = left + size;
}

// The first suffix that stands at the end decides: it is replaced when the measure of what is before
// it is above `above`.
static void apply(struct word *word, const struct rule *rules, size_t count, size_t above)
{
    for (size_t i = 0; i < count; i++) {
        if (ends_with(word, rules[i].suffix)) {
            if (measure(word->text, word->size - strlen(rules[i].suffix)) > above) {
                replace(word, rules[i].suffix, rules[i].becomes);
            }
            return;
        }
    }
}

static void step_1a(struct word *word)
{
    if (ends_with(word, "ies")) {
        replace(word, "ies", word->size == 4 ? "ie" : "i");
    } else if (ends_with(word, "sses")) {
        replace(word, "sses", "ss");
    } else if (ends_with(word, "s") && !ends_with(word, "ss")) {
        replace(word, "s", "");
    }
}

// Behind the loss of -ed or -ing: an e that went with it comes back, a doubled consonant is single.
static void mend_1b(struct word *word)
{
    const size_t size = word->size;
    const char last = word->text[size - 1];
    const bool lost_e = ends_with(word, "at") || ends_with(word, "bl") || ends_with(word, "iz");
    const bool doubled =
        size >= 2 && last == word->text[size - 2] && is_consonant(word->text, size - 1);
    if (!lost_e && doubled) {
        word->size -= last != 'l' && last != 's' && last != 'z';
    } else if (lost_e || (measure(word->text, size) == 1 && ends_short(word->text, size))) {
        word->text[word->size++] = 'e';
    }
}

static void step_1b(struct word *word)
{
    if (ends_with(word, "ied")) {
        replace(word, "ied", word->size == 4 ? "ie" : "i");
    } else if (ends_with(word, "eed")) {
        word->size -= measure(word->text, word->size - 3) > 0;
    } else if (ends_with(word, "ed") && has_vowel(word->text, word->size - 2)) {
        word->size -= 2;
        mend_1b(word);
    } else if (ends_with(word, "ing") && has_vowel(word->text, word->size - 3)) {
        word->size -= 3;
        mend_1b(word);
    }
}

static void step_1c(struct word *word)
{
    if (ends_with(word, "y") && word->size > 2 && is_consonant(word->text, word->size - 2)) {
        word->text[word->size - 1] = 'i';
    }
}

static void step_2(struct word *word)
{
    static const struct rule rules[] = {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},
                                        {"anci", "ance"},   {"izer", "ize"},    {"bli", "ble"},
                                        {"alli", "al"},     {"entli", "ent"},   {"eli", "e"},
                                        {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
                                        {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"},
                                        {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},
                                        {"iviti", "ive"},   {"biliti", "ble"},  {"fulli", "ful"}};
    while (ends_with(word, "alli") && measure(word->text, word->size - 4) > 0) {
        replace(word, "alli", "al");
    }
    if (ends_with(word, "logi")) {  // the l counts to what is before
        word->size -= measure(word->text, word->size - 3) > 0;
        return;
    }
    apply(word, rules, sizeof rules / sizeof *rules, 0);
}

static void step_3(struct word *word)
{
    static const struct rule rules[] = {{"icate", "ic"}, {"ative", ""},  {"alize", "al"},
                                        {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""},
                                        {"ness", ""}};
    apply(word, rules, sizeof rules / sizeof *rules, 0);
}

static void step_4(struct word *word)
{
    static const struct rule rules[] = {
        {"al", ""},   {"ance", ""}, {"ence", ""},  {"er", ""},   {"ic", ""},  {"able", ""},
        {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""}, {"ent", ""}, {"ou", ""},
        {"ism", ""},  {"ate", ""},  {"iti", ""},   {"ous", ""},  {"ive", ""}, {"ize", ""}};
    if (!ends_with(word, "ion")) {
        apply(word, rules, sizeof rules / sizeof *rules, 1);
    } else if (measure(word->text, word->size - 3) > 1 &&
               (word->text[word->size - 4] == 's' || word->text[word->size - 4] == 't')) {
        word->size -= 3;
    }
}

static void step_5(struct word *word)
{
    if (ends_with(word, "e")) {
        const size_t rest = measure(word->text, word->size - 1);
        word->size -= rest > 1 || (rest == 1 && !ends_short(word->text, word->size - 1));
    }
    if (ends_with(word, "ll")) {
        word->size -= measure(word->text, word->size - 1) > 1;
    }
}

// The stem of an irregular word, or NULL.
static const char *irregular(const struct word *word)
{
    static const char *const pairs[][2] = {
        {"sky", "sky"},        {"skies", "sky"},        {"dying", "die"},
        {"lying", "lie"},      {"tying", "tie"},        {"news", "news"},
        {"innings", "inning"}, {"inning", "inning"},    {"outings", "outing"},
        {"outing", "outing"},  {"cannings", "canning"}, {"canning", "canning"},
        {"howe", "howe"},      {"proceed", "proceed"},  {"exceed", "exceed"},
        {"succeed", "succeed"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (strlen(pairs[i][0]) == word->size && ends_with(word, pairs[i][0])) {
            return pairs[i][1];
        }
    }
    return NULL;
}

size_t od_stem(char *word, size_t size)
{
    struct word work = {word, size};
    const char *stem = irregular(&work);
    if (stem) {
        work.size = strlen(stem);
        memcpy(word, stem, work.size);
    } else if (size > 2) {
        step_1a(&work);
        step_1b(&work);
        step_1c(&work);
        step_2(&work);
        step_3(&work);
        step_4(&work);
        step_5(&work);
    }
    return work.size;
}
