"""What transformers makes of YaRN in config.json files: frequencies, the attention's factor, cosines and sines.

Records, in OUT: a list of cases, each with the file's text, the frequency of each pair of a head, the
factor, and for some positions D/2 cosines and D/2 sines times the factor.

transformers asks torch for float32; here torch's names for it mean float64, so that the record has the
formula's own digits.

Command: python3 tests/oracle/yarn.py tests/golden/oracle/yarn.json
"""

import json
import sys

import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

torch.float = torch.float32 = torch.float64

POSITIONS = [0, 1, 2, 63, 1000, 40000]
SHAPE = dict(vocab_size=61, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
SMALL = dict(SHAPE, hidden_size=64, max_position_embeddings=8192)
CASES = [
    # Qwen2.5's and Qwen3's own words for 128 K, on heads of 128.
    dict(SHAPE, model_type="qwen2", hidden_size=512, max_position_embeddings=32768, rope_theta=1000000.0,
         rope_scaling=dict(factor=4.0, original_max_position_embeddings=32768, type="yarn")),
    dict(SHAPE, model_type="qwen3", hidden_size=512, head_dim=128, max_position_embeddings=131072, rope_theta=1000000,
         rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32768)),
    # YaRN-Llama-2: the context in the model's own key.
    dict(SMALL, model_type="llama", max_position_embeddings=65536, original_max_position_embeddings=4096,
         rope_scaling=dict(rope_type="yarn", factor=16.0, finetuned=True)),
    dict(SMALL, model_type="llama", original_max_position_embeddings=1024,
         rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=2048)),
    dict(SMALL, model_type="llama", rope_scaling=dict(type="yarn", factor=4.0)),
    # A factor that follows from the contexts.
    dict(SMALL, model_type="llama", rope_scaling=dict(type="yarn", factor=None, original_max_position_embeddings=1000)),
    # Other turns, zeros and nulls.
    dict(SMALL, model_type="mistral", rope_parameters=dict(rope_type="yarn", rope_theta=500.0, factor=8.0, beta_fast=12,
                                                           beta_slow=0.5, original_max_position_embeddings=1024)),
    dict(SMALL, model_type="mistral", rope_scaling=dict(rope_type="yarn", factor=8.0, beta_fast=0, beta_slow=None,
                                                        original_max_position_embeddings=1024)),
    # The theta inside goes first.
    dict(SMALL, model_type="llama", rope_theta=100.0, rope_parameters=dict(rope_theta=300.0),
         rope_scaling=dict(rope_type="yarn", rope_theta=200.0, factor=2.5, original_max_position_embeddings=2048)),
    # The attention's factor: stated; of two weights; of one, which has no effect; of a context that is not stretched.
    dict(SMALL, model_type="llama", rope_scaling=dict(rope_type="yarn", factor=8.0, attention_factor=0.77, mscale=2.0,
                                                      mscale_all_dim=0.5, original_max_position_embeddings=1024)),
    dict(SMALL, model_type="llama", rope_scaling=dict(rope_type="yarn", factor=8.0, mscale=0.707, mscale_all_dim=1.3,
                                                      original_max_position_embeddings=1024)),
    dict(SMALL, model_type="llama", rope_scaling=dict(rope_type="yarn", factor=8.0, mscale=0.5,
                                                      original_max_position_embeddings=1024)),
    dict(SMALL, model_type="llama", rope_scaling=dict(rope_type="yarn", factor=0.5, original_max_position_embeddings=8192)),
    # Borders between two pairs, and one of no width.
    dict(SMALL, model_type="llama", rope_scaling=dict(rope_type="yarn", factor=8.0, truncate=False,
                                                      original_max_position_embeddings=1024)),
    dict(SMALL, model_type="llama", rope_scaling=dict(rope_type="yarn", factor=8.0, beta_fast=3.0, beta_slow=3.0, truncate=False,
                                                      original_max_position_embeddings=1024)),
]


def main(out):
    cases = []
    for text in CASES:
        config = transformers.CONFIG_MAPPING[text["model_type"]].from_dict(json.loads(json.dumps(text)))
        frequencies, factor = ROPE_INIT_FUNCTIONS["yarn"](config, "cpu")
        assert frequencies.dtype == torch.float64
        angles = torch.tensor(POSITIONS, dtype=torch.float64)[:, None] * frequencies
        table = torch.cat([angles.cos() * factor, angles.sin() * factor], dim=1)
        cases.append(dict(config=text, theta=config.rope_parameters["rope_theta"], frequencies=frequencies.tolist(),
                          attention=factor, table=table.tolist()))
    with open(out, "w", encoding="utf-8") as f:
        head = dict(tool=dict(transformers=transformers.__version__, torch=torch.__version__),
                    command="python3 tests/oracle/yarn.py tests/golden/oracle/yarn.json", positions=POSITIONS)
        f.write(json.dumps(head)[:-1] + ', "cases": [\n')
        f.write(",\n".join(map(json.dumps, cases)) + "\n]}\n")


if __name__ == "__main__":
    main(sys.argv[1])
