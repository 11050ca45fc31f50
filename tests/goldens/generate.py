#!/usr/bin/env python3
"""Writes the golden files beside it: what PyTorch computes for tiny BERT pre-training models.

For each architecture, NAME.safetensors holds the weights under Hugging Face's names, and NAME.expected.safetensors the
input, the logits, both losses and the gradient of every weight ("grad.<weight>"). Everything is f64 and without
dropout. The dense model is `BertForPreTraining` of Hugging Face transformers; LRT and Linformer replace its linears
and its self-attention.

  python3 -m venv v && v/bin/pip install torch==2.11.0 transformers==5.23.0 safetensors && v/bin/python generate.py
"""
import math
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertForPreTraining

from low_rank import factorise

HERE = pathlib.Path(__file__).parent
# Odd and distinct, so that no transposition can hide.
BATCH, SEQ_LEN, MASKED, MAX_SEQ_LEN = 3, 7, 2, 11
CONFIG = BertConfig(vocab_size=29, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
                    max_position_embeddings=MAX_SEQ_LEN, type_vocab_size=2, hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0)


class Projection(nn.Module):
    """E, and F where values have their own: (k, max) or (heads, k, max)."""

    def __init__(self, k, heads, separate):
        super().__init__()
        shape = (k, MAX_SEQ_LEN) if heads is None else (heads, k, MAX_SEQ_LEN)
        self.e = nn.Parameter(torch.randn(shape))
        if separate:
            self.f = nn.Parameter(torch.randn(shape))


class LinformerAttention(nn.Module):
    """Self-attention over k rows of keys and values."""

    def __init__(self, dense, order, own=None, shared=None):
        super().__init__()
        self.query, self.key, self.value = dense.query, dense.key, dense.value
        if own is not None:
            self.linformer = own
        self.shared = [shared]  # in a list: not a submodule, so that its weights appear once
        self.order = order

    def heads(self, x):
        return x.view(*x.shape[:2], CONFIG.num_attention_heads, -1).transpose(1, 2)

    def forward(self, x, *_, **__):
        projection = self.linformer if hasattr(self, "linformer") else self.shared[0]
        e = projection.e[..., : x.shape[1]]
        f = getattr(projection, "f", projection.e)[..., : x.shape[1]]
        if self.order == "input":
            k, v = self.heads(self.key(e @ x)), self.heads(self.value(f @ x))
        else:
            k, v = e @ self.heads(self.key(x)), f @ self.heads(self.value(x))
        q = self.heads(self.query(x))
        p = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
        return (p @ v).transpose(1, 2).reshape(x.shape), None


def dense(_):
    pass


def lrt(rank):
    return lambda model: factorise(model.bert.encoder, rank)


def linformer(k, share, order):
    def change(model):
        shared = None
        if share == "model":
            shared = model.bert.encoder.linformer = Projection(k, None, separate=False)
        for layer in model.bert.encoder.layer:
            own = None if share == "model" else Projection(
                k, CONFIG.num_attention_heads if share == "none" else None, separate=share in ("layer", "none"))
            layer.attention.self = LinformerAttention(layer.attention.self, order, own, shared)
    return change


def write(name, change, padded):
    torch.manual_seed(1)
    model = BertForPreTraining(CONFIG)
    change(model)
    with torch.no_grad():
        for weight in model.parameters():  # larger than usual, biases too: everything matters to the result
            weight.copy_(torch.randn_like(weight) * 0.3)
    model = model.double().eval()
    # Id 0 is padding to transformers, which gives it no gradient from the look-up; BERT as published does.
    ids = torch.randint(1, CONFIG.vocab_size, (BATCH, SEQ_LEN))
    types = torch.randint(0, 2, (BATCH, SEQ_LEN))
    mask = torch.ones(BATCH, SEQ_LEN, dtype=torch.long)
    if padded:
        mask[1, 5:] = 0
    where = torch.stack([torch.randperm(5)[:MASKED] for _ in range(BATCH)])
    labels = torch.randint(0, CONFIG.vocab_size, (BATCH, MASKED))
    follows = torch.randint(0, 2, (BATCH,))
    out = model(input_ids=ids, token_type_ids=types, attention_mask=mask)
    logits = out.prediction_logits.gather(1, where[..., None].expand(-1, -1, CONFIG.vocab_size)).flatten(0, 1)
    masked_lm = nn.functional.cross_entropy(logits, labels.flatten())
    next_sentence = nn.functional.cross_entropy(out.seq_relationship_logits, follows)
    (masked_lm + next_sentence).backward()

    weights = {n: p.detach().contiguous() for n, p in model.named_parameters()}
    u32 = lambda t: t.to(torch.uint32)
    expected = {"input_ids": u32(ids), "token_type_ids": u32(types), "attention_mask": u32(mask), "masked_positions": u32(where),
                "masked_labels": u32(labels), "next_sentence_labels": u32(follows), "masked_logits": logits.detach().contiguous(),
                "next_sentence_logits": out.seq_relationship_logits.detach().contiguous(), "masked_lm": masked_lm.detach(),
                "next_sentence": next_sentence.detach()}
    expected |= {f"grad.{n}": p.grad.contiguous() for n, p in model.named_parameters()}
    save_file(weights, HERE / f"{name}.safetensors")
    save_file(expected, HERE / f"{name}.expected.safetensors")
    print(name, sum(w.numel() for w in weights.values()), "weights, loss", masked_lm.item() + next_sentence.item())


write("dense", dense, padded=True)
write("lrt", lrt(5), padded=True)
write("linformer_model", linformer(4, "model", "input"), padded=False)
write("linformer_layer", linformer(4, "layer", "input"), padded=False)
write("linformer_kv", linformer(4, "kv", "projected"), padded=False)
write("linformer_none", linformer(4, "none", "projected"), padded=False)
