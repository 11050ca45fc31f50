#!/usr/bin/env python3
"""Writes train.safetensors beside it: a tiny GPT-2 that PyTorch trains for twenty steps in f32, without dropout.

It holds the weights before the first step under Hugging Face's names, the tokens of every step ("tokens", steps x sequences x tokens and
the one after), and the loss of every step before it ("losses"). AdamW with linear warm-up, half a cosine to a tenth, and the gradient
shortened to a norm of 1. The rate is so high and the weights are so large that the norm is above 1 in most of the steps.

  python3 -m venv v && v/bin/pip install torch==2.11.0 transformers==5.23.0 safetensors && v/bin/python train.py
"""
import math
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

STEPS, BATCH, SEQ_LEN, VOCAB = 20, 3, 8, 29
LR, WARMUP, DECAY = 0.01, 4, 20

torch.manual_seed(1)
model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=12, n_layer=2, n_head=3, n_inner=20, n_positions=11, resid_pdrop=0,
                                   embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None))
with torch.no_grad():
    for weight in model.parameters():
        weight.copy_(torch.randn_like(weight) * 0.7)
initial = {name: weight.detach().clone().contiguous() for name, weight in model.named_parameters()}
tokens = torch.randint(0, VOCAB, (STEPS, BATCH, SEQ_LEN + 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)
losses, norms = [], []
for step in range(1, STEPS + 1):
    ids = tokens[step - 1]
    logits = model(input_ids=ids[:, :-1]).logits
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
    gone = min(max(step - WARMUP, 0) / (DECAY - WARMUP), 1.0)
    rate = LR * min(step / WARMUP, 1.0) * (0.1 + 0.9 * (1 + math.cos(math.pi * gone)) / 2)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    losses.append(loss.item())
save_file(initial | {"tokens": tokens.to(torch.uint32), "losses": torch.tensor(losses, dtype=torch.float64)},
          pathlib.Path(__file__).parent / "train.safetensors")
print("losses", losses[0], "to", losses[-1], "norms", min(norms), "to", max(norms))
