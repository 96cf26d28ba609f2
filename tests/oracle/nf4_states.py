"""Record what bitsandbytes stores and gives back for 4-bit NormalFloat weights.

    python3 tests/oracle/nf4_states.py tests/golden/oracle/nf4.safetensors

Each case: the values (bf16), the packed codes, the 8-bit magnitudes with their map, nested
magnitudes and offset, and what dequantize_4bit gives in fp32 and in bf16, on the CPU and, where
there is one, on a GPU (which must agree).
"""

import sys

import bitsandbytes
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from safetensors.torch import save_file


def values(name, rows, cols):
    g = torch.Generator().manual_seed(len(name) * 1000 + rows)
    x = torch.randn(rows, cols, generator=g) * 0.02
    if name == "wild":
        x *= torch.exp(2.0 * torch.randn(rows, 1, generator=g))
        x[3, :64] = 0.0
        x[5, 7] = 40.0
    return x.to(torch.bfloat16)


def record(x, device):
    x = x.to(device)
    codes, state = quantize_4bit(x, blocksize=64, compress_statistics=True, quant_type="nf4")
    out = {
        "codes": codes.reshape(-1),
        "magnitudes": state.absmax,
        "map": state.state2.code,
        "nested": state.state2.absmax,
        "offset": state.offset.reshape(1),
        "bf16": dequantize_4bit(codes, state),
    }
    state.dtype = torch.float32
    out["fp32"] = dequantize_4bit(codes, state)
    return {k: v.contiguous().cpu() for k, v in out.items()}


def main():
    out = {}
    for name, rows, cols in (("small", 3, 192), ("even", 64, 256), ("wild", 300, 64)):
        x = values(name, rows, cols)
        out[f"{name}.values"] = x
        for device in ["cpu"] + (["cuda"] if torch.cuda.is_available() else []):
            for key, tensor in record(x, device).items():
                if key == "fp32" and name == "wild":
                    continue
                out[f"{name}.{device}.{key}"] = tensor
    save_file(
        out,
        sys.argv[1],
        metadata={
            "tool": f"bitsandbytes {bitsandbytes.__version__}, torch {torch.__version__}",
            "command": "python3 tests/oracle/nf4_states.py tests/golden/oracle/nf4.safetensors",
        },
    )


main()
