"""Ten steps of full fine-tuning and of LoRA on tiny models of several families, by transformers, PEFT and
torch in float64; the method is tiny_llama.py's, beside which this file must lie.

Records, in OUT (tests/golden/oracle/tiny_families), one folder a family: config.json,
model.safetensors, adapter_start.safetensors, full_end.safetensors, adapter_end.safetensors,
trajectory.json.

Command: python3 tests/oracle/tiny_families.py OUT [FAMILY ...]
"""

import copy
import json
import os
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file

import tiny_llama as base

SHAPE = dict(vocab_size=61, hidden_size=32, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, initializer_range=0.2,
             tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
GPT2_TARGETS = ["c_attn", "c_proj", "c_fc"]

FAMILIES = {
    "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel,
             dict(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=80, initializer_range=0.2,
                  activation_function="gelu_new", layer_norm_epsilon=1e-5, resid_pdrop=0.0, embd_pdrop=0.0,
                  attn_pdrop=0.0, bos_token_id=1, eos_token_id=2)),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM,
              dict(SHAPE, rope_theta=1000.0, use_sliding_window=False)),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM,
              dict(SHAPE, head_dim=12, rope_theta=1000.0, tie_word_embeddings=True)),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM, dict(SHAPE, sliding_window=7)),
    "llama3": (transformers.LlamaConfig, transformers.LlamaForCausalLM,
               dict(SHAPE, rope_theta=50.0,
                    rope_scaling={"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                  "original_max_position_embeddings": 32})),
    "llama_gelu": (transformers.LlamaConfig, transformers.LlamaForCausalLM,
                   dict(SHAPE, hidden_act="gelu", attention_bias=True, mlp_bias=True)),
    "linear": (transformers.LlamaConfig, transformers.LlamaForCausalLM,
               dict(SHAPE, rope_theta=50.0, rope_scaling={"rope_type": "linear", "factor": 3.0})),
    "yarn": (transformers.LlamaConfig, transformers.LlamaForCausalLM,
             dict(SHAPE, head_dim=16, rope_theta=50.0,
                  rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32})),
    "yarn_between": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM,
                     dict(SHAPE, hidden_size=48, rope_theta=1000.0, use_sliding_window=False,
                          rope_scaling={"rope_type": "yarn", "factor": 8.0, "beta_fast": 2.0, "beta_slow": 0.2,
                                        "mscale": 1.0, "mscale_all_dim": 0.4, "truncate": False,
                                        "original_max_position_embeddings": 20})),
    "qwen2_window": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM,
                     dict(SHAPE, rope_theta=1000.0, use_sliding_window=True, sliding_window=7, max_window_layers=1)),
    "qwen3_bias": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM,
                   dict(SHAPE, head_dim=12, rope_theta=1000.0, attention_bias=True)),
}


def one(name, out):
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(sum(map(ord, name)))
    make_config, make_model, settings = FAMILIES[name]
    config = make_config(**settings, attn_implementation="eager")
    model = make_model(config)
    with torch.no_grad():  # norms away from 1 and biases from 0, so that their place matters
        for _, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(0.3 * torch.randn(p.shape))
    save_file(base.as_float32(model.state_dict()), os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(dict(settings, model_type=config.model_type), f, indent=2)
        f.write("\n")
    model = model.double()
    docs = base.documents(torch.Generator().manual_seed(7), 61)
    record = {
        "tool": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "command": "python3 tests/oracle/tiny_families.py tests/golden/oracle/tiny_families",
        "settings": {"steps": base.STEPS, "lr": base.LR, "warmup": base.WARMUP, "weight_decay": base.DECAY,
                     "max_grad_norm": base.CLIP, "lora_r": 4, "lora_alpha": 8},
        "documents": docs,
        "logits": model(input_ids=torch.tensor([docs[2]["ids"]])).logits[0].tolist(),
    }
    full = copy.deepcopy(model)
    record["full"] = base.train(full, docs)
    save_file(base.as_float32(full.state_dict()), os.path.join(out, "full_end.safetensors"))
    gpt2 = name == "gpt2"
    lora = peft.get_peft_model(
        copy.deepcopy(model),
        peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=GPT2_TARGETS if gpt2 else base.TARGETS,
                        fan_in_fan_out=gpt2, task_type="CAUSAL_LM"),
    ).double()
    with torch.no_grad():
        for key, p in lora.named_parameters():
            if "lora_" in key:
                p.copy_(p.float().double())
            if "lora_B" in key:
                p.copy_((0.02 * torch.randn(p.shape)).float().double())
    save_file(base.as_float32(peft.get_peft_model_state_dict(lora)), os.path.join(out, "adapter_start.safetensors"))
    record["lora"] = base.train(lora, docs)
    save_file(base.as_float32(peft.get_peft_model_state_dict(lora)), os.path.join(out, "adapter_end.safetensors"))
    with open(os.path.join(out, "trajectory.json"), "w", encoding="utf-8") as f:
        json.dump(record, f)
        f.write("\n")


if __name__ == "__main__":
    for family in sys.argv[2:] or FAMILIES:
        one(family, os.path.join(sys.argv[1], family))
        print(family, flush=True)
