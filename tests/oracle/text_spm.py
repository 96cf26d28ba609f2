"""Writes tests/golden/oracle/text_spm/: small SentencePiece models of type BPE, each with other
settings, and what sentencepiece makes of texts with them.

    python3 -m venv venv && venv/bin/pip install sentencepiece==0.2.3 protobuf
    venv/bin/python tests/oracle/text_spm.py tests/golden/oracle/text_spm

Files: NAME.model.gz, and cases.json with [text, ids, decoded, other ids, those decoded] for each.
"""

import gzip
import io
import json
import os
import random
import sys

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb

WORDS = ["ab", "abba", "aab", "the", "then", "a", "b", "é", "中文", "12", "3.4", "x-y", "co", "ing"]
PARTS = WORDS + [" ", "  ", "   ", "\n", "\t", "ﬁ", "①", "ａｂ", "\u3000", "\u00a0", "e\u0301", "▁",
                 "<u>", "<u>v", "<s>", "</s>", "<c>", "👍🏽", "\u200b", "한", "ß", "İ", "½", "\x00",
                 "qu", "Ⅷ", "<0x41>", "<unk>", "zzz", "\u0344", "%", "&"]


def train(name, folder, change=None, **settings):
    rng = random.Random(5)
    lines = [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 12))) for _ in range(400)]
    out = io.BytesIO()
    options = dict(vocab_size=90, model_type="bpe", character_coverage=1.0, minloglevel=2,
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
    return processor


def unused(model):
    """Every third piece of more than one character is only a step on the way."""
    long = [piece for piece in model.pieces if len(piece.piece) > 1 and piece.type == 1]
    for piece in long[::3]:
        piece.type = 5


def defaults_absent(model):
    """A file that leaves out everything that has a default."""
    model.normalizer_spec.ClearField("add_dummy_prefix")
    model.normalizer_spec.ClearField("remove_extra_whitespaces")
    model.normalizer_spec.ClearField("escape_whitespaces")
    model.trainer_spec.ClearField("unk_surface")


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    rules = os.path.join(folder, "rules.tsv")
    with open(rules, "w", encoding="utf-8") as file:
        # ab -> X, abb -> nothing, blanks around 中, ﬁ -> fi, e + U+0301 -> é,
        # a blank behind % and in front of &
        file.write("61 62\t58\n61 62 62\t\n4E2D\t20 4E2D 20\nFB01\t66 69\n65 301\tE9\n3000\t20\n"
                   "25\t25 20\n26\t20 26\n")
    processors = {
        "plain": train("plain", folder, normalization_rule_name="identity"),
        "nmt_nfkc": train("nmt_nfkc", folder, normalization_rule_name="nmt_nfkc"),
        "rules": train("rules", folder, normalization_rule_tsv=rules, byte_fallback=True,
                       vocab_size=340),
        "llama": train("llama", folder, normalization_rule_name="identity", byte_fallback=True,
                       vocab_size=340, remove_extra_whitespaces=False, split_digits=True,
                       allow_whitespace_only_pieces=True),
        "no_prefix": train("no_prefix", folder, normalization_rule_name="identity",
                           add_dummy_prefix=False, remove_extra_whitespaces=False),
        "no_prefix_strip": train("no_prefix_strip", folder, normalization_rule_name="identity",
                                 add_dummy_prefix=False),
        "symbols": train("symbols", folder, normalization_rule_name="identity", vocab_size=100,
                         user_defined_symbols=["<u>", "qu", "<u>v", "b", " a"],
                         control_symbols=["<c>"], unk_surface="?!", pad_id=3,
                         remove_extra_whitespaces=False),
        "unused": train("unused", folder, unused, normalization_rule_name="identity",
                        byte_fallback=True, vocab_size=340, remove_extra_whitespaces=False),
        "defaults": train("defaults", folder, defaults_absent, normalization_rule_name="identity"),
    }
    os.remove(rules)
    rng = random.Random(3)
    fixed = ["", " ", "   ", "ab", " ab", "ab  ab ", "the then abba", "▁ab", "\n", "<u>v qu<u>",
             "aaaabbbb" * 5, "中文 abb", "zz", " zz z"]
    records = []
    for name, processor in processors.items():
        cases = []
        # Characters from all over, so that the rules of NFKC are walked.
        wide = ["".join(chr(rng.choice([rng.randrange(0x20, 0xD800), rng.randrange(0xF900, 0x10000),
                                        rng.randrange(0x1D400, 0x1F200)])) for _ in range(12))
                for _ in range(60 if name == "nmt_nfkc" else 4)]
        for text in wide + fixed + ["".join(rng.choice(PARTS) for _ in range(rng.randrange(14)))
                             for _ in range(60)]:
            ids = processor.encode(text)
            other = [rng.randrange(processor.get_piece_size()) for _ in range(rng.randrange(7))]
            cases.append([text, ids, processor.decode(ids), other, processor.decode(other)])
        records.append({"name": name, "bos": processor.bos_id(), "eos": processor.eos_id(),
                        "size": processor.get_piece_size(), "cases": cases})
    about = {"tool": f"sentencepiece {sentencepiece.__version__}",
             "command": "python tests/oracle/text_spm.py tests/golden/oracle/text_spm"}
    with open(os.path.join(folder, "cases.json"), "w", encoding="utf-8") as file:
        file.write("{\n\"about\": " + json.dumps(about) + ",\n\"models\": [\n")
        file.write(",\n".join(json.dumps(record) for record in records))
        file.write("\n]}\n")


if __name__ == "__main__":
    main()
