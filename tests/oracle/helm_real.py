#!/usr/bin/env python3
"""Records HELM's prompts and statistics of real questions, without their text.

    venv/bin/python tests/oracle/helm_real.py tests/golden/oracle/helm ../shared/data

In the venv of helm_eval.py, with crfm-helm 0.3.0 and Python 3.10; the model is the made-up one of
helm_eval.py. Written into the first folder:

    real.json.gz   for each run: its name; for each request the instance, the perturbation, the trial and the
                   SHA-256 of the prompt; for each instance its statistics; the statistics of the run

Statistics are as in HELM's files, without times: {name: [sum, ...]} in the order of the requests for
instances, and [name, split, perturbation, computed on, count, sum, sum of squares, min, max] for the run.
BLEU and the metrics of bias use the made-up tables of data/helm. What is left out is that of helm_eval.py.
"""
import gzip
import hashlib
import json
import os
import sys
import tempfile

import helm_eval
import helm_text

MMLU = ["anatomy", "professional_law", "moral_scenarios", "high_school_european_history", "college_mathematics"]
DESCRIPTIONS = (
    [f"mmlu:model=neurips/local,subject={s},data_augmentation=canonical,max_eval_instances=12" for s in MMLU] + [
        "mmlu:model=neurips/local,subject=virology",
        "mmlu:model=neurips/local,subject=world_religions,max_train_instances=1,num_train_trials=2,max_eval_instances=40",
        "gsm:model=neurips/local,max_eval_instances=40",
        "gsm:model=neurips/local,max_train_instances=8,max_eval_instances=10",
        "truthful_qa:task=mc_single,model=neurips/local,max_eval_instances=60",
        "truthful_qa:task=mc_single,model=neurips/local,data_augmentation=canonical,max_eval_instances=15",
        "bbq:subject=all,model=neurips/local,max_eval_instances=60",
        "bbq:subject=Religion,model=neurips/local,data_augmentation=canonical,max_eval_instances=6",
        "big_bench:model=neurips/local,max_train_instances=big_bench_few_shot_setting,task=emoji_movie,subtask=,max_eval_instances=12",
        "big_bench:model=neurips/local,max_train_instances=big_bench_few_shot_setting,task=operators,subtask=,max_eval_instances=12",
        "big_bench:model=neurips/local,max_train_instances=3,task=logical_deduction,subtask=seven_objects,max_eval_instances=20",
        "big_bench:model=neurips/local,max_train_instances=2,task=strange_stories,subtask=boolean,max_eval_instances=20",
        "big_bench:model=neurips/local,max_train_instances=3,task=known_unknowns,subtask=,max_eval_instances=20",
        "big_bench:model=neurips/local,max_train_instances=3,task=repeat_copy_logic,subtask=,max_eval_instances=20",
        "big_bench:model=neurips/local,max_train_instances=3,task=linguistics_puzzles,subtask=,max_eval_instances=30",
        "big_bench:model=neurips/local,task=winowhy,subtask=,max_eval_instances=30",
    ])
TIMES = {"inference_runtime"}


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return json.load(f)


def label(perturbation):
    return perturbation["name"] if perturbation else None


def summary_of(folder, name):
    """What is recorded of the run in `folder`."""
    requests, instances, stats = [], [], []
    for state in read(folder, "scenario_state.json")["request_states"]:
        prompt = state["request"]["prompt"]
        requests.append([state["instance"]["id"], label(state["instance"].get("perturbation")), state["train_trial_index"],
                         hashlib.sha256(prompt.encode()).hexdigest()])
    for item in read(folder, "per_instance_stats.json"):
        values = {s["name"]["name"]: s["sum"] for s in item["stats"] if s["name"]["name"] not in TIMES}
        instances.append([item["instance_id"], label(item.get("perturbation")), item["train_trial_index"], values])
    for s in read(folder, "stats.json"):
        of = s["name"]
        changed = of.get("perturbation") or {}
        if of["name"] not in TIMES:
            stats.append([of["name"], of.get("split"), changed.get("name"), changed.get("computed_on"), s["count"],
                          s["sum"], s["sum_squared"], s.get("min"), s.get("max")])
    return {"name": name, "requests": requests, "instances": instances, "stats": stats}


def main():
    out, shared = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    tables = os.path.join(out, "data", "helm", "punkt_tab", "english")
    runs = []
    with tempfile.TemporaryDirectory() as work:
        helm_eval.leave_out()
        helm_eval.put_tables(work, os.path.join(shared, "helm"))
        helm_eval.lay_out(os.path.join(shared, "eval"), work)
        helm_text.use_sentence_tables(tables)
        helm_text.use_bias_words(os.path.join(out, "data", "helm", "bias_word_lists.py"))
        runner = helm_eval.make_runner(work)
        for description in DESCRIPTIONS:
            made = []
            for spec in helm_eval.specs_of(description):
                runner.run_one(spec)
                made.append(summary_of(os.path.join(work, "runs", "s", spec.name), spec.name))
            runs.append({"description": description, "runs": made})
        os.chdir(out)
    text = json.dumps({"tool": f"crfm-helm {helm_eval.importlib.metadata.version('crfm-helm')}, Python "
                               f"{sys.version.split()[0]}, tests/oracle/helm_real.py", "entries": runs},
                      separators=(",", ":"))
    with open(os.path.join(out, "real.json.gz"), "wb") as f:
        f.write(gzip.compress(text.encode(), 9, mtime=0))


main()
