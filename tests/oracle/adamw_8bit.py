"""Record steps of bitsandbytes' block-wise 8-bit AdamW on fp32 weights.

    python3 tests/oracle/adamw_8bit.py tests/golden/oracle/adamw_8bit.json

On a GPU, where bitsandbytes computes with its CUDA kernels. Weights and gradients are made from
integers, so that a test can make them again without a generator: element i of step s is
((i * 7919 + s * 104729) % 8191 - 4095) / 4096 * scale(i), an exact fp32 number times a power of
two that depends on the block. 4200 elements: the last block of 256 is not whole. Elements
512..767 have no gradient in step 1. Recorded: both maps; and after each step the codes and
magnitudes of m and v (hexadecimal; floats as hexadecimal of their bits) and every 16th weight.
"""

import json
import struct
import sys

import bitsandbytes
import torch

COUNT, STEPS = 4200, 6
OPTIONS = {"lr": 1e-3, "betas": (0.9, 0.995), "eps": 1e-8, "weight_decay": 0.1}


def values(step):
    i = torch.arange(COUNT, dtype=torch.int64)
    integer = (i * 7919 + step * 104729) % 8191 - 4095
    x = integer.to(torch.float32) / 4096.0
    x *= torch.pow(torch.tensor(2.0), -(i // 256 % 12).to(torch.float32))
    if step == 1:
        x[512:768] = 0.0
    return x


def bits(x):
    return struct.pack(f">{x.numel()}f", *x.detach().cpu().reshape(-1).tolist()).hex()


def codes(x):
    return bytes(x.detach().cpu().reshape(-1).tolist()).hex()


def main():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    w = torch.nn.Parameter(values(0).to(device))
    optimizer = bitsandbytes.optim.AdamW8bit([w], **OPTIONS)
    steps = []
    for step in range(1, STEPS + 1):
        w.grad = values(step).to(device)
        optimizer.step()
        state = optimizer.state[w]
        steps.append(
            {
                "m": codes(state["state1"]),
                "v": codes(state["state2"]),
                "m_scales": bits(state["absmax1"]),
                "v_scales": bits(state["absmax2"]),
                "w": bits(w[::16]),
            }
        )
    out = {
        "tool": f"bitsandbytes {bitsandbytes.__version__}, torch {torch.__version__}, {device}",
        "command": "python3 tests/oracle/adamw_8bit.py tests/golden/oracle/adamw_8bit.json",
        "count": COUNT,
        "lr": OPTIONS["lr"],
        "beta1": OPTIONS["betas"][0],
        "beta2": OPTIONS["betas"][1],
        "epsilon": OPTIONS["eps"],
        "weight_decay": OPTIONS["weight_decay"],
        "m_map": bits(state["qmap1"]),
        "v_map": bits(state["qmap2"]),
        "steps": steps,
    }
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(out, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
