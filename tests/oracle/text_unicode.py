"""What Hugging Face's tokenizers knows of every code point, asked of the program itself.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 unicodedata2==18.0.0
    venv/bin/python tests/oracle/text_unicode.py tests/golden/oracle/text_unicode.json src/text/unicode_tables.h

The record has, for each step, a digest of its results on each 4096 code points of the first two planes and
on each later plane, and random texts of code points that are new, with marks between them, in all normal
forms. The header has the tables that the steps here need: sets of code points, lower cases that utf8proc
does not have, and code points that are in no normal form's rules though later versions of Unicode have
them there (unicodedata2 says which those are).
"""

import hashlib
import json
import random
import sys
import unicodedata

import tokenizers
import unicodedata2
from tokenizers import normalizers, pre_tokenizers

PLAIN = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
FORMS = {"nfc": normalizers.NFC(), "nfd": normalizers.NFD(), "nfkc": normalizers.NFKC(), "nfkd": normalizers.NFKD()}
STEPS = {"lower": normalizers.Lowercase(), "strip_accents": normalizers.StripAccents(),
         "bert_clean": normalizers.BertNormalizer(**dict(PLAIN, clean_text=True)),
         "bert_accents": normalizers.BertNormalizer(**dict(PLAIN, strip_accents=True)),
         "bert_lower": normalizers.BertNormalizer(**dict(PLAIN, lowercase=True)),
         "bert_ideographs": normalizers.BertNormalizer(**dict(PLAIN, handle_chinese_chars=True)), **FORMS}
CODES = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
WORDS = pre_tokenizers.Whitespace()
DIGITS = pre_tokenizers.Digits(individual_digits=False)
PUNCTUATION = pre_tokenizers.Punctuation()


def pieces(cutter, code):
    return [text for text, _ in cutter.pre_tokenize_str("a" + chr(code) + "a")]


# U+0000 is asked of nobody: texts with it are not read.
def sets():
    made = {"word": [], "number": [], "punctuation": [], "other": [], "nonspacing": [], "mark": []}
    for code in CODES:
        text = chr(code)
        made["word"] += [code] if pieces(WORDS, code) == ["a" + text + "a"] else []
        made["number"] += [code] if len(pieces(DIGITS, code)) > 1 else []
        made["punctuation"] += [code] if len(pieces(PUNCTUATION, code)) > 1 else []
        made["other"] += [code] if STEPS["bert_clean"].normalize_str(text) == "" else []
        made["nonspacing"] += [code] if STEPS["bert_accents"].normalize_str(text) == "" else []
        made["mark"] += [code] if STEPS["strip_accents"].normalize_str(text) == "" else []
    return made


# Code points that are taken as they are and change no place, though they have a decomposition or a combining
# class in a later version; and first parts of pairs that are one character there.
def untouched():
    found = set()
    for code in CODES:
        text = chr(code)
        parts = unicodedata2.decomposition(text)
        same = all(form.normalize_str(text) == text for form in FORMS.values())
        moves = unicodedata2.combining(text)
        still = (FORMS["nfd"].normalize_str("a" + text + "\u0334") == "a" + text + "\u0334"
                 and FORMS["nfd"].normalize_str("a\u0345" + text) == "a\u0345" + text)
        if (parts and same) or (moves and still):
            found.add(code)
        if parts and same and not parts.startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts.split())
            if FORMS["nfc"].normalize_str(pair) == pair:
                found.add(ord(pair[0]))
    return sorted(found)


# Of code points that Unicode 3.2 does not have; older ones are in every library's tables.
def lower_cases():
    pairs = []
    for code in CODES:
        low = STEPS["lower"].normalize_str(chr(code))
        if len(low) == 1 and ord(low) != code and unicodedata.ucd_3_2_0.category(chr(code)) == "Cn":
            pairs.append((code, ord(low)))
    return pairs


def ranges(codes):
    out = []
    for code in codes:
        # Surrogates are in no text: a range may go over them.
        if out and (code == out[-1][1] + 1 or (out[-1][1], code) == (0xD7FF, 0xE000)):
            out[-1][1] = code
        else:
            out.append([code, code])
    return out


def write_table(file, name, rows, what):
    file.write(f"/** {what} */\nstatic const uint32_t {name}[][2] = {{\n")
    line = "   "
    for low, high in rows:
        item = f" {{0x{low:X}, 0x{high:X}}},"
        if len(line + item) > 100:
            file.write(line + "\n")
            line = "   "
        line += item
    file.write(line.rstrip(",") + "};\n\n")


def write_header(path, made, plain, lower):
    with open(path, "w", encoding="utf-8") as file:
        file.write("/**\n * @file\n * Tables made by tests/oracle/text_unicode.py of what tokenizers "
                   f"{tokenizers.__version__} does; not to be\n * changed by hand. Ranges of code points, ends "
                   "included, in order.\n *\n * @thread Re-entrant: constants.\n */\n"
                   "#ifndef OD_TEXT_UNICODE_TABLES_H\n#define OD_TEXT_UNICODE_TABLES_H\n\n"
                   "#include <stdint.h>\n\n// clang-format off\n")
        whats = {"word": "`\\w` of Rust's regular expressions.", "number": "What Digits cuts off.",
                 "punctuation": "What Punctuation cuts off.", "other": "What BertNormalizer removes when it cleans.",
                 "nonspacing": "What BertNormalizer removes as an accent.", "mark": "What StripAccents removes."}
        for name, codes in made.items():
            write_table(file, "unicode_" + name, ranges(codes), whats[name])
        write_table(file, "unicode_untouched", ranges(plain),
                    "Code points that no normal form changes or moves, though newer versions have rules for them.")
        write_table(file, "unicode_lower_pairs", lower, "Code points whose lower case is newer than the library's tables, and it.")
        file.write("// clang-format on\n\n#endif\n")


def chunks():
    edges = list(range(0, 0x20000, 0x1000)) + list(range(0x20000, 0x110001, 0x10000))
    return list(zip(edges, edges[1:]))


def digest(texts):
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def digests(made):
    out = {}
    for name, step in STEPS.items():
        out[name] = [digest(step.normalize_str(chr(code)) for code in CODES if low <= code < high) for low, high in chunks()]
    for name in ["word", "number", "punctuation"]:
        have = set(made[name])
        out[name] = [digest("01"[code in have] for code in CODES if low <= code < high) for low, high in chunks()]
    return out


def mixed(plain):
    rng = random.Random(11)
    marks = ["\u0301", "\u0345", "\u0334", "\u0323", "\u093c", "\u3099"]
    texts = []
    for _ in range(150):
        pool = [chr(rng.choice(plain)), rng.choice(marks), "é", "e", "ガ", "가", "\U00011935", "\U00011930", "ﬁ"]
        texts.append("".join(rng.choice(pool) for _ in range(rng.randrange(1, 8))))
    return [{"text": text, **{name: form.normalize_str(text) for name, form in FORMS.items()}} for text in texts]


# Where \w of Oniguruma is more than letters, marks, digits and connectors.
WORD_BLOCKS = [(0x20, 0x250), (0x2000, 0x2C00), (0x3000, 0x3100), (0xA640, 0xA700), (0x10140, 0x10400), (0x1F100, 0x1F200)]


def pattern_words():
    cutter = pre_tokenizers.Split(tokenizers.Regex(r"\w"), "isolated")

    def is_word(code):
        return len(cutter.pre_tokenize_str("\ue000" + chr(code) + "\ue000")) == 3

    return [{"low": low, "words": "".join("01"[is_word(code)] for code in range(low, high))} for low, high in WORD_BLOCKS]


def main(record, header):
    made, plain = sets(), untouched()
    lower = lower_cases()
    write_header(header, made, plain, lower)
    with open(record, "w", encoding="utf-8") as file:
        about = {"tool": f"tokenizers {tokenizers.__version__}, unicodedata2 {unicodedata2.unidata_version}",
                 "command": "python3 tests/oracle/text_unicode.py tests/golden/oracle/text_unicode.json "
                            "src/text/unicode_tables.h"}
        json.dump({"about": about, "chunks": chunks(), "digests": digests(made), "texts": mixed(plain),
                   "pattern_words": pattern_words()}, file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
