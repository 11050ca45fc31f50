#!/usr/bin/env python3
"""Writes two files beside it: what torch.linalg makes of every linear of the tiny models here at rank 3.

factorized.safetensors: "MODEL.LINEAR" is the nearest matrix of that rank, outputs first, in f64; "MODEL.LINEAR.error" its Frobenius
distance over the norm of the matrix. Linears are named as in a model whose linears are all factorised: queries, keys and values apart.

whitened.safetensors: the same by SVD-LLM (Wang et al. 2024, arXiv 2403.07378), with the Cholesky factor S of the second moments of the
inputs that the linear gets when transformers' model, in f64, reads "ids" in sequences of 11. "MODEL.LINEAR" is `U s V^T S^-1`, the
error that of its outputs, and "MODEL.LINEAR.plain" that of the outputs of the nearest matrix.

It prints the small product that a test of `src/train/factorize/solve.rs` has, too.

  python3 -m venv v && v/bin/pip install torch==2.11.0 transformers==5.23.0 safetensors && v/bin/python factorize.py
"""
import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

HERE = pathlib.Path(__file__).parent
RANK = 3
# Names of the parts, and outputs of each.
FUSED = {"c_attn": (["q_attn", "k_attn", "v_attn"], [12, 12, 12]), "qkv_proj": (["q_proj", "k_proj", "v_proj"], [12, 6, 6]),
         "gate_up_proj": (["gate_proj", "up_proj"], [20, 20])}


def parts(name, weight):
    """Linears of the layers, outputs first."""
    if weight.dim() != 2 or not ("layer" in name or ".h." in name) or "_embeddings" in name:
        return
    name = name.removesuffix(".weight")
    if ".h." in name:
        weight = weight.t()
    head, _, last = name.rpartition(".")
    for part, rows in zip(*FUSED.get(last, ([last], [len(weight)]))):
        yield f"{head}.{part}", weight[:rows]
        weight = weight[rows:]


# As in tests/factorize.rs, and what tests/whitened.rs adds: constants far from the usual ones, so that they matter.
DECODER = dict(hidden_size=12, num_hidden_layers=2, intermediate_size=20, vocab_size=29, max_position_embeddings=11, pad_token_id=None,
               rms_norm_eps=0.1)
CONFIGS = {
    "dense": dict(model_type="bert", hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, vocab_size=29,
                  max_position_embeddings=11, type_vocab_size=2, layer_norm_eps=0.1),
    "gpt2": dict(model_type="gpt2", n_embd=12, n_layer=2, n_head=3, n_inner=20, vocab_size=29, n_positions=11,
                 layer_norm_epsilon=0.1),
    "llama": dict(DECODER, model_type="llama", num_attention_heads=4, num_key_value_heads=2, head_dim=6, tie_word_embeddings=False,
                  rope_parameters=dict(rope_type="default", rope_theta=50.0)),
    "phi3": dict(DECODER, model_type="phi3", num_attention_heads=2, num_key_value_heads=1, sliding_window=None,
                 tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=200.0, partial_rotary_factor=1.0)),
}
SEQ_LEN = 11


def inputs(model, weights, ids):
    """What each linear is given, one row a token, by the name of its weight without the body's."""
    config = dict(CONFIGS[model])
    built = AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config)).double().eval()
    body = built.base_model_prefix + "."
    bare = {name.removeprefix(body): weight for name, weight in weights.items()}
    missing = built.load_state_dict(bare, strict=False).missing_keys
    assert not missing, missing
    seen = {}
    for name, module in built.named_modules():
        if type(module).__name__ in ("Linear", "Conv1D"):
            module.register_forward_hook(lambda _, x, __, name=name: seen.setdefault(name, []).append(x[0].flatten(0, -2)))
    with torch.no_grad():
        for sequence in ids.split(SEQ_LEN):
            built(sequence[None])
    return {body + name: torch.cat(rows) for name, rows in seen.items()}


def whitened(w, x, rank):
    s = torch.linalg.cholesky(x.t() @ x)
    u, values, v = torch.linalg.svd(w @ s, full_matrices=False)
    image = (u[:, :rank] * values[:rank]) @ v[:rank]
    return torch.linalg.solve_triangular(s, image, upper=False, left=False)


def lost(w, near, x):
    return torch.linalg.norm((w - near) @ x.t()) / torch.linalg.norm(w @ x.t())


expected, by_inputs = {}, {"ids": torch.randint(0, 29, (160,), generator=torch.Generator().manual_seed(1))}
for model in CONFIGS:
    weights = load_file(HERE / f"{model}.safetensors")
    given = inputs(model, weights, by_inputs["ids"])
    for name, weight in weights.items():
        for linear, w in parts(name, weight):
            u, s, v = torch.linalg.svd(w, full_matrices=False)
            near = (u[:, :RANK] * s[:RANK]) @ v[:RANK]
            expected[f"{model}.{linear}"] = near.contiguous()
            expected[f"{model}.{linear}.error"] = torch.linalg.norm(w - near) / torch.linalg.norm(w)
            x = given[name.removesuffix(".weight")]
            white = whitened(w, x, RANK)
            by_inputs[f"{model}.{linear}"] = white.contiguous()
            by_inputs[f"{model}.{linear}.error"] = lost(w, white, x)
            by_inputs[f"{model}.{linear}.plain"] = lost(w, near, x)
save_file(expected, HERE / "factorized.safetensors")
save_file(by_inputs, HERE / "whitened.safetensors")
print(len(expected) // 2, "linears")

w = torch.tensor([[2, -1, 0], [1, 3, 1], [0, 1, -2], [1, 1, 1]], dtype=torch.double)
x = torch.tensor([[1, 0, 0], [2, 1, 0], [0, 1, 3], [1, -1, 1], [0, 0, 5]], dtype=torch.double)
torch.set_printoptions(precision=15)
for rank in (1, 2):
    print("rank", rank, whitened(w, x, rank), lost(w, whitened(w, x, rank), x).item())
