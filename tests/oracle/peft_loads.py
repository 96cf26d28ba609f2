"""PEFT loads an adapter that oneday wrote; its logits are recorded.

BASE is tests/golden/oracle/tiny_llama, ADAPTER is tests/golden/oracle/peft_adapter (written by
tests/tune/adapter_test.c with OD_REGOLD=1). Records ADAPTER/logits.json, float64 on the CPU.

Command: python3 tests/oracle/peft_loads.py BASE ADAPTER OUT
"""

import json
import sys

import peft
import torch
import transformers


def main(base, adapter, out):
    model = transformers.LlamaForCausalLM.from_pretrained(
        base, attn_implementation="eager", dtype=torch.float64)
    model = peft.PeftModel.from_pretrained(model, adapter).double().eval()
    with open(base + "/trajectory.json", encoding="utf-8") as f:
        ids = json.load(f)["documents"][3]["ids"]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].tolist()
    record = {
        "tool": {"torch": torch.__version__, "transformers": transformers.__version__,
                 "peft": peft.__version__},
        "command": "python3 tests/oracle/peft_loads.py tests/golden/oracle/tiny_llama "
                   "tests/golden/oracle/peft_adapter tests/golden/oracle/peft_adapter/logits.json",
        "ids": ids,
        "logits": logits,
    }
    with open(out, "w", encoding="utf-8") as f:
        json.dump(record, f)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
