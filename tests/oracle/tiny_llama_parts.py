"""Ten LoRA steps on parts of the tiny Llama: some layers, adapters on embedding and head, and both in full.

BASE is tests/golden/oracle/tiny_llama (tiny_llama.py makes it), whose start, documents and settings
are taken. Cases:
  layers, head, both          layers_to_transform: [1], modules_to_save: [lm_head], or [embed_tokens, lm_head]
                              on layer 1
  lora_head, lora_embed, lora_both    lm_head, embed_tokens, or both as further target modules
  tied_*                      on a model whose head is its embedding table: both as further target modules
                              (lora), modules_to_save: [lm_head] (head), [embed_tokens] (embed), both (both),
                              and [embed_tokens] with ensure_weight_tying (ensured)

Records, in OUT (tests/golden/oracle/tiny_llama_parts):
  tied_base/                BASE's config and weights without its head
  CASE/adapter_config.json, CASE/adapter_model.safetensors   what PEFT saves after ten steps, float32
  CASE/start.safetensors    the same keys before the first step (B made non-zero), float32
  trajectory.json           of each case: losses, gradient norms, learning rates, and the logits of
                            one document after ten steps

All arithmetic is float64 on the CPU.

Command: python3 tests/oracle/tiny_llama_parts.py BASE OUT
"""

import json
import os
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny_llama

EMBED_AND_HEAD = ["embed_tokens", "lm_head"]
CASES = {
    "layers": {"layers_to_transform": [1]},
    "head": {"modules_to_save": ["lm_head"]},
    "both": {"layers_to_transform": [1], "modules_to_save": ["embed_tokens", "lm_head"]},
    "lora_head": {"target_modules": tiny_llama.TARGETS + ["lm_head"]},
    "lora_embed": {"target_modules": tiny_llama.TARGETS + ["embed_tokens"]},
    "lora_both": {"target_modules": tiny_llama.TARGETS + EMBED_AND_HEAD},
    "tied_lora": {"target_modules": tiny_llama.TARGETS + EMBED_AND_HEAD},
    "tied_head": {"modules_to_save": ["lm_head"]},
    "tied_embed": {"modules_to_save": ["embed_tokens"]},
    "tied_both": {"modules_to_save": EMBED_AND_HEAD},
    "tied_ensured": {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
}
DOCUMENT = 3  # whose logits are recorded


def sort_targets(path):
    """PEFT keeps the names in a set, whose order changes from run to run."""
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    config["target_modules"].sort()
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)


def make_tied(base, out):
    """BASE without its head: the embedding is the head."""
    os.makedirs(out, exist_ok=True)
    weights = load_file(os.path.join(base, "model.safetensors"))
    del weights["lm_head.weight"]
    save_file(weights, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(base, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    config["tie_word_embeddings"] = True
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)
        f.write("\n")


def run(base, docs, out, extra):
    model = transformers.LlamaForCausalLM.from_pretrained(
        base, attn_implementation="eager", dtype=torch.float64)
    config = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM",
                             **{"target_modules": tiny_llama.TARGETS, **extra})
    lora = peft.get_peft_model(model, config).double()
    with torch.no_grad():  # B away from 0, so that A learns from the first step on
        for name, p in lora.named_parameters():
            if "lora_" in name:
                p.copy_(p.float().double())
            if "lora_B" in name or "lora_embedding_" in name:
                p.copy_((0.02 * torch.randn(p.shape)).float().double())
    os.makedirs(out, exist_ok=True)
    start = peft.get_peft_model_state_dict(lora)
    save_file(tiny_llama.as_float32(start), os.path.join(out, "start.safetensors"))
    log = tiny_llama.train(lora, docs)
    with torch.no_grad():
        logits = lora(input_ids=torch.tensor([docs[DOCUMENT]["ids"]])).logits[0].tolist()
    lora.float().save_pretrained(out)
    saved = load_file(os.path.join(out, "adapter_model.safetensors"))
    assert sorted(saved) == sorted(start), "what is saved has other keys"
    sort_targets(os.path.join(out, "adapter_config.json"))
    readme = os.path.join(out, "README.md")
    if os.path.exists(readme):
        os.remove(readme)
    return {"log": log, "logits": logits, "keys": sorted(saved)}


def main(base, out):
    torch.manual_seed(20260101)
    with open(os.path.join(base, "trajectory.json"), encoding="utf-8") as f:
        docs = json.load(f)["documents"]
    record = {
        "tool": {"torch": torch.__version__, "transformers": transformers.__version__,
                 "peft": peft.__version__},
        "command": "python3 tests/oracle/tiny_llama_parts.py tests/golden/oracle/tiny_llama "
                   "tests/golden/oracle/tiny_llama_parts",
        "document": DOCUMENT,
    }
    tied = os.path.join(out, "tied_base")
    make_tied(base, tied)
    for name, extra in CASES.items():
        record[name] = run(tied if name.startswith("tied_") else base, docs,
                           os.path.join(out, name), extra)
    with open(os.path.join(out, "trajectory.json"), "w", encoding="utf-8") as f:
        json.dump(record, f)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
