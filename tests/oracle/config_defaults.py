"""What transformers makes of config.json files that leave keys out, or set them to null.

Records, in OUT: a list of cases, each with the file's text and what follows from it: heads, head size, the
window of each layer (0: none), rotary positions, epsilon, activation, biases, whether the head is tied.

Needs no torch: only configuration classes are used.

Command: python3 tests/oracle/config_defaults.py tests/golden/oracle/config_defaults.json
"""

import json
import sys

import transformers

NEEDED = dict(vocab_size=61, hidden_size=256, intermediate_size=72, num_hidden_layers=30, num_attention_heads=64,
              max_position_embeddings=8192)
GPT2_NEEDED = dict(vocab_size=61, n_embd=96, n_layer=2, n_head=4, n_positions=64)
WINDOWS = [dict(use_sliding_window=True), dict(use_sliding_window=True, max_window_layers=3),
           dict(use_sliding_window=True, sliding_window=None), dict(sliding_window=100),
           dict(use_sliding_window=True, sliding_window=100, max_window_layers=0)]
ROPES = [dict(rope_theta=500.0), dict(rope_parameters=dict(rope_theta=700.0, rope_type="default")),
         dict(rope_scaling=dict(type="linear", factor=2.0)),
         dict(rope_theta=500.0, rope_scaling=dict(rope_type="linear", factor=3.0)),
         dict(rope_parameters=dict(rope_theta=700.0, rope_type="linear", factor=4.0))]
CASES = {
    "llama": [dict(num_key_value_heads=None), dict(head_dim=None), dict(num_key_value_heads=4, head_dim=10),
              dict(attention_bias=True), dict(sliding_window=100), dict(tie_word_embeddings=True)] + ROPES,
    "mistral": [dict(sliding_window=None), dict(head_dim=None), dict(sliding_window=100), dict(num_key_value_heads=4)] + ROPES,
    "qwen2": [dict(num_key_value_heads=None)] + WINDOWS + ROPES,
    "qwen3": [dict(num_key_value_heads=None), dict(head_dim=12), dict(attention_bias=True)] + WINDOWS + ROPES,
    "gpt2": [dict(n_inner=None), dict(n_inner=80), dict(tie_word_embeddings=False), dict(activation_function="gelu")],
}


def windows(config, layers):
    window = getattr(config, "sliding_window", None) or 0
    if config.model_type == "llama":  # the key is kept, nothing reads it
        return [0] * layers
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * layers
    return [window if kind == "sliding_attention" else 0 for kind in kinds]


def llama_like(config):
    rope = config.rope_parameters
    heads = config.num_attention_heads
    return dict(heads=heads, kv_heads=config.num_key_value_heads,
                head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
                windows=windows(config, config.num_hidden_layers), activation=config.hidden_act,
                eps=config.rms_norm_eps, ffn=config.intermediate_size, rope_theta=rope["rope_theta"],
                rope_type=rope["rope_type"], rope_factor=rope.get("factor", 0.0),
                out_bias=bool(getattr(config, "attention_bias", False)))


def gpt2_like(config):
    return dict(heads=config.n_head, kv_heads=config.n_head, head_dim=config.n_embd // config.n_head,
                windows=[0] * config.n_layer, activation=config.activation_function, eps=config.layer_norm_epsilon,
                ffn=config.n_inner or 4 * config.n_embd, out_bias=True)


def main(out):
    cases = []
    for family, changes in CASES.items():
        for change in [{}] + changes:
            text = dict(GPT2_NEEDED if family == "gpt2" else NEEDED, model_type=family, **change)
            config = transformers.CONFIG_MAPPING[family].from_dict(json.loads(json.dumps(text)))
            want = (gpt2_like if family == "gpt2" else llama_like)(config)
            want.update(tied=config.tie_word_embeddings, init_std=config.initializer_range)
            cases.append(dict(config=text, want=want))
    with open(out, "w", encoding="utf-8") as f:
        head = dict(tool=dict(transformers=transformers.__version__),
                    command="python3 tests/oracle/config_defaults.py tests/golden/oracle/config_defaults.json")
        f.write(json.dumps(head)[:-1] + ', "cases": [\n')
        f.write(",\n".join(map(json.dumps, cases)) + "\n]}\n")


if __name__ == "__main__":
    main(sys.argv[1])
