"""Writes tests/golden/oracle/gguf/: small GGUF files that the gguf package writes.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0
    venv/bin/python tests/oracle/gguf_files.py tests/golden/oracle/gguf

every.gguf    every type of value, lists of lists, a tensor of each type that is converted
ours.gguf     what our writer can write: tests/formats/gguf_test.c writes the same bytes
values.json   for every.gguf: the values of its keys, and its tensors as floats; for ours.gguf: the
              floats that were given
"""

import json
import os
import sys

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

Q = gguf.GGMLQuantizationType


def numbers(rng, *shape):
    values = rng.standard_normal(shape).astype(np.float32)
    return values * np.exp2(rng.integers(-12, 6, shape)).astype(np.float32)


def add(writer, name, values, kind):
    raw = quantize(values, kind)
    if kind in (Q.F32, Q.F16):
        writer.add_tensor(name, raw)
    else:
        writer.add_tensor(name, raw, raw_dtype=kind)
    return [float(x) for x in dequantize(raw, kind).astype(np.float32).reshape(-1)]


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def every(path):
    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "test", use_temp_file=False)
    writer.add_custom_alignment(64)
    keys = {
        "k.u8": ("add_uint8", 200), "k.i8": ("add_int8", -100), "k.u16": ("add_uint16", 60000),
        "k.i16": ("add_int16", -30000), "k.u32": ("add_uint32", 4000000000),
        "k.i32": ("add_int32", -2000000000), "k.f32": ("add_float32", 0.5),
        "k.bool": ("add_bool", True), "k.no": ("add_bool", False), "k.text": ("add_string", "é𝄞 ▁\n"),
        "k.u64": ("add_uint64", 2 ** 63 + 5), "k.i64": ("add_int64", -2 ** 62),
        "k.f64": ("add_float64", 0.1), "k.empty": ("add_string", ""),
        "k.texts": ("add_array", ["a", "", "éa"]), "k.ints": ("add_array", [1, -2, 3]),
        "k.floats": ("add_array", [0.5, -1.25]), "k.bools": ("add_array", [True, False]),
        "k.lists": ("add_array", [[1, 2], [3], ]),
    }
    for key, (how, value) in keys.items():
        getattr(writer, how)(key, value)
    tensors = {}
    for name, shape, kind in [("f32", (2, 3), Q.F32), ("f16", (3, 5), Q.F16), ("bf16", (7,), Q.BF16),
                              ("q8", (2, 3, 64), Q.Q8_0), ("f32.4", (2, 1, 3, 2), Q.F32)]:
        tensors[name] = {"shape": list(shape), "type": int(kind),
                         "values": add(writer, name, numbers(rng, *shape), kind)}
    # Halves of the last place and a block of zeros.
    row = np.zeros((3, 32), np.float32)
    row[1, :5] = [127, 0.5, -0.5, 1.5, -2.5]
    row[2] = np.arange(32, dtype=np.float32) - 15.5
    tensors["q8.ties"] = {"shape": [3, 32], "type": int(Q.Q8_0),
                          "values": add(writer, "q8.ties", row, Q.Q8_0)}
    write(writer)
    small = {key: value for key, (_, value) in keys.items() if key != "k.u64"}  # else no JSON of ours
    return {"keys": small, "tensors": tensors}


def ours(path):
    rng = np.random.default_rng(4)
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=False)
    writer.add_uint32("llama.block_count", 5)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_string("tokenizer.ggml.model", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["<unk>", "▁a", "b"])
    writer.add_array("tokenizer.ggml.scores", [0.0, -1.5, -2.25])
    writer.add_array("tokenizer.ggml.token_type", [2, 1, 1])
    given = {}
    for name, shape, kind in [("norm.weight", (10,), Q.F32), ("a.weight", (3, 7), Q.F16),
                              ("b.weight", (3, 7), Q.BF16), ("c.weight", (5, 96), Q.Q8_0),
                              ("e.weight", (2, 32), Q.Q8_0), ("d.weight", (300, 64), Q.Q8_0)]:
        values = numbers(rng, *shape)
        if name[0] == "e":  # halves of the last place
            values[0] = np.arange(32, dtype=np.float32) - 15.5
            values[0, 0] = 127
            values[1] *= 0
        if name[0] == "d":  # by a rule, so that it need not stand in the record
            i = np.arange(values.size, dtype=np.int64)
            values = ((i * 37 % 1001 - 500) / 64).astype(np.float32).reshape(shape)
        add(writer, name, values, kind)
        if name[0] != "d":
            given[name] = {"shape": list(shape), "type": int(kind),
                           "values": [float(x) for x in values.reshape(-1)]}
    write(writer)
    return given


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    record = {"about": {"tool": "gguf 0.19.0",
                        "command": "python tests/oracle/gguf_files.py tests/golden/oracle/gguf"},
              "every": every(os.path.join(folder, "every.gguf"))}
    record["ours"] = ours(os.path.join(folder, "ours.gguf"))
    with open(os.path.join(folder, "values.json"), "w", encoding="utf-8") as file:
        json.dump(record, file, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main()
