"""Writes tests/golden/oracle/llama_cpp/: what llama.cpp computes with GGUF files that oneday wrote.

    python3 -m venv venv && venv/bin/pip install xllamacpp==2026.10.11549 numpy
    venv/bin/python tests/oracle/llama_cpp.py build/src/cli/oneday \\
        ../shared/data/models/stories260K/hf tests/golden/oracle/llama_cpp

adapter/      a LoRA adapter with random values, for query, key and gate projections
letters/      a tokenizer of 61 letters for the models of tests/golden/oracle/tiny_families
record.json   for each file: its SHA-256, and for each prompt the ids that llama.cpp continues it with
              (the likeliest one each time), their log-probabilities, and how many ids the prompt has

Keys and values are kept in float32, without flash attention.
"""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np
import xllamacpp

PROMPTS = ["Once upon a time, there was a small house by the sea.", "Lily saw a big red ball",
           "  two  blanks\tand a tab, café 你好 🙂", "The dog said: \"I don't want to", "One day,",
           "Tom had 3 cars and 12 trucks.\n", "She was", "a"]
LETTER_PROMPTS = ["abc", "the quick brown", "a b c 1 2 3", "ABBA", "z", "one two", "0 1 1 2 3 5 8", "qQ"]
FAMILIES = ["qwen2", "qwen3", "llama3", "gpt2", "mistral", "yarn"]
TOKENS = 24
LAYERS, CHANNELS, KV, FFN, RANK, ALPHA = 5, 64, 32, 172, 2, 6


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, value in tensors.items():
        raw = value.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def write_adapter(folder):
    rng = np.random.default_rng(5)
    os.makedirs(folder, exist_ok=True)
    tensors = {}
    for layer in range(LAYERS):
        for module, rows in [("self_attn.q_proj", CHANNELS), ("self_attn.k_proj", KV),
                             ("mlp.gate_proj", FFN)]:
            stem = f"base_model.model.model.layers.{layer}.{module}"
            # Values of seven bits compress, and are the same in f16 and f32.
            tensors[stem + ".lora_A.weight"] = rng.integers(-64, 64, (RANK, CHANNELS)) / 256
            tensors[stem + ".lora_B.weight"] = rng.integers(-64, 64, (rows, RANK)) / 256
    write_safetensors(os.path.join(folder, "adapter_model.safetensors"), tensors)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "", "r": RANK,
              "lora_alpha": ALPHA, "use_rslora": True,
              "target_modules": ["q_proj", "k_proj", "gate_proj"]}
    with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
        file.write("\n")


def write_letters(folder):
    pieces = ["<unk>", "<s>", "</s>", "Ġ"] + list("abcdefghijklmnopqrstuvwxyz0123456789")
    pieces += list("ABCDEFGHIJKLMNOPQRSTU")
    assert len(pieces) == 61
    special = [{"id": i, "content": pieces[i], "single_word": False, "lstrip": False,
                "rstrip": False, "normalized": False, "special": True} for i in range(3)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
                   "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None,
                   "decoder": byte_level,
                   "model": {"type": "BPE", "vocab": {p: i for i, p in enumerate(pieces)},
                             "merges": []}}, file, ensure_ascii=False)
        file.write("\n")


def ask(model, adapter=None, prompts=PROMPTS):
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 512, 1, False, -1
    params.n_gpu_layers = 0
    params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
    server = xllamacpp.Server(params)
    answers = []
    for prompt in prompts:
        answer = server.handle_completions({"prompt": prompt, "n_predict": TOKENS, "temperature": 0.0,
                                            "top_k": 1, "n_probs": 1, "cache_prompt": False,
                                            "ignore_eos": True})
        tokens = answer["choices"][0]["logprobs"]["content"]
        answers.append({"prompt_ids": answer["usage"]["prompt_tokens"],
                        "ids": [token["id"] for token in tokens],
                        "logprobs": [token["logprob"] for token in tokens]})
    return answers


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def main():
    oneday, model, folder = sys.argv[1:4]
    os.makedirs(folder, exist_ok=True)
    adapter = os.path.join(folder, "adapter")
    write_adapter(adapter)
    letters = os.path.join(folder, "letters")
    write_letters(letters)
    files = []
    families = []
    with tempfile.TemporaryDirectory() as temp:
        for kind in ["f32", "f16", "bf16", "q8_0"]:
            path = os.path.join(temp, kind + ".gguf")
            subprocess.run([oneday, "model", "convert", model, "--type", kind, "-o", path,
                            "--no-check"], check=True, stdout=subprocess.DEVNULL)
            files.append({"type": kind, "sha256": digest(path), "answers": ask(path)})
        path = os.path.join(temp, "adapter.gguf")
        subprocess.run([oneday, "model", "convert", model, "--adapter", adapter, "-o", path,
                        "--no-check"], check=True, stdout=subprocess.DEVNULL)
        files.append({"type": "adapter", "sha256": digest(path),
                      "answers": ask(os.path.join(temp, "f32.gguf"), path)})
        for family in FAMILIES:
            copy = os.path.join(temp, family)
            shutil.copytree(os.path.join(folder, "..", "tiny_families", family), copy)
            shutil.copy(os.path.join(letters, "tokenizer.json"), copy)
            path = os.path.join(temp, family + ".gguf")
            subprocess.run([oneday, "model", "convert", copy, "--type", "f32", "-o", path,
                            "--no-check"], check=True, stdout=subprocess.DEVNULL)
            families.append({"family": family, "sha256": digest(path),
                             "answers": ask(path, prompts=LETTER_PROMPTS)})
    about = {"tool": "xllamacpp 2026.10.11549 (llama.cpp)",
             "command": "python tests/oracle/llama_cpp.py ONEDAY stories260K/hf "
                        "tests/golden/oracle/llama_cpp"}
    with open(os.path.join(folder, "record.json"), "w", encoding="utf-8") as file:
        json.dump({"about": about, "prompts": PROMPTS, "files": files,
                   "letter_prompts": LETTER_PROMPTS, "families": families}, file, ensure_ascii=False,
                  indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
