"""LoRA and QLoRA with transformers and PEFT on the shapes of `oneday bench train`: same shape, rank, documents and
labels, on random weights. Prints one JSON object; the ceiling is measured as oneday does, in this process."""

import argparse
import datetime
import json
import statistics
import time

import peft
import torch
import transformers

SHAPES = {
    "llama-2-7b": dict(vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
                       num_attention_heads=32, num_key_value_heads=32),
    "mistral-7b": dict(vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
                       num_attention_heads=32, num_key_value_heads=8),
}
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def ceiling():
    """FLOP/s of 8192^3 bf16 products on normal data, three seconds warm."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    start = time.time()
    while time.time() - start < 3.0:
        for _ in range(20):
            a @ b.T
        torch.cuda.synchronize()
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()
    for _ in range(60):
        a @ b.T
    last.record()
    torch.cuda.synchronize()
    return 2 * 8192**3 * 60 / (first.elapsed_time(last) * 1e-3)


def quantise(model):
    """Every linear layer but the head becomes bitsandbytes' 4-bit one, as transformers' loader makes them."""
    import bitsandbytes as bnb

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear) and name != "lm_head":
                new = bnb.nn.Linear4bit(child.in_features, child.out_features, bias=False, compute_dtype=torch.bfloat16,
                                        compress_statistics=True, quant_type="nf4", device="meta")
                new.weight = bnb.nn.Params4bit(child.weight.data.cpu(), requires_grad=False, quant_type="nf4",
                                               compress_statistics=True).to("cuda")
                setattr(module, name, new)
    model.is_loaded_in_4bit = True
    torch.cuda.empty_cache()
    return bnb.__version__


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["eager", "compile"], required=True)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--qlora", action="store_true")
    parser.add_argument("--documents", type=int, default=2)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()

    before = ceiling()
    torch.manual_seed(1)
    config = transformers.LlamaConfig(**SHAPES[args.shape], max_position_embeddings=4096, rms_norm_eps=1e-5,
                                      use_cache=False, tie_word_embeddings=False)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model = transformers.LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
        torch.set_default_dtype(torch.float32)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"
    weights = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    if args.qlora:
        versions += f", bitsandbytes {quantise(model)}"
    torch.cuda.reset_peak_memory_stats()
    model = peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules=LINEARS))
    adapters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    step_model = torch.compile(model) if args.mode == "compile" else model
    ids = torch.randint(0, config.vocab_size, (args.documents, args.length), device="cuda")

    def step():
        loss = step_model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(args.steps):
        start = time.time()
        step()
        torch.cuda.synchronize()
        times.append(time.time() - start)
    peak = torch.cuda.max_memory_allocated()
    del optimizer
    torch.cuda.empty_cache()
    after = ceiling()
    n = weights - config.vocab_size * config.hidden_size
    flops = 4 * n + 6 * adapters + 7 * args.length * config.hidden_size * config.num_hidden_layers
    method = "qlora" if args.qlora else "lora"
    rate = args.documents * args.length / statistics.median(times)
    print(json.dumps({
        "case": f"{method} {args.shape}", "method": method, "seq_len": args.length,
        "date": datetime.date.today().isoformat(), "gpu": torch.cuda.get_device_name(),
        "libraries": versions,
        "tokens_per_s": rate, "ceiling_tflops": (before + after) / 2e12,
        "share_of_ceiling": flops * rate / ((before + after) / 2), "driver_peak_bytes": peak,
        "step_s": statistics.median(times), "peer": f"peft {args.mode}"}))


main()
