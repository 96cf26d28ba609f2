"""Ten steps of full fine-tuning and of LoRA on a tiny Llama, by transformers, PEFT and torch.

Records, in OUT (tests/golden/oracle/tiny_llama):
  config.json, model.safetensors   the start, float32
  adapter_start.safetensors        PEFT's fresh adapter (B made non-zero), float32
  full_end.safetensors, adapter_end.safetensors
  trajectory.json                  documents, losses, gradient norms, learning rates, logits

All arithmetic is float64 on the CPU. Every step learns all documents, one at a time (unpacked);
the loss is the sum over labels divided by the labels of the whole step.

Command: python3 tests/oracle/tiny_llama.py OUT
"""

import copy
import json
import os
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup

STEPS = 10
LR = 1e-4
WARMUP = 3
DECAY = 0.01
CLIP = 0.5
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def documents(generator, vocab):
    """Six documents of 3 to 40 tokens; the first part of each is not learned."""
    out = []
    for length, learned_from in [(40, 11), (3, 1), (17, 9), (26, 2), (9, 8), (33, 20)]:
        ids = torch.randint(0, vocab, (length,), generator=generator).tolist()
        out.append({"ids": ids, "label": [int(i >= learned_from) for i in range(length)]})
    return out


def loss_sum(model, doc):
    ids = torch.tensor([doc["ids"]])
    logits = model(input_ids=ids).logits[0]
    logp = torch.log_softmax(logits[:-1], dim=-1)
    total = 0.0
    for i in range(1, len(doc["ids"])):
        if doc["label"][i]:
            total = total - logp[i - 1, doc["ids"][i]]
    return total


def train(model, docs):
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": DECAY},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.999), eps=1e-8)
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS)
    labels = sum(sum(d["label"]) for d in docs)
    log = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = 0.0
        for doc in docs:
            part = loss_sum(model, doc) / labels
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP).item()
        log.append({"loss": loss, "grad_norm": norm, "lr": schedule.get_last_lr()[0]})
        optimizer.step()
        schedule.step()
    return log


def as_float32(tensors):
    return {k: v.detach().to(torch.float32).clone().contiguous() for k, v in tensors.items()}


def main(out):
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(20231215)
    config = LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=72, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        rms_norm_eps=1e-5, initializer_range=0.2, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, attn_implementation="eager",
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # norms away from 1, so that their place matters
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(0.3 * torch.randn(p.shape))
    start = as_float32(model.state_dict())
    save_file(start, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    plain = {
        "model_type": "llama", "vocab_size": 61, "hidden_size": 32, "intermediate_size": 72,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
    }
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(plain, f, indent=2)
        f.write("\n")
    model = model.double()
    docs = documents(torch.Generator().manual_seed(7), config.vocab_size)
    record = {
        "tool": {"torch": torch.__version__, "transformers": transformers.__version__,
                 "peft": peft.__version__},
        "command": "python3 tests/oracle/tiny_llama.py tests/golden/oracle/tiny_llama",
        "settings": {"steps": STEPS, "lr": LR, "warmup": WARMUP, "weight_decay": DECAY,
                     "max_grad_norm": CLIP, "lora_r": 4, "lora_alpha": 8},
        "documents": docs,
        "logits": model(input_ids=torch.tensor([docs[2]["ids"]])).logits[0].tolist(),
    }

    full = copy.deepcopy(model)
    record["full"] = train(full, docs)
    save_file(as_float32(full.state_dict()), os.path.join(out, "full_end.safetensors"))

    lora = peft.get_peft_model(
        copy.deepcopy(model),
        peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=TARGETS,
                        task_type="CAUSAL_LM"),
    )
    lora = lora.double()
    with torch.no_grad():  # B away from 0, so that A learns from the first step on
        for name, p in lora.named_parameters():
            if "lora_" in name:
                p.copy_(p.float().double())
            if "lora_B" in name:
                p.copy_((0.02 * torch.randn(p.shape)).float().double())
    save_file(as_float32(peft.get_peft_model_state_dict(lora)),
              os.path.join(out, "adapter_start.safetensors"))
    record["lora"] = train(lora, docs)
    save_file(as_float32(peft.get_peft_model_state_dict(lora)),
              os.path.join(out, "adapter_end.safetensors"))
    with open(os.path.join(out, "trajectory.json"), "w", encoding="utf-8") as f:
        json.dump(record, f)
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
