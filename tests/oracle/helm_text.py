#!/usr/bin/env python3
"""Records what HELM's text metrics do: ROUGE, BLEU, and what lies below them.

    venv/bin/python tests/oracle/helm_text.py tests/golden/oracle/helm ../shared/data [TABLES]

In the venv of helm_eval.py: nltk 3.8.1, rouge-score 0.1.2, and helm.benchmark.metrics.basic_metrics,
whose functions are called. Written into the first folder:

    text.json           stems, sentences, words and scores of made-up and odd texts, with the made-up
                        tables and lists of words of data/helm; scores of real answers (by their places,
                        not as text) and digests over real text of the shared data
    text-english.json   the same with NLTK's tables of English and HELM's lists of words, which are not part of
                        the source: TABLES is the folder punkt_tab/english; without it the file stays as it is
"""
import csv
import gzip
import hashlib
import json
import lzma
import os
import random
import re
import runpy
import sys

from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

ABBREVIATIONS = ["dr", "mr", "mrs", "st", "u.s", "e.g", "p", "a", "inc", "no", "vs", "co-op", "p.m", "caf\u00e9"]
COLLOCATIONS = [("##number##", "lamps"), ("b", "river"), ("e.g", "stone"), ("##number##", "##number##")]
STARTERS = ["the", "however", "it", "seven"]
# WORD: how it was seen; 2, 4, 8 with a capital at the start, inside, elsewhere; 16, 32, 64 without.
ORTHOGRAPHY = {"the": 126, "river": 36, "stone": 34, "lamp": 4, "he": 46, "it": 48, "copper": 16, "seven": 20,
               "winter": 2, "she": 98, "garden": 8, "\u00e9t\u00e9": 34, "##number##": 64, "a": 32, "orbit": 18}


def write_sentence_tables(folder):
    """The tables, in the form of NLTK's punkt_tab."""
    folder = os.path.join(folder, "punkt_tab", "english")
    os.makedirs(folder, exist_ok=True)
    for name, lines in (("abbrev_types.txt", ABBREVIATIONS), ("sent_starters.txt", STARTERS),
                        ("collocations.tab", [f"{a}\t{b}" for a, b in COLLOCATIONS]),
                        ("ortho_context.tab", [f"{word}\t{mask}" for word, mask in ORTHOGRAPHY.items()])):
        with open(os.path.join(folder, name), "w") as f:
            f.write("".join(line + "\n" for line in lines))


# As in HELM's bias_word_lists.py: the lists of the metric of bias.
BIAS_WORDS = {
    "FEMALE_WORDS": ["she", "answer", "her", "lady"], "MALE_WORDS": ["it", "he", "so"],
    "ASIAN_NAMES": ["lamp", "apples"], "HISPANIC_NAMES": ["the", "river", "stone", "mr.", "n't"], "WHITE_NAMES": ["so", "caf\u00e9", "copper"],
    "ADJECTIVE_LIST": ["is", "red", "late", "caf\u00e9", "well-to-do", "ca", "."], "PROFESSION_LIST": ["answer", "pilot", "apples", "dr", "river"],
}


def write_bias_words(folder):
    """The lists, in the form of HELM's file."""
    with open(os.path.join(folder, "bias_word_lists.py"), "w") as f:
        f.write('"""Made-up lists."""\n\nfrom typing import Dict, List\n')
        for name, listed in BIAS_WORDS.items():
            f.write(f"\n\n{name}: List[str] = [\n" + "".join(f'    "{w}",\n' for w in listed) + "]\n")


def use_bias_words(path):
    """Has BiasMetric count the words of the file `path`."""
    from helm.benchmark.metrics.bias_metrics import BiasMetric
    lists = runpy.run_path(path)
    BiasMetric.DEMOGRAPHIC_CATEGORY_TO_WORD_DICT = {
        "race": {"asian": lists["ASIAN_NAMES"], "hispanic": lists["HISPANIC_NAMES"], "white": lists["WHITE_NAMES"]},
        "gender": {"female": lists["FEMALE_WORDS"], "male": lists["MALE_WORDS"]}}
    BiasMetric.TARGET_CATEGORY_TO_WORD_LIST = {"adjective": lists["ADJECTIVE_LIST"], "profession": lists["PROFESSION_LIST"]}


def read_sentence_tables(folder):
    """A tokenizer with the tables of `folder`."""
    def lines(name):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            return [line for line in f.read().split("\n") if line]

    parameters = PunktParameters()
    parameters.abbrev_types = set(lines("abbrev_types.txt"))
    parameters.sent_starters = set(lines("sent_starters.txt"))
    parameters.collocations = {tuple(line.split("\t")) for line in lines("collocations.tab")}
    for line in lines("ortho_context.tab"):
        word, mask = line.rsplit("\t", 1)
        parameters.ortho_context[word] = int(mask)
    return PunktSentenceTokenizer(parameters)


def use_sentence_tables(folder):
    """Has word_tokenize cut sentences by the tables of `folder`."""
    import nltk.tokenize
    tokenizer = read_sentence_tables(folder)
    nltk.tokenize.load = lambda path: tokenizer


# ---------------------------------------------------------------- texts

PIECES = [
    "the", "The", "river", "River", "stone", "Lamp", "lamps", "lamp", "He", "he", "she", "It", "it", "However",
    "however", "seven", "Seven", "copper", "Winter", "garden", "\u00e9t\u00e9", "\u00c9t\u00e9", "caf\u00e9.", "Dr.", "dr.", "Mrs.", "U.S.",
    "e.g.", "E.g.", "p.m.", "co-op.", "x-dr.", "a.", "B.", "b.", "J.", "_.", "\u00b2.", "\u0664.", "7.", "12.", "3.5", "-2.0.", "1,000.",
    ".5", "5..", "orbit", "Orbit", ".", "..", "...", ". .", ". . .", "? ", "!", "?!", "!!!", "?)", ".)", ".\"", ".''", ".')",
    "'", "''", "\"", "``", "`", "```", "\u2018", "\u2019", "\u201c", "\u201d", "\u00ab", "\u00bb", "\u201e", "(", ")", "[", "]", "{", "}", "<", ">",
    ",", ", ", ":", ";", ":3", ",4", "a,b", "x:y", "-", "--", "---", "a--b", "*", "&", "#", "@", "$", "%", "$3.88", "it's",
    "IT'S", "It'S", "can't", "CAN'T", "cannot", "Cannot", "we'll", "I've", "they're", "they'RE", "dogs'", "'tis", "'Twas",
    "'T\u0130S", "'t\u0131s", "gimme", "g\u0131mme", "gonna", "Gotta", "lemme", "wanna", "wanna.", "d'ye", "more'n", "'em", "'x", "'s", "'\u017fo",
    "'\u00e9t\u00e9", "n't", "don't", "\u017f", "\u212a", "\u0130", "\u00df", "\u03a3\u0391\u03a3", "\U0001f600", "\u4f60\u597d", "\u3002", "e\u0301", "\u200b", "\ufeff", "\u00a0",
    "\u2028", "\x1c", "\x1f", "\x85", "\t", "\n", "\n\n", "\r\n", "  ", "_", "a_b", "\u0663\u0664", "\u00bd", "\u2160", "\u3042.", "1st.",
    "end.", "end.\n", "end. ", "end.\u00a0", "(end.)", "[end.]", "\"end.\"", "end.\u201d", "end.\u2019 ", "no.", "No.", "etc..", "x....", "?.", ".?",
]
FIXED = [
    "", " ", "\n", ".", "..", "A", "a b c d", "the the the the", "The cat sat on the mat.", "The cat is on the mat.",
    "Mr. Smith's dog can't run; it barked (twice).", "mr smith's dog can't run, it barked twice",
    "the quick brown fox jumps", "a quick brown fox jumped over", "Olga painted boats and will show Piet two next week.",
    "Olga has painted two boats. She'll show them to Piet next week!", "abc", "hello", "17", "-17.", "$17.00",
    "Na\u00efve caf\u00e9s, \u00e9t\u00e9! \u4f60\u597d\u3002 \U0001f600\U0001f600", "relational organizations were universally hopeful",
    "relation organization was universal hope", "(First.) Second. \"Third!\" Fourth.", "He left (finally.) Ok... she's here -- isn't she?",
    "Ripe plums are $4.25\nin Old Town.  Bring us\nthree, please.\n\nBye.", "a. b. c. d", "He met B. River in the U.S. He left.",
    "He met J. Winter. J. Orbit left.", "It was 5 p.m. It rained.", "At no. 7 lamps, at no. 8. Lamps.", "Wait... The river. wait... river",
    "One.Two. Three", "\"Quoted.\" 'Single.' ``Ticks.''", "I said \"no.\"--and left. (Why?) [So.] ok", "!" * 40 + " x", ". " * 40, "x." * 40,
    "end.\u00a0\u00a0Next", "end.\u2003Next. \u00a0", "--a--", "don't can't won't I'd he'd", "I wanna. I wanna go", "fere luho citatu jutajeku pasoce luhoma herotuca",
]


def odd_texts(count):
    rng = random.Random(20231128)
    texts = list(FIXED)
    for _ in range(count):
        glue = rng.choice([" ", " ", " ", "", "\n"])
        texts.append(glue.join(rng.choice(PIECES) for _ in range(rng.randint(1, 14))))
    return texts


SUFFIXES = ["", "s", "es", "ies", "sses", "ed", "ied", "eed", "ing", "y", "ly", "ational", "tional", "enci", "anci", "izer", "bli",
            "alli", "allialli", "entli", "eli", "ousli", "ization", "ation", "ator", "alism", "iveness", "fulness", "ousness", "aliti",
            "iviti", "biliti", "fulli", "logi", "icate", "ative", "alize", "iciti", "ical", "ful", "ness", "al", "ance", "ence", "er",
            "ic", "able", "ible", "ant", "ement", "ment", "ent", "sion", "tion", "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize",
            "e", "ll", "ling", "zzed", "ssing", "tted", "atting", "bled", "izing", "7ed", "77ing"]
WORDS = ["sky", "skies", "dying", "lying", "tying", "news", "innings", "inning", "outings", "outing", "cannings", "canning", "howe",
         "proceed", "exceed", "succeed", "a", "is", "ies", "ied", "eed", "ed", "ing", "yyyy", "yyyyed", "ayyed", "0000", "12ed", "ties",
         "tied", "dies", "died", "feed", "agreed", "hopping", "falling", "filing", "enjoy", "spy", "happy", "geology", "controll", "roll",
         "cease", "rate", "probate", "syzygy", "toy", "ing1", "beings", "eing", "oed", "bys", "byed", "xying"]
STARTS = ["", "a", "b", "tr", "oat", "fl", "hop", "gener", "yell", "say", "ay", "sens", "xx", "organ", "sky", "q9", "oo", "univers"]


def words():
    rng = random.Random(5)
    out = list(WORDS) + [start + suffix for start in STARTS for suffix in SUFFIXES if start + suffix]
    for _ in range(400):
        out.append("".join(rng.choice("aeiouybcdlnstz1") for _ in range(rng.randint(1, 9))) + rng.choice(SUFFIXES))
    return sorted(set(out))


# ---------------------------------------------------------------- records

METRICS = ["rouge_1", "rouge_2", "rouge_l", "bleu_1", "bleu_4"]


def functions():
    from helm.benchmark.metrics import basic_metrics
    return [basic_metrics.get_rouge_function("rouge1"), basic_metrics.get_rouge_function("rouge2"),
            basic_metrics.get_rouge_function("rougeL"), basic_metrics.bleu_1, basic_metrics.bleu_4]


def scores(gold, pred):
    return [f(gold, pred) for f in functions()]


def pairs(texts):
    rng = random.Random(9)
    out = [[t, t] for t in FIXED] + [[a, b] for a in FIXED[:26] for b in FIXED[:26] if rng.random() < 0.3]
    for text in texts[len(FIXED):]:
        parts = text.split(" ")
        rng.shuffle(parts)
        out.append([text, rng.choice([" ".join(parts), rng.choice(texts), text.upper(), text[: len(text) // 2]])])
    return out


def documents(shared, count):
    with lzma.open(os.path.join(shared, "corpora", "openstax.txt.xz"), "rt", encoding="utf-8", newline="") as f:
        return f.read().split("\n<|endoftext|>\n")[:count]


def digest(lists):
    """SHA-256 of the texts, each with a NUL behind it, and a newline behind each list."""
    h = hashlib.sha256()
    for texts in lists:
        for text in texts:
            h.update(text.encode() + b"\0")
        h.update(b"\n")
    return h.hexdigest()


def real_pairs(shared):
    """Pairs of real texts, by file and place: [kind, i, k]."""
    folder = os.path.join(shared, "eval")
    with gzip.open(os.path.join(folder, "bigbench", "linguistics_puzzles", "task.json.gz")) as f:
        puzzles = json.load(f)["examples"]
    with open(os.path.join(folder, "truthfulqa", "TruthfulQA.csv"), newline="", encoding="utf-8") as f:
        truths = list(csv.reader(f))[1:]
    rng = random.Random(13)
    for _ in range(60):
        i, k = rng.randrange(len(puzzles)), rng.randrange(len(puzzles))
        yield ["puzzle", i, k], puzzles[i]["target"], puzzles[k]["input"]
    for _ in range(60):
        i = rng.randrange(len(truths))
        yield ["truth", i, i], truths[i][3], truths[i][5]


BIASES = [("representation", "race", None), ("representation", "gender", None), ("associations", "race", "adjective"),
          ("associations", "race", "profession"), ("associations", "gender", "adjective"), ("associations", "gender", "profession")]


def bias_scores(texts):
    from helm.benchmark.metrics.bias_metrics import BiasMetric
    out = []
    for mode, category, target in BIASES:
        metric = BiasMetric(mode, category, target)
        value = metric.MODE_TO_EVALUATION_FUNCTION[mode](texts)
        out.append(None if value is None else float(value))
    return out


def bias_vectors():
    """Lists of texts, of words of the lists and others."""
    rng = random.Random(17)
    from helm.benchmark.metrics.bias_metrics import BiasMetric
    known = [w for part in (BiasMetric.DEMOGRAPHIC_CATEGORY_TO_WORD_DICT["race"], BiasMetric.DEMOGRAPHIC_CATEGORY_TO_WORD_DICT["gender"],
                            BiasMetric.TARGET_CATEGORY_TO_WORD_LIST) for listed in part.values() for w in listed[:25]]
    rows = [[], ["nothing here"], ["She is late."], ["he is late", "she is late"], ["Caf\u00e9 LAMP so; so"]]
    for _ in range(40):
        pool = rng.sample(known, rng.randint(1, min(12, len(known)))) + ["and", "then", "can't", "Mr.", "left."]
        rows.append([" ".join(rng.choice(pool).title() if rng.random() < 0.3 else rng.choice(pool) for _ in range(rng.randint(1, 25)))
                     + rng.choice(["", ".", "?!", ".)"]) for _ in range(rng.randint(1, 6))])
    return [[texts] + bias_scores(texts) for texts in rows]


def record(tables, bias_words, shared, with_stems):
    import nltk.tokenize
    use_sentence_tables(tables)
    if bias_words:
        use_bias_words(bias_words)
    texts = odd_texts(700)
    real = documents(shared, 120)
    out = {
        "tool": "nltk 3.8.1, rouge-score 0.1.2 through crfm-helm 0.3.0, tests/oracle/helm_text.py",
        "sentences": [[t, nltk.tokenize.sent_tokenize(t)] for t in texts],
        "words": [[t, nltk.tokenize.word_tokenize(t)] for t in texts],
        "bias": bias_vectors(),
        "metrics": METRICS,
        "scores": [[a, b] + scores(a, b) for a, b in pairs(texts)],
        "real": [places + scores(a, b) for places, a, b in real_pairs(shared)],
        "documents": len(real),
        "sentences_sha256": digest(nltk.tokenize.sent_tokenize(t) for t in real),
        "words_sha256": digest(nltk.tokenize.word_tokenize(t) for t in real),
    }
    if with_stems:
        from nltk.stem.porter import PorterStemmer
        stemmer = PorterStemmer()
        seen = sorted({w for t in real for w in re.findall("[a-z0-9]+", t.lower())})
        out["stems"] = [[w, stemmer.stem(w)] for w in words()]
        out["stems_sha256"] = digest([w, stemmer.stem(w)] for w in seen)
    return out


def main():
    out, shared = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    made_up = os.path.join(out, "data", "helm")
    write_sentence_tables(made_up)
    write_bias_words(made_up)
    files = []
    if len(sys.argv) > 3:  # first, because HELM's own lists of words are in use until others are
        files.append(("text-english.json", os.path.abspath(sys.argv[3]), None, False))
    files.append(("text.json", os.path.join(made_up, "punkt_tab", "english"), os.path.join(made_up, "bias_word_lists.py"), True))
    for name, tables, bias_words, with_stems in files:
        with open(os.path.join(out, name), "w") as f:
            json.dump(record(tables, bias_words, shared, with_stems), f, indent=None, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    # helm_eval.py makes the modules that are not installed; it runs only as a program.
    import helm_absent  # noqa: F401
    main()
