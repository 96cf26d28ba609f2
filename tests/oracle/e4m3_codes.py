"""Record torch's casts to float8_e4m3fn.

    python3 tests/oracle/e4m3_codes.py tests/golden/oracle/e4m3.safetensors

codes [65536]: of every bf16 number, in the order of its bits, held to +-448 before the cast as the
hardware's saturating cast does (torch alone makes what is beyond 464 no number). unheld [65536]:
without that. values [256]: what each code means. halfway [2, 252]: codes of the fp32 numbers halfway
between neighbouring codes 0..126, and of the fp32 number just above each, both signs.
row_codes, row_scales: rows of fp32 whose element i of row r is an exact fp32 number,
((i * 7919 + r * 104729) % 8191 - 4095) / 4096 * 2^(r - 8), times 1 / scale, with
scale = largest magnitude / 448 in fp32.
"""

import sys

import safetensors.torch
import torch

ROWS, COLS = 16, 331


def held(x):
    return x.clamp(-448.0, 448.0).to(torch.float8_e4m3fn).view(torch.uint8)


def halfway():
    all_codes = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).to(torch.float32)
    middle = (all_codes[:-1] + all_codes[1:]) / 2.0
    above = torch.nextafter(middle, torch.full_like(middle, torch.inf))
    return torch.stack([held(torch.cat([x, -x])) for x in (middle, above)])


def rows():
    i = torch.arange(COLS, dtype=torch.int64).reshape(1, -1)
    r = torch.arange(ROWS, dtype=torch.int64).reshape(-1, 1)
    x = ((i * 7919 + r * 104729) % 8191 - 4095).to(torch.float32) / 4096.0
    x = x * torch.pow(torch.tensor(2.0), (r - 8).to(torch.float32))
    scale = x.abs().amax(dim=1) / torch.tensor(448.0)
    return held(x * (1.0 / scale).reshape(-1, 1)), scale


def main():
    every = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    row_codes, row_scales = rows()
    tensors = {
        "codes": held(every.to(torch.float32)),
        "unheld": every.to(torch.float32).to(torch.float8_e4m3fn).view(torch.uint8),
        "values": torch.arange(256, dtype=torch.int32).to(torch.uint8)
        .view(torch.float8_e4m3fn).to(torch.float32),
        "halfway": halfway(),
        "row_codes": row_codes,
        "row_scales": row_scales,
    }
    tool = f"torch {torch.__version__}"
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in tensors.items()},
        sys.argv[1],
        metadata={"tool": tool, "command": "python3 tests/oracle/e4m3_codes.py"},
    )


main()
