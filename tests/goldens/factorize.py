#!/usr/bin/env python3
"""Writes factorized.safetensors beside it: what torch.linalg.svd makes of every linear of the tiny models here at rank 3.

"MODEL.LINEAR" is the nearest matrix of that rank, outputs first, in f64; "MODEL.LINEAR.error" its Frobenius distance over the norm of
the matrix. Linears are named as in a model whose linears are all factorised: queries, keys and values apart.

  python3 -m venv v && v/bin/pip install torch==2.11.0 safetensors && v/bin/python factorize.py
"""
import pathlib

import torch
from safetensors.torch import load_file, save_file

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


expected = {}
for model in ["dense", "gpt2", "llama", "phi3"]:
    for name, weight in load_file(HERE / f"{model}.safetensors").items():
        for linear, w in parts(name, weight):
            u, s, v = torch.linalg.svd(w, full_matrices=False)
            near = (u[:, :RANK] * s[:RANK]) @ v[:RANK]
            expected[f"{model}.{linear}"] = near.contiguous()
            expected[f"{model}.{linear}.error"] = torch.linalg.norm(w - near) / torch.linalg.norm(w)
save_file(expected, HERE / "factorized.safetensors")
print(len(expected) // 2, "linears")
