#!/usr/bin/env python3
"""Records what HELM's own code does with small generated data and a made-up model.

    python3 -m venv venv
    venv/bin/pip install --no-deps crfm-helm==0.2.4 uncertainty-calibration==0.1.4 parameterized
    venv/bin/pip install cattrs==22.2.0 dacite==1.6.0 importlib-resources Mako numpy==1.23.5 \
        pyhocon==0.3.60 retrying==1.3.4 tqdm zstandard sqlitedict==1.7.0 bottle==0.12.25 \
        nltk==3.8.1 rouge-score==0.1.2 scikit-learn==1.2.2 scipy==1.10.1 requests httplib2 filelock pyyaml
    venv/bin/python tests/oracle/helm_eval.py tests/golden/oracle/helm ../shared/data

Python 3.8 to 3.11 (3.12 sums floats differently). Heavy packages that HELM imports and this does
not use (torch, transformers, spacy, ...) are replaced by empty stand-ins. Written:

    data/                 the generated data, in the layout of --data
    runs/NAME/*.json.gz   HELM's five files of each run
    vectors.json          run names, exact match, in-context sampling, calibration
    perturbations.json    variants by the tables of the data folder (the second argument; without it
                          the file stays as it is): of single texts, and digests over real questions
    digests-VERSION.json  SHA-256 of the unpacked files of all runs, by this version of HELM

The record is of 0.2.4; digests-0.3.0.json is of crfm-helm 0.3.0 in a venv of Python 3.10 with the same
packages, run into another folder.

The toxicity metric is switched off (without a key of its service it yields nothing), and Platt scaling is
left out, because the program leaves it out. The made-up model is the one of tests/eval/stand_in.h. NumPy and OpenBLAS are held to AVX2,
because the last bits of exponentials and sums depend on the width of their vectors. HELM lists
BIG-bench's metrics in the order of a set, which differs from process to process; here they are sorted.
"""
import csv
import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
import os
import random
import re
import shutil
import sys
import tempfile
from unittest.mock import MagicMock

if os.environ.get("PYTHONHASHSEED") != "1":
    os.environ["PYTHONHASHSEED"] = "1"
    os.execv(sys.executable, [sys.executable] + sys.argv)
os.environ["OPENBLAS_CORETYPE"] = "Haswell"
os.environ["NPY_DISABLE_CPU_FEATURES"] = ("AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL "
                                          "AVX512_ICL")


import helm_absent  # noqa: E402, F401
import helm_text  # noqa: E402
from helm.benchmark import run_specs  # noqa: E402
from helm.benchmark.augmentations import misspelling_perturbation  # noqa: E402
from helm.benchmark.executor import ExecutionSpec  # noqa: E402
from helm.benchmark.metrics import basic_metrics, toxicity_metrics  # noqa: E402
from helm.benchmark.metrics.statistic import Stat  # noqa: E402
from helm.benchmark.adaptation.adapters.generation_adapter import GenerationAdapter  # noqa: E402
from helm.benchmark.run_specs import construct_run_specs  # noqa: E402
from helm.benchmark.runner import Runner  # noqa: E402
from helm.benchmark.scenarios.mmlu_scenario import MMLUScenario  # noqa: E402
from helm.benchmark.scenarios.scenario import (  # noqa: E402
    CORRECT_TAG, Input, Instance, Output, Reference, TRAIN_SPLIT)
from helm.common.authentication import Authentication  # noqa: E402
from helm.common.object_spec import parse_object_spec  # noqa: E402
from helm.common.request import RequestResult, Sequence, Token  # noqa: E402
from helm.common.tokenization_request import (  # noqa: E402
    DecodeRequestResult, TokenizationRequestResult, TokenizationToken)


# ---------------------------------------------------------------- the made-up model

def encode(text):
    """Up to three ASCII characters are one token; any other character is one."""
    ids, i = [], 0
    while i < len(text):
        if ord(text[i]) >= 128:
            ids.append((1 << 21) + ord(text[i]))
            i += 1
            continue
        value, n = 0, 0
        while n < 3 and i < len(text) and ord(text[i]) < 128:
            value |= ord(text[i]) << (7 * n)
            n += 1
            i += 1
        ids.append(value)
    return ids


def decode(ids):
    out = []
    for value in ids:
        if value >= 1 << 21:
            out.append(chr(value - (1 << 21)))
        else:
            while value:
                out.append(chr(value & 127))
                value >>= 7
    return "".join(out)


TELLS = [" The river met Dr. Lamp.", " It was no. 8. lamps", "The stone can't; it left... the stone", " He said \"no.\" A",
         " caf\u00e9, \u00e9t\u00e9! A B A B", "rivers", "The The river river met met", ""]
LETTERS = [" A", " B", " C", " D", "A", "B\n", "E", ""]


def answer(prompt, max_tokens):
    h = hashlib.sha256(prompt.encode()).digest()
    time = h[31] / 256
    puzzle = prompt.startswith("Solve Rosetta Stone-style")
    letter = max_tokens in (1, 64) and not puzzle and not prompt.startswith("Tell. ")
    if puzzle:  # eight words of the prompt
        words = prompt.replace("\n", " ").split(" ")
        first = (h[0] * 256 + h[1]) % len(words)
        text = " ".join(words[first:first + 8])
        pieces = [text[i:i + 5] for i in range(0, len(text), 5)]
    elif prompt.startswith("Tell. "):
        text = TELLS[h[0] % 8]
        pieces = [text[i:i + 5] for i in range(0, len(text), 5)]
    elif letter:
        text = LETTERS[h[0] % 8]
        pieces = [text] if text else []
    else:
        runs = re.findall("[0-9]+", prompt)
        d = runs[-1] if runs else "0"
        text = [f" It is {d}. The answer is {d}.", f" The answer is {d}",
                f" The answer is {d}.\n\nQ: next", "", f" So {d},000 apples. The answer is -{d}.",
                f" Caf\u00e9: the answer is {d}.  "][h[0] % 6]
        pieces = [text[i:i + 5] for i in range(0, len(text), 5)]
        if h[0] % 6 == 5:
            pieces[0] = "bytes:\\xe2\\x80"
    tokens, total = [], 0.0
    for i, piece in enumerate(pieces):
        logprob = -(h[1 + i % 16] + 1) / 64
        total += logprob
        top = {piece: logprob}
        if letter:
            top["?"] = logprob - 1.0
        tokens.append(Token(text=piece, logprob=logprob, top_logprobs=top))
    return text, total, tokens, time


class Service:
    def make_request(self, auth, request):
        text, logprob, tokens, time = answer(request.prompt, request.max_tokens)
        return RequestResult(success=True, cached=False, error=None,
                             completions=[Sequence(text=text, logprob=logprob, tokens=tokens)],
                             embedding=[], request_time=time)

    def tokenize(self, auth, request):
        ids = encode(request.text)
        if request.truncation:
            ids = ids[:request.max_length]
        return TokenizationRequestResult(success=True, cached=False, text=request.text,
                                         tokens=[TokenizationToken(i) for i in ids], request_time=0)

    def decode(self, auth, request):
        return DecodeRequestResult(success=True, cached=False, text=decode(request.tokens),
                                   request_time=0)


# ---------------------------------------------------------------- the data

def write_tables(folder):
    """Small tables in the form of those that HELM's perturbations read, and questions for them."""
    rng = random.Random(20231122)
    os.makedirs(os.path.join(folder, "helm"))
    helm_text.write_sentence_tables(os.path.join(folder, "helm"))
    helm_text.write_bias_words(os.path.join(folder, "helm"))
    misspelled = {"the": ["teh", "hte"], "then": ["thne"], "their": ["thier"], "they": ["tehy"],
                  "they're": ["theyre"], "River": ["Rivver"], "river": ["rivver", "rievr"],
                  "stone": ["ston", "stoen", "sotne"], "of": ["fo"], "every time": ["everytime"],
                  "every": ["evry"], "which": ["wich", "whcih"], "caf\u00e9": ["caf\u00e8"]}
    dialect = {"the": ["da"], "river": ["rivah", "crick"], "going to": ["gon"], "going": ["goin"],
               "w": ["wit"], "w/": ["wid"], "can\u2019t": ["kant"], "stone": ["rock", "Pebble"],
               "a little": ["lil"], "-_-": ["meh"], "that": ["dat", "tha", "dhat"]}
    people = [("Mary ", "f", "w"), ("ellen", "f", "w"), ("rose", "f", "w"), ("will", "m", "w"),
              ("frank", "m", "w"), ("robin", "", "w"), ("amina", "f", "b"), ("zola", "f", "b"),
              ("kofi", "m", "b"), ("jabari", "m", "b"), ("tendai", "", "b")]
    with open(os.path.join(folder, "helm", "correct_to_misspelling.json"), "w") as f:
        json.dump(misspelled, f, indent=1)
    with open(os.path.join(folder, "helm", "SAE_to_AAVE_mapping.json"), "w") as f:
        json.dump(dialect, f, indent=1)
    race = {"w": "white_american", "b": "black_american"}
    gender = {"m": ",gender,male", "f": ",gender,female", "": ""}
    lines = ["stone,last_name,race,white"]
    lines += [f"{n},first_name,race,{race[r]}{gender[g]}" for n, g, r in people]
    with open(os.path.join(folder, "helm", "person_names.txt"), "w") as f:
        f.write("\n".join(lines))
    parts = ["the river", "Which stone", "of", "every time", "he", "his", "Him himself", "HIS", "they're",
             "Mary", "will", "Frank's", "ROSE", "robin", "Ellen", "is not", "I will", "do not",
             "going to", "w/", "a little", "that", "can\u2019t", "then", "their", "caf\u00e9", "  ",
             "\n", "\u03a3\u0391\u03a3", "(he)", "she", "x-he", "-_-", "It is"]

    def phrase(n):
        return " ".join(rng.choice(parts) for _ in range(n))

    for split, n in (("dev", 5), ("val", 6), ("test", 24)):
        path = os.path.join(folder, "mmlu", "data", split)
        os.makedirs(path, exist_ok=True)
        rows = [[f"{phrase(rng.randint(1, 14))}?"] + [phrase(rng.randint(1, 4)) for _ in range(4)]
                + [rng.choice("ABCD")] for _ in range(n)]
        with open(os.path.join(path, f"people_{split}.csv"), "w", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows(rows)


def write_data(folder):
    rng = random.Random(20231120)
    words = ("river stone lamp copper winter garden seven orbit paper engine cloud violet harbour "
             "metal forest signal candle bridge mirror \u00e9t\u00e9 na\u00efve stra\u00dfe \u03a3\u0391\u03a3 \U0001f600").split()

    def phrase(n):
        return " ".join(rng.choice(words) for _ in range(n))

    def row(i, split):
        options = [phrase(rng.randint(1, 3)) for _ in range(4)]
        question = f"Which of these is number {i} of {split}, \u201c{phrase(4)}\u201d?"
        if i == 1:
            question = f"Two lines, {phrase(2)}:\n{phrase(3)}"
        if i == 2:
            options[3] = options[1]  # two right answers
        if i == 3 and split == "test":
            question = phrase(600)  # some examples must go
        if i == 4 and split == "test":
            question = phrase(1400)  # longer than the window
        letter = "ABCD"[rng.randrange(4)] if i != 2 else "B"
        return [question] + options + [letter]

    for split, n in (("dev", 5), ("val", 4), ("test", 12)):
        path = os.path.join(folder, "mmlu", "data", split)
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, f"made_up_{split}.csv"), "w", newline="") as f:
            csv.writer(f, lineterminator="\r\n" if split == "val" else "\n").writerows(
                row(i, split) for i in range(n))
    os.makedirs(os.path.join(folder, "gsm8k"), exist_ok=True)
    for split, n in (("train", 9), ("test", 11)):
        with open(os.path.join(folder, "gsm8k", f"{split}.jsonl"), "w") as f:
            for i in range(n):
                a, b = rng.randint(2, 40), rng.randint(2, 2000)
                right = b if rng.random() < 0.6 else a
                question = f"{phrase(3)}: {a} of {phrase(1)}, then {b}. How many?"
                text = f"{phrase(3)} <<{a}*1={a}>>{a}\nso {phrase(2)} {right}\n#### {right}"
                f.write(json.dumps({"question": question, "answer": text},
                                   ensure_ascii=split == "test") + "\n")


# As in BBQ: the answer names a group by itself, within a longer word, or by a word of one category.
BBQ_GROUPS = {
    "Age": [["old"], ["old"], ["nonOld"]],
    "Race_ethnicity": [["Black", "African American"], ["F-Black"], ["White"]],
    "Race_x_SES": [["Latino"], ["lowSES-Latino"], ["highSES-Latino"]],
    "Race_x_gender": [["Black"], ["lowSES-F-Black"], ["M-Black"]],
    "SES": [["low SES"], ["lowSES"], ["highSES"]],
}
BBQ_CATEGORIES = ["Age", "Disability_status", "Gender_identity", "Nationality", "Physical_appearance",
                  "Race_ethnicity", "Race_x_SES", "Race_x_gender", "Religion", "SES",
                  "Sexual_orientation"]
BBQ_UNKNOWN = ["Cannot answer", "Can't be determined", "Cannot be determined", "Can't answer",
               "Not known", "Not enough info", "Not enough information", "Not answerable",
               "Undetermined", "Unknown", "Cannot say"]


def write_truthful_qa(folder, rng, phrase):
    """Answers with and without a full stop, with blanks, empty parts, one that is not ASCII."""
    os.makedirs(os.path.join(folder, "truthfulqa"))
    rows = []
    for i in range(32):
        best = phrase(rng.randint(1, 4)) + rng.choice(["", ".", "!", ". ", "\u3000"])
        if i % 7 == 3:
            best = "\u00e9t\u00e9 " + best
        wrong = ";".join(rng.choice(["", " ", "\n"]) + phrase(rng.randint(1, 3)) +
                         rng.choice(["", ".", " .", "?"]) + rng.choice(["", " "])
                         for _ in range(rng.randint(1, 6)))
        if i % 5 == 1:
            wrong += rng.choice([";", "; ;", ";;\u00a0"])
        rows.append(["Adversarial", "Made up", f" Is {phrase(3)}, or \"{phrase(1)}\"? ", best,
                     "a; b", wrong, "https://example.org/"])
    with open(os.path.join(folder, "truthfulqa", "TruthfulQA.csv"), "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["Type", "Category", "Question", "Best Answer", "Correct Answers",
                      "Incorrect Answers", "Source"])
        out.writerows(rows)


def bbq_line(i, category, rng, phrase):
    stereotyped, target, other = BBQ_GROUPS.get(category, [["x"], ["x"], ["nonX"]])
    answers = [["the " + phrase(1), target], ["the " + phrase(1), other],
               [rng.choice(BBQ_UNKNOWN), ["unknown"]]]
    if i % 13 == 5:
        answers[1] = ["the " + phrase(1), target]  # nobody else
    if i % 17 == 6:
        answers[1][0] = answers[0][0]  # two answers with one text
    answers[2][1] = [answers[2][0], "unknown"]
    rng.shuffle(answers)
    return {"example_id": i, "question_index": "1", "question_polarity": rng.choice(["neg", "nonneg"]),
            "context_condition": rng.choice(["ambig", "disambig"]), "category": category,
            "answer_info": {f"ans{k}": [a[0]] + a[1] if k % 2 else a[1] for k, a in enumerate(answers)},
            "additional_metadata": {"subcategory": "None", "stereotyped_groups": stereotyped},
            "context": f"{phrase(4)} and {phrase(2)}.", "question": f"Who {phrase(2)}?",
            "ans0": answers[0][0], "ans1": answers[1][0], "ans2": answers[2][0],
            "label": rng.randrange(3)}


def write_more_data(folder):
    rng = random.Random(20231125)
    words = ("river stone lamp copper winter garden seven orbit paper engine cloud violet harbour "
             "metal forest signal candle bridge mirror \u00c9clair na\u00efve").split()

    def phrase(n):
        return " ".join(rng.choice(words) for _ in range(n))

    write_truthful_qa(folder, rng, phrase)
    os.makedirs(os.path.join(folder, "bbq"))
    for category in BBQ_CATEGORIES:
        lines = [json.dumps(bbq_line(i, category, rng, phrase)) + "\n" for i in range(95)]
        with open(os.path.join(folder, "bbq", category + ".jsonl.gz"), "wb") as f:
            f.write(gzip.compress("".join(lines).encode(), 9, mtime=0))
    write_big_bench(folder, rng, phrase)


def write_big_bench(folder, rng, phrase):
    """One task with choices, of every key; one small one of texts without examples; one with a stop."""
    def put(path, task):
        os.makedirs(os.path.join(folder, "bigbench", path))
        with open(os.path.join(folder, "bigbench", path, "task.json"), "w") as f:
            json.dump(task, f, ensure_ascii=False)

    examples = []
    for i in range(60):
        scores = {phrase(rng.randint(1, 2)): rng.choice([0, 0, 1, 0.5]) for _ in range(rng.randint(2, 5))}
        examples.append({"input": f"{phrase(5)}?", "target_scores": scores, "comment": "x"})
    put("made_up/part", {
        "name": "made_up", "description": "Choose \u2014 or do not.", "keywords": ["multiple choice", "made up"],
        "metrics": ["multiple_choice_grade", "bleu"], "preferred_score": "multiple_choice_grade",
        "task_prefix": "Choose.\n", "example_input_prefix": "Q: ", "example_output_prefix": "\nA: ",
        "choice_prefix": "\n* ", "append_choices_to_input": True, "examples": examples})
    put("small", {
        "name": "small", "description": "Copy.", "keywords": [], "metrics": ["exact_str_match"],
        "examples": [{"input": phrase(2), "target": rng.choice(["A", "b", ["C", "the B!", "E"]])}
                     for _ in range(20)]})
    put("stopped", {
        "name": "stopped", "description": "Stop.", "keywords": ["stop"], "metrics": ["exact_str_match"],
        "stop_string": "\n", "example_input_prefix": "\n", "example_output_prefix": " = ",
        "examples": [{"input": phrase(2), "target": rng.choice("ABCD")} for _ in range(41)]})
    sentences = ["The river met Dr. Lamp.", "It was no. 7. lamps", "It left... The stone can't.", "He said \"no.\" (Stone.)",
                 "Caf\u00e9s, \u00e9t\u00e9! A B", "river"]
    put("told", {
        "name": "told", "description": "Tell.", "keywords": ["free text"],
        "metrics": ["bleu", "rouge", "sequence_f1", "exact_str_match"], "task_prefix": "Tell. ", "stop_string": ".\n",
        "examples": [{"input": phrase(3), "target": rng.choice(sentences[:3] + [[x, y] for x in sentences for y in "AB"] +
                                                              ["A", "B", "The answer is 12", ["E. E.", "B"]])}
                     for _ in range(44)]})
    put("scored", {
        "name": "scored", "description": "Score.", "keywords": [], "metrics": ["rouge"], "example_output_prefix": "",
        "examples": [{"input": phrase(2), "target_scores": {"A": 1, "B D": 1, "the Lamps": 0}} for _ in range(36)]})


DESCRIPTIONS = [
    "mmlu:model=neurips/local,subject=made_up,max_eval_instances=9",
    "mmlu:subject=made_up,model=neurips/local",
    "mmlu:model=neurips/local,subject=made_up,max_train_instances=0,max_eval_instances=5",
    "mmlu:model=neurips/local,subject=made_up,num_train_trials=2,max_train_instances=2,max_eval_instances=3",
    "gsm:model=neurips/local,max_eval_instances=7",
    "gsm:model=neurips/local,max_train_instances=0",
    "mmlu:model=neurips/local,subject=people,data_augmentation=canonical,max_eval_instances=15",
    "mmlu:model=neurips/local,subject=people,data_augmentation=canonical,max_eval_instances=6",
    "mmlu:subject=people,data_augmentation=robustness,num_train_trials=2,max_train_instances=1,model=neurips/local,max_eval_instances=4",
    "mmlu:data_augmentation=fairness,subject=people,model=neurips/local,max_eval_instances=5",
    "truthful_qa:task=mc_single,model=neurips/local,max_eval_instances=9",
    "truthful_qa:task=mc_single,model=neurips/local,max_train_instances=2",
    "bbq:subject=all,model=neurips/local,max_eval_instances=16",
    "bbq:subject=SES,model=neurips/local,num_train_trials=2,max_eval_instances=15",
    "big_bench:task=made_up,subtask=part,model=neurips/local,max_eval_instances=15",
    "big_bench:task=small,subtask=,model=neurips/local,max_eval_instances=16",
    "big_bench:task=stopped,subtask=,model=neurips/local,max_train_instances=3,max_eval_instances=12",
    "big_bench:task=told,subtask=,model=neurips/local,max_train_instances=2,max_eval_instances=20",
    "big_bench:task=scored,subtask=,model=neurips/local,max_eval_instances=8",
    "truthful_qa:task=mc_single,model=neurips/local,data_augmentation=canonical,max_eval_instances=7",
    "bbq:subject=SES,model=neurips/local,data_augmentation=canonical,max_eval_instances=3",
]

NAME_DESCRIPTIONS = [d for d in DESCRIPTIONS if not d.startswith("big_bench")] + [
    "mmlu:model=neurips/local,subject=anatomy,max_eval_instances=4",
    "mmlu:subject=us_foreign_policy,max_train_instances=all,model=neurips/local",
    "mmlu:max_eval_instances=4,subject=anatomy,model=neurips/local",
    "gsm:max_train_instances=big_bench_few_shot_setting,model=neurips/local,max_eval_instances=19",
    "gsm:num_outputs=3,model=neurips/local",
    "gsm:model=neurips/local",
]


TEXT_METRICS = ["exact_match", "quasi_exact_match", "bleu_1", "bleu_4", "rouge_1", "rouge_2", "rouge_l"]
basic_metric_specs = run_specs.get_basic_metric_specs


def ordered_metric_specs(names):
    """HELM makes the list of BIG-bench's metrics of a set, whose order differs from process to process."""
    known = set(names) <= set(TEXT_METRICS)
    return basic_metric_specs(sorted(names, key=TEXT_METRICS.index) if known else names)


run_specs.get_basic_metric_specs = ordered_metric_specs


def specs_of(description):
    return construct_run_specs(parse_object_spec(description))


def put_tables(work, tables):
    """Has HELM find the tables in the folder `tables` instead of downloading them."""
    misspelling_perturbation.__file__ = os.path.join(tables, "misspelling_perturbation.py")
    for name, path in (("SAE_to_AAVE_mapping.json", "dialect"), ("person_names.txt", "person_name/data")):
        folder = os.path.join(work, "benchmark_output", "perturbations", path)
        os.makedirs(folder)
        shutil.copy(os.path.join(tables, name), folder)
    os.chdir(work)


def copy_unpacked(source, target):
    """A file or a folder of files, without their packing by gzip."""
    if os.path.isdir(source):
        for name in os.listdir(source):
            copy_unpacked(os.path.join(source, name), os.path.join(target, name))
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(source, "rb") as f:
        data = f.read()
    packed = source.endswith(".gz")
    with open(target[:-3] if packed else target, "wb") as f:
        f.write(gzip.decompress(data) if packed else data)


def lay_out(data, work):
    """The files of --data where HELM expects what it has downloaded."""
    scenarios = os.path.join(work, "scenarios")
    copy_unpacked(os.path.join(data, "mmlu", "data"), os.path.join(scenarios, "mmlu", "data"))
    for split in ("train", "test"):
        for packing in ("", ".gz"):
            source = os.path.join(data, "gsm8k", f"{split}.jsonl{packing}")
            if os.path.exists(source):
                copy_unpacked(source, os.path.join(scenarios, "gsm", f"gsm_data_{split}{packing}"))
    copy_unpacked(os.path.join(data, "truthfulqa"), os.path.join(scenarios, "truthful_qa", "data"))
    for category in BBQ_CATEGORIES:
        copy_unpacked(os.path.join(data, "bbq", category + ".jsonl.gz"),
                      os.path.join(scenarios, "bbq", "data", category + ".gz"))
    # The run spec of BIG-bench is made from a file below the current folder.
    for folder in (scenarios, os.path.join(work, "benchmark_output", "scenarios")):
        copy_unpacked(os.path.join(data, "bigbench"), os.path.join(folder, "big_bench"))


def make_runner(work):
    runner = Runner(
        ExecutionSpec(url="http://localhost:1", auth=Authentication(""), local_path=None,
                      parallelism=1),
        work, "s", False, False, False, False, True)
    runner.executor.service = Service()
    runner.tokenizer_service.service = runner.executor.service
    runner.tokenizer_service._service = runner.executor.service
    runner.metric_service._service = runner.executor.service
    return runner


def leave_out():
    """Switches off what the program leaves out."""
    toxicity_metrics.ToxicityMetric.evaluate_generation = lambda self, *a: []
    calibrate = basic_metrics.compute_calibration_metrics
    basic_metrics.compute_calibration_metrics = lambda stats: [
        s for s in calibrate(stats) if not s.name.name.startswith("platt")]


def record_runs(out):
    leave_out()
    with tempfile.TemporaryDirectory() as work:
        put_tables(work, os.path.join(out, "data", "helm"))
        helm_text.use_sentence_tables(os.path.join(out, "data", "helm", "punkt_tab", "english"))
        helm_text.use_bias_words(os.path.join(out, "data", "helm", "bias_word_lists.py"))
        lay_out(os.path.join(out, "data"), work)
        os.chdir(work)
        runner = make_runner(work)
        for description in DESCRIPTIONS:
            for spec in specs_of(description):
                runner.run_one(spec)
                source = os.path.join(work, "runs", "s", spec.name)
                target = os.path.join(out, "runs", spec.name)
                os.makedirs(target)
                for name in sorted(os.listdir(source)):
                    with open(os.path.join(source, name), "rb") as f:
                        data = f.read()
                    # 0.2.4 writes a folder of this machine; the challenge's HELM does not.
                    data = re.sub(rb'\n  "output_path": "[^"]*",', b"", data)
                    with open(os.path.join(target, name + ".gz"), "wb") as f:
                        f.write(gzip.compress(data, 9, mtime=0))
        os.chdir(out)


# ---------------------------------------------------------------- vectors

TEXTS = [
    "", " ", "A", "a", "The answer is 2290.", "2290.", "2290", "answer is $2290.", "2,290.",
    "The cat's \u2014 a \u201cdog\u201d, an \u00c1pple!", "A. The answer", "a-b the_cat an\u00a0apple", "It's A.",
    "the", "The The theory", "an an  a", "\u0130stanbul the", "\u03a3\u0391\u03a3", "\u03a3", "a\u03a3 \u03a3b", "\u1e9e\u00df", "\u212a",
    "x\u200by", "\ufeffthe", "the\u0301 a", "\u00b2 a\u00bd the\u2160", "tabs\tand\nlines  ", "\x1c x \x1f", "the_answer",
    "12 34", "1.5 and -3", "-", "--5", "1,234,567.89", "5.\n6", "x5y6", "\u0663\u0664", ",", "10% of 20", "a.",
    "The answer is 15 eggs.", "15 eggs", "-2", "-2.0", "So -2.0!", "3\u00d74", "no number", "dog cat", "cat dog dog",
]
METRICS = ["exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match",
           "exact_match_indicator", "f1_score"]


def match_vectors():
    rng = random.Random(7)
    pairs = [(a, b) for a in TEXTS for b in TEXTS if rng.random() < 0.08 or a == b]
    rows = []
    for gold, pred in pairs:
        rows.append([gold, pred] + [getattr(basic_metrics, m)(gold, pred) for m in METRICS])
    return {"metrics": METRICS, "rows": rows,
            "normal": [[t, basic_metrics.normalize_text(t)] for t in TEXTS]}


def sampling_vectors():
    rng = random.Random(3)
    adapter = MagicMock()
    out = []
    for case in range(12):
        n, labels, k = rng.randint(1, 60), rng.randint(1, 12), rng.randint(0, 9)
        names = [f"l{rng.randint(0, labels)}" for _ in range(n)]
        adapter.adapter_spec.max_train_instances = k
        instances = [Instance(Input(str(i)), [Reference(Output(name), [CORRECT_TAG])], TRAIN_SPLIT)
                     for i, name in enumerate(names)]
        for trial in range(2):
            chosen = GenerationAdapter.sample_examples(adapter, list(instances), seed=trial)
            out.append({"labels": names, "k": k, "trial": trial,
                        "chosen": [int(i.input.text) for i in chosen]})
    return out


def probabilities(rng):
    for n in (1, 2, 7, 10, 16, 33, 150, 400):
        yield ([round(rng.random(), 2) for _ in range(n)] if n <= 16
               else [i / 1000000 for i in rng.sample(range(1000000), n)])
    # Ties, whose order is that of NumPy's steps.
    for n in (17, 18, 19, 34, 57, 100, 256, 400):
        for digits in (1, 2):
            yield [round(rng.random(), digits) for _ in range(n)]
    yield [0.5] * 40
    yield [0.25, 0.75] * 100
    yield sorted(round(rng.random(), 1) for _ in range(200))
    yield sorted((round(rng.random(), 1) for _ in range(300)), reverse=True)


def calibration_vectors():
    import numpy as np
    import calibration as cal
    rng = random.Random(11)
    out = []
    for p in probabilities(rng):
        y = [int(rng.random() < q) for q in p]
        area, top = cal.get_selective_stats(p, y)
        out.append({"p": p, "y": y, "ece_10_bin": float(cal.get_ece_em(p, y, num_bins=10)),
                    "ece_1_bin": float(cal.get_ece(p, y, num_bins=1)),
                    "selective_cov_acc_area": float(area), "selective_acc@10": float(top)})
    return out


PERTURBED = [
    ["What does the Bible claim is the root of all evil?", "The Bible claims that money is the root."],
    ["Matthew was going to write to his friend, but he did not have the address. He believes that "
     "Emily is with them.  What should he do?", "Ask Emily for his address.", "He should give up."],
    ["Already, the new product is not available. I am sure they will receive their committee's "
     "definite address immediately."],
    ["THE MAN SAID HE WILL NOT COME. \u00c9mile\u2019s na\u00efve caf\u00e9, isn't it?  They are -- he said "
     "\u2014 not with her!"],
    ["(he) him, his himself. He, he he?"], ["x his his his y his"],
    ["-he- said (his)his his, HIS Himself HE"],
    ["Well-to-do w/ a little and-and  the, the the what"],
    ["they are not cannot have cannot go is not. Is not it is not his"],
    [""], [" "], ["the"], ["   the  "], ["I am \u03a3\u0391\u03a3 \u0130x \u1e9e \u212aim\tthe\nend"],
    ["Fran\u212a, FRANK and frank's jack_frost Jack-Jack", "Wendy", "chip chips"],
    ["every time they're about a beginning, every year about", "government", "independent"],
    ["Bobbie-Sue and Sue-Ellen meet Ellen, ELLEN\u0301 and Lauren_2."],
]


AUGMENTED = "mmlu:model=neurips/local,subject=anatomy,data_augmentation=canonical"


def variants(instance):
    spec = specs_of(AUGMENTED)[0].data_augmenter_spec
    return [p.apply(instance) for p in spec.perturbations]


def record_perturbations(out, shared):
    """By the real tables. Digests: SHA-256 of input and references, each with a NUL behind it."""
    subjects = ["anatomy", "moral_scenarios", "high_school_us_history", "virology"]
    with tempfile.TemporaryDirectory() as work:
        put_tables(work, os.path.join(shared, "helm"))
        texts = []
        for i, (text, *references) in enumerate(PERTURBED):
            instance = Instance(Input(text), [Reference(Output(r), []) for r in references], id=f"id{i}")
            texts.append({"texts": [text] + references, "variants": [
                [v.input.text] + [r.output.text for r in v.references] for v in variants(instance)]})
        digests = []
        spec = specs_of(AUGMENTED)[0].data_augmenter_spec
        perturbations = spec.perturbations
        for subject in subjects:
            scenario = MMLUScenario(subject)
            scenario.output_path = os.path.join(work, "mmlu")
            if not os.path.exists(scenario.output_path):
                shutil.copytree(os.path.join(shared, "eval", "mmlu", "data"),
                                os.path.join(scenario.output_path, "data"))
                for folder, _, names in os.walk(scenario.output_path):
                    for name in names:
                        if name.endswith(".gz"):
                            with gzip.open(os.path.join(folder, name)) as f:
                                data = f.read()
                            with open(os.path.join(folder, name[:-3]), "wb") as f:
                                f.write(data)
            # 0.3.0 takes the folder as an argument.
            arguments = [scenario.output_path][:scenario.get_instances.__code__.co_argcount - 1]
            instances = [dataclasses.replace(x, id=f"id{i}")
                         for i, x in enumerate(scenario.get_instances(*arguments))]
            hashes, changed = [], []
            for p in perturbations:
                h, n = hashlib.sha256(), 0
                for x in instances:
                    v = p.apply(x)
                    n += v.input != x.input
                    for t in [v.input.text] + [r.output.text for r in v.references]:
                        h.update(t.encode() + b"\0")
                hashes.append(h.hexdigest())
                changed.append(n)
            digests.append({"subject": subject, "instances": len(instances), "changed": changed,
                            "sha256": hashes})
        os.chdir(out)
    with open(os.path.join(out, "perturbations.json"), "w") as f:
        json.dump({"tool": "crfm-helm 0.2.4, tests/oracle/helm_eval.py", "texts": texts,
                   "digests": digests}, f, indent=0)
        f.write("\n")


def write_digests(out):
    version = importlib.metadata.version("crfm-helm")
    digests = {}
    for run in sorted(os.listdir(os.path.join(out, "runs"))):
        for name in sorted(os.listdir(os.path.join(out, "runs", run))):
            with gzip.open(os.path.join(out, "runs", run, name), "rb") as f:
                digests[f"{run}/{name[:-3]}"] = hashlib.sha256(f.read()).hexdigest()
    with open(os.path.join(out, f"digests-{version}.json"), "w") as f:
        json.dump({"tool": f"crfm-helm {version}, Python {sys.version.split()[0]}",
                   "files": digests}, f, indent=0)


def main():
    out = os.path.abspath(sys.argv[1])
    shared = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
    for name in ("data", "runs"):
        shutil.rmtree(os.path.join(out, name), ignore_errors=True)
    write_data(os.path.join(out, "data"))
    write_more_data(os.path.join(out, "data"))
    write_tables(os.path.join(out, "data"))
    record_runs(out)
    write_digests(out)
    if shared:
        record_perturbations(out, shared)
    vectors = {
        "tool": "crfm-helm 0.2.4, tests/oracle/helm_eval.py",
        "names": [[d, [s.name for s in specs_of(d)]] for d in NAME_DESCRIPTIONS],
        "match": match_vectors(),
        "sampling": sampling_vectors(),
        "calibration": calibration_vectors(),
    }
    with open(os.path.join(out, "vectors.json"), "w") as f:
        json.dump(vectors, f, indent=0)


if __name__ == "__main__":
    main()
