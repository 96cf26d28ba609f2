"""Writes tests/golden/oracle/text_wordpiece.json: small WordPiece tokenizers, as BERT's models have
them, and what Hugging Face's tokenizers makes of texts with them.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/oracle/text_wordpiece.py tests/golden/oracle/text_wordpiece.json

The form of the record is that of text_steps.json.
"""

import json
import random
import sys

import tokenizers

from text_steps import ALPHABET, EXTRA, build

WORDS = ["don't", "do", "not", "I'm", "it 's", "we've", "they 're", "can n't", "ab.", "ab !", "?",
         ",", "中ab文", "\u3400", "\uf900", "\U00020000", "\U0002b820", "\U0002b930", "Éa", "A\u030aB",
         "\u0300", "\x07", "\x7f", "\x85", "\u200b", "\u00ad", "\ufeff", "\ufffd", "\ue000", "\x0b",
         "\r\n", "[MASK]", "[CLS]", "a[SEP]b", "abcabcabcabc", "##ab", "@@a", "ÀÉ", "σΣ", "İ", "Ǆ",
         "۔", "—", "“", "€", "…", "aab12", "1.2", "x-y", "\u064b", "\u0903", "\u20dd", "한글"]


def make_model(seed, prefix, chars_max):
    """Pieces of one to four characters, each as a beginning and behind the prefix."""
    rng = random.Random(seed)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list("abcdeinotmsvr12.'!?,-中文éaσ한") + ["\u0301", "\u0300", "\u3400"]
    pieces = set()
    for letter in letters:
        pieces |= {letter, prefix + letter} if rng.random() < 0.8 else {letter}
    for _ in range(150):
        piece = "".join(rng.choice("abcdnot12é") for _ in range(rng.randrange(2, 5)))
        pieces.add(piece if rng.random() < 0.5 else prefix + piece)
    pieces |= {"do", "don", "not", "can", "we", "it", "they", prefix + "t"}
    vocab = special + sorted(pieces)
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": chars_max, "vocab": {p: i for i, p in enumerate(vocab)}}


def normalizer(clean, ideographs, accents, lower):
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": ideographs,
            "strip_accents": accents, "lowercase": lower}


def make_pipelines(models):
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                           {"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                         {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                                   "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}}
    bert = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    spaced = [(text, {}) for text in ("I do not . ?", "a ' b ' c", "x 's 've 're", "we 'm n't , !")]
    special = [(token, {"special": True}) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    cut = {"type": "BertPreTokenizer"}
    out = []
    for name, model, normal, pre, post, cleanup, added in [
            ("uncased", "hash", normalizer(True, True, None, True), cut, template, True, special),
            ("cased", "hash", normalizer(True, True, None, False), cut, bert, True, special),
            ("accents", "hash", normalizer(True, False, True, False), cut, template, False, special),
            ("keeps accents", "hash", normalizer(False, True, False, True), cut, None, False, special),
            ("other prefix", "at", normalizer(True, True, None, True), cut, template, True, special),
            ("no normalizer", "short", None, cut, None, True, []),
            ("one word", "short", None, None, None, True, special),
            ("clean up", "hash", None, cut, None, True, spaced),
            ("no clean up", "hash", None, cut, None, False, spaced),
            ("words", "hash", normalizer(False, False, False, False), {"type": "WhitespaceSplit"}, None,
             True, special)]:
        prefix = models[model]["continuing_subword_prefix"]
        out.append({"name": name, "model": model, "normalizer": normal, "pre_tokenizer": pre,
                    "post_processor": post, "added_tokens": list(added),
                    "decoder": {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup}})
    return out


def random_text(rng, size):
    parts = []
    for _ in range(rng.randrange(size)):
        kind = rng.random()
        parts.append(rng.choice(WORDS if kind < 0.5 else EXTRA if kind < 0.6 else ALPHABET))
        parts.append(rng.choice(["", " ", ""]))
    return "".join(parts)


def main():
    rng = random.Random(13)
    models = {"hash": make_model(1, "##", 100), "at": make_model(2, "@@", 100),
              "short": make_model(3, "##", 7)}
    pipelines = make_pipelines(models)
    fixed = ["", " ", "ab", " AB ", "Do not. I do not !", " ".join(WORDS), "".join(WORDS),
             "I do not . ?a ' b ' c x 's 've 're", "ab we 'm n't , !", "abcdnot" * 13 + "ab", "abcdnot" * 14 + "a bc", "abcabca abcabcab", "é" * 7, "é" * 8]
    for pipeline in pipelines:
        tokenizer = build(pipeline, models)
        cases = []
        for text in fixed + [random_text(rng, 14) for _ in range(60)]:
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            special = tokenizer.encode(text, add_special_tokens=True).ids
            mixed = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randrange(8))]
            cases.append([text, plain, None if special == plain else special,
                          tokenizer.decode(plain, skip_special_tokens=False),
                          tokenizer.decode(special, skip_special_tokens=True), mixed,
                          tokenizer.decode(mixed, skip_special_tokens=False)])
        pipeline["cases"] = cases
    what = {"tool": f"tokenizers {tokenizers.__version__}",
            "command": "python tests/oracle/text_wordpiece.py "
                       "tests/golden/oracle/text_wordpiece.json"}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write("{\n\"about\": " + json.dumps(what) + ",\n\"models\": {\n")
        file.write(",\n".join(json.dumps(name) + ": " + json.dumps(model)
                              for name, model in models.items()))
        file.write("\n},\n\"tokenizers\": [\n")
        file.write(",\n".join(json.dumps(p) for p in pipelines))
        file.write("\n]}\n")


if __name__ == "__main__":
    main()
