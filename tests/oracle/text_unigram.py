"""Writes tests/golden/oracle/text_unigram/: small SentencePiece models of type unigram, each with
other settings, and what sentencepiece makes of texts with them; and two tokenizer.json made of the
same pieces, with what Hugging Face's tokenizers makes of the texts.

    python3 -m venv venv && venv/bin/pip install sentencepiece==0.2.1 protobuf tokenizers==0.23.3
    venv/bin/python tests/oracle/text_unigram.py tests/golden/oracle/text_unigram

Files: NAME.model.gz, and cases.json with [text, ids, decoded, other ids, those decoded] for each.
NAME.json.gz are the tokenizer.json; hf_cases.json has [text, ids, decoded] for each.

Scores are rounded to quarters in some models, so that sums tie and the order of looking decides.
sentencepiece from 0.2.2 on breaks a few ties in another way than 0.1.97 to 0.2.1.
"""

import base64
import gzip
import io
import json
import os
import random
import sys

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as pb

from text_spm import PARTS as OTHER_PARTS
from text_spm import WORDS, unused

PARTS = OTHER_PARTS + ["Z", "Z\u0301", "Z\u0300", "zz"]


def train(name, folder, change=None, **settings):
    rng = random.Random(5)
    lines = [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 12))) for _ in range(400)]
    out = io.BytesIO()
    options = dict(vocab_size=60, model_type="unigram", character_coverage=1.0, minloglevel=2,
                   hard_vocab_limit=False, num_threads=1)
    options.update(settings)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out,
                                             **options)
    model = pb.ModelProto()
    model.ParseFromString(out.getvalue())
    if change:
        change(model)
    data = model.SerializeToString(deterministic=True)
    with open(os.path.join(folder, name + ".model.gz"), "wb") as file:
        file.write(gzip.compress(data, 9, mtime=0))
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(data)
    return processor, model


def ties(model):
    for piece in model.pieces:
        piece.score = round(piece.score * 4) / 4


def thirds(model):
    """Ties in real numbers that float sums break now one way, now the other."""
    for piece in model.pieces:
        if piece.type == 1:
            piece.score = -len(piece.piece) * 1.1


def level(model):
    """Scores above zero: many pieces are worth more than one piece of the user, and unknown
    characters more than a piece."""
    for piece in model.pieces:
        piece.score = 50.0
    model.pieces.add(piece="zz", score=50.0)


def texts(name):
    rng = random.Random(name)
    fixed = ["", " ", "   ", "ab", " ab", "ab  ab ", "the then abba", "▁ab", "\n", "<u>v qu<u>",
             "aaaabbbb" * 5, "中文 abb", "zz", " zz z", "ababababababababab" * 6]
    return fixed + ["".join(rng.choice(PARTS) for _ in range(rng.randrange(14)))
                    for _ in range(60)] + ["".join(rng.choice("ab the") for _ in range(120))
                                           for _ in range(8)]


def hugging_face(folder, name, model, byte_fallback):
    pieces = [[piece.piece, piece.score] for piece in model.pieces]
    rules = base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()
    tree = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": rules}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                          "split": True},
        "post_processor": None,
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                    "split": True},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": byte_fallback},
    }
    text = json.dumps(tree)
    with open(os.path.join(folder, name + ".json.gz"), "wb") as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))
    tokenizer = tokenizers.Tokenizer.from_str(text)
    cases = []
    for case in texts(name):
        ids = tokenizer.encode(case).ids
        cases.append([case, ids, tokenizer.decode(ids, skip_special_tokens=False)])
    return {"name": name, "cases": cases}


def write(path, about, records):
    with open(path, "w", encoding="utf-8") as file:
        file.write("{\n\"about\": " + json.dumps(about) + ",\n\"models\": [\n")
        file.write(",\n".join(json.dumps(record) for record in records))
        file.write("\n]}\n")


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    rules = os.path.join(folder, "rules.tsv")
    with open(rules, "w", encoding="utf-8") as file:
        # ab -> X, abb -> nothing, blanks around 中, ﬁ -> fi, e + U+0301 -> é,
        # Z -> Y, Z + U+0301 -> W
        file.write("61 62\t58\n61 62 62\t\n4E2D\t20 4E2D 20\nFB01\t66 69\n65 301\tE9\n3000\t20\n"
                   "5A\t59\n5A 301\t57\n")
    made = {
        "plain": train("plain", folder, normalization_rule_name="identity"),
        "rules": train("rules", folder, normalization_rule_tsv=rules, byte_fallback=True,
                       vocab_size=310),
        "ties": train("ties", folder, ties, normalization_rule_name="identity"),
        "thirds": train("thirds", folder, thirds, normalization_rule_name="identity"),
        "symbols": train("symbols", folder, normalization_rule_name="identity", vocab_size=70,
                         user_defined_symbols=["<u>", "qu", "<u>v", "b", " a"],
                         control_symbols=["<c>"], unk_surface="?!", pad_id=3,
                         remove_extra_whitespaces=False),
        "level": train("level", folder, level, normalization_rule_name="identity",
                       user_defined_symbols=["ab", "the"], vocab_size=70),
        "unused": train("unused", folder, unused, normalization_rule_name="identity",
                        byte_fallback=True, vocab_size=310, add_dummy_prefix=False),
    }
    os.remove(rules)
    records = []
    for name, (processor, _) in made.items():
        rng = random.Random(3)
        cases = []
        for text in texts(name):
            ids = processor.encode(text)
            other = [rng.randrange(processor.get_piece_size()) for _ in range(rng.randrange(7))]
            cases.append([text, ids, processor.decode(ids), other, processor.decode(other)])
        records.append({"name": name, "bos": processor.bos_id(), "eos": processor.eos_id(),
                        "size": processor.get_piece_size(), "cases": cases})
    command = "python tests/oracle/text_unigram.py tests/golden/oracle/text_unigram"
    write(os.path.join(folder, "cases.json"),
          {"tool": f"sentencepiece {sentencepiece.__version__}", "command": command}, records)
    write(os.path.join(folder, "hf_cases.json"),
          {"tool": f"tokenizers {tokenizers.__version__}", "command": command},
          [hugging_face(folder, "hf_rules", made["rules"][1], False),
           hugging_face(folder, "hf_bytes", made["rules"][1], True),
           hugging_face(folder, "hf_level", with_rules(made["level"][1], made["rules"][1]), False),
           hugging_face(folder, "hf_ties", with_rules(made["ties"][1], made["rules"][1]), False)])


def with_rules(model, other):
    model.normalizer_spec.precompiled_charsmap = other.normalizer_spec.precompiled_charsmap
    return model


if __name__ == "__main__":
    main()
