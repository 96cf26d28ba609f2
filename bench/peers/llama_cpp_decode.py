"""Generating on the CPU beside llama.cpp: the same GGUF file, the same number of threads, in turns.

    python3 -m venv venv && venv/bin/pip install numpy xllamacpp==2026.10.11549
    venv/bin/python bench/peers/llama_cpp_decode.py build/oneday --shape llama-160m --tokenizer FOLDER

The model has random weights, in fp32 and in bf16, and becomes a GGUF file by `oneday model convert`. Each
round starts both programs once; ratios are those of medians. Besides tokens a second, which other programs on
the machine disturb, stands processor time a token. Prints one JSON object a line.

--library llama_cpp takes llama-cpp-python instead, which pip builds for this very processor:

    CMAKE_ARGS=-DGGML_NATIVE=ON venv/bin/pip install --no-binary :all: llama-cpp-python
"""

import argparse
import datetime
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

DEPTH = 16
SHAPES = {
    "llama-160m": dict(vocab_size=32000, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                       num_attention_heads=12, num_key_value_heads=12),
    "tinyllama-1.1b": dict(vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
                           num_attention_heads=32, num_key_value_heads=4),
}


def write_model(folder, shape, tokenizer):
    """A Llama of this shape with normal weights in fp32."""
    c, f, v = shape["hidden_size"], shape["intermediate_size"], shape["vocab_size"]
    kv = c // shape["num_attention_heads"] * shape["num_key_value_heads"]
    sizes = {"model.embed_tokens.weight": (v, c), "model.norm.weight": (c,), "lm_head.weight": (v, c)}
    for i in range(shape["num_hidden_layers"]):
        stem = f"model.layers.{i}."
        sizes |= {stem + "self_attn.q_proj.weight": (c, c), stem + "self_attn.k_proj.weight": (kv, c),
                  stem + "self_attn.v_proj.weight": (kv, c), stem + "self_attn.o_proj.weight": (c, c),
                  stem + "mlp.gate_proj.weight": (f, c), stem + "mlp.up_proj.weight": (f, c),
                  stem + "mlp.down_proj.weight": (c, f), stem + "input_layernorm.weight": (c,),
                  stem + "post_attention_layernorm.weight": (c,)}
    header, at = {}, 0
    for name, size in sizes.items():
        end = at + 4 * int(np.prod(size))
        header[name] = {"dtype": "F32", "shape": list(size), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(1)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for size in sizes.values():
            values = np.ones(size, "<f4") if len(size) == 1 else rng.standard_normal(size, "<f4") * np.float32(0.02)
            file.write(values.tobytes())
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-5,
                   "max_position_embeddings": 2048, "tie_word_embeddings": False, "bos_token_id": 1,
                   "eos_token_id": 2, **shape}, file)
    for name in ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"]:
        if os.path.exists(os.path.join(tokenizer, name)):
            with open(os.path.join(tokenizer, name), "rb") as old, open(os.path.join(folder, name), "wb") as new:
                new.write(old.read())


def ask_server(model, threads, tokens):
    """xllamacpp: its server's own times, less the first token, which the prompt's pass gives."""
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.verbosity, params.n_gpu_layers = 256, 1, -1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    prompt = [int(i) for i in np.random.default_rng(2).integers(3, 30000, DEPTH)]

    def run(count):
        start = time.process_time()
        answer = server.handle_completions({"prompt": prompt, "n_predict": count, "temperature": 0.0, "top_k": 1,
                                            "cache_prompt": False, "ignore_eos": True})
        return time.process_time() - start, answer["timings"]

    short, _ = run(1)
    long, timings = run(tokens + 1)
    return {"tokens_per_s": (timings["predicted_n"] - 1) / timings["predicted_ms"] * 1e3,
            "cpu_ms_per_token": (long - short) / tokens * 1e3, "system": xllamacpp.get_system_info()}


def ask_library(model, threads, tokens):
    """llama-cpp-python: one decode call a token, the likeliest next."""
    import llama_cpp
    llm = llama_cpp.Llama(model, n_ctx=256, n_threads=threads, n_threads_batch=threads, verbose=False)
    llm.eval([int(i) for i in np.random.default_rng(2).integers(3, 30000, DEPTH)])
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(tokens):
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(llm.ctx), (llm.n_vocab(),))
        llm.eval([int(logits.argmax())])
    return {"tokens_per_s": tokens / (time.perf_counter() - wall),
            "cpu_ms_per_token": (time.process_time() - cpu) / tokens * 1e3,
            "system": llama_cpp.llama_print_system_info().decode()}


def ours(oneday, model, threads, tokens):
    line = subprocess.run([oneday, "bench", "infer", model, "--batch", "1", "--tokens", str(tokens), "--depth",
                           str(DEPTH), "--prompt", "0", "--rounds", "1", "--threads", str(threads), "--json"],
                          check=True, stdout=subprocess.PIPE).stdout
    return json.loads(line)


def theirs(args, model, threads):
    line = subprocess.run([sys.executable, __file__, args.oneday, "--peer", model, "--threads", str(threads),
                           "--tokens", str(args.tokens), "--library", args.library],
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return json.loads(line.splitlines()[-1])


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))


def compare(args, model, kind, threads):
    rounds = [(ours(args.oneday, model, threads, args.tokens), theirs(args, model, threads))
              for _ in range(args.rounds)]
    row = {"case": args.shape, "type": kind, "threads": threads, "tokens": args.tokens, "rounds": args.rounds}
    for key in ["tokens_per_s", "cpu_ms_per_token"]:
        mine = [one[key] for one, _ in rounds]
        other = [two[key] for _, two in rounds]
        row |= {key: round(statistics.median(mine), 3), "llama_cpp_" + key: round(statistics.median(other), 3)}
    row["ratio"] = round(row["tokens_per_s"] / row["llama_cpp_tokens_per_s"], 3)
    row["cpu_ratio"] = round(row["llama_cpp_cpu_ms_per_token"] / row["cpu_ms_per_token"], 3)
    row |= {"library": args.library, "llama_cpp": rounds[0][1]["system"], "processor": processor(),
            "date": datetime.date.today().isoformat(), "commit": rounds[0][0]["commit"]}
    print(json.dumps(row), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("oneday")
    parser.add_argument("--shape", choices=SHAPES, default="llama-160m")
    parser.add_argument("--tokenizer", help="folder with a tokenizer of the shape's vocabulary")
    parser.add_argument("--types", default="f32,bf16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--library", choices=["xllamacpp", "llama_cpp"], default="xllamacpp")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        ask = ask_server if args.library == "xllamacpp" else ask_library
        print(json.dumps(ask(args.peer, int(args.threads), args.tokens)))
        return
    with tempfile.TemporaryDirectory() as temp:
        write_model(temp, SHAPES[args.shape], args.tokenizer)
        for kind in args.types.split(","):
            path = os.path.join(temp, kind + ".gguf")
            subprocess.run([args.oneday, "model", "convert", temp, "--type", kind, "-o", path, "--no-check"],
                           check=True, stdout=subprocess.DEVNULL)
            for threads in args.threads.split(","):
                compare(args, path, kind, int(threads))
            os.remove(path)


if __name__ == "__main__":
    main()
