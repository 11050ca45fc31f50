#!/usr/bin/env python3
"""Writes the golden files of ModernBERT beside it: what `ModernBertForMaskedLM` of transformers computes for tiny ones.

NAME.safetensors holds the weights under Hugging Face's names, and NAME.expected.safetensors the input, the last hidden states, the
logits of the masked positions, the loss and the gradient of every weight ("grad.<weight>"). Everything is f64 and without dropout.
The second sequence has padding after it. Layers 1 and 2 of 4 see two tokens to both sides, the others all.

  python3 -m venv v && v/bin/pip install torch==2.11.0 transformers==5.23.0 safetensors && v/bin/python modern_bert.py
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import ModernBertConfig, ModernBertForMaskedLM
from transformers.models.modernbert import modeling_modernbert as modeling

from low_rank import LowRank

HERE = pathlib.Path(__file__).parent
# Odd and distinct, so that no transposition can hide.
BATCH, SEQ_LEN, MASKED = 3, 7, 2
SHAPE = dict(vocab_size=29, hidden_size=12, intermediate_size=20, num_hidden_layers=4, num_attention_heads=3,
             max_position_embeddings=11, local_attention=4, pad_token_id=None, bos_token_id=None, eos_token_id=None,
             cls_token_id=None, sep_token_id=None, attn_implementation="sdpa",
             rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 160_000.0},
                              "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}})


def turn(q, k, cos, sin, unsqueeze_dim=1):
    """Without the detour through f32."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return q * cos + modeling.rotate_half(q) * sin, k * cos + modeling.rotate_half(k) * sin


modeling.apply_rotary_pos_emb = turn


def widen(model):
    """Angles, which transformers computes in f32 whatever the type of the model, in f64."""
    def angles(x, position_ids, layer_type, config=model.config):
        n = config.hidden_size // config.num_attention_heads // 2
        rates = config.rope_parameters[layer_type]["rope_theta"] ** (-torch.arange(n, dtype=torch.double) / n)
        each = (position_ids[..., None].double() * rates).repeat(1, 1, 2)
        return each.cos(), each.sin()
    model.model.rotary_emb.forward = angles


def low_rank(model, rank):
    """Each linear as two matrices: of fused ones each part for itself."""
    for layer in model.model.layers:
        for block, fused, parts in ((layer.attn, "Wqkv", ["Wq", "Wk", "Wv"]), (layer.mlp, "Wi", ["Wi_input", "Wi_gate"])):
            dense = getattr(block, fused)
            delattr(block, fused)
            for part in parts:
                setattr(block, part, LowRank(nn.Linear(dense.in_features, dense.out_features // len(parts), bias=False), rank))
            setattr(block, fused, lambda x, b=block, parts=parts: torch.cat([getattr(b, part)(x) for part in parts], -1))
        layer.attn.Wo = LowRank(layer.attn.Wo, rank)
        layer.mlp.Wo = LowRank(layer.mlp.Wo, rank)


def write(name, change=None, **more):
    torch.manual_seed(1)
    model = ModernBertForMaskedLM(ModernBertConfig(**SHAPE, **more))
    if change is not None:
        change(model)
    with torch.no_grad():
        for weight in model.parameters():  # larger than usual, biases too: everything matters to the result
            weight.copy_(torch.randn_like(weight) * 0.3)
    model = model.double().eval()
    widen(model)
    ids = torch.randint(0, SHAPE["vocab_size"], (BATCH, SEQ_LEN))
    mask = torch.ones(BATCH, SEQ_LEN, dtype=torch.long)
    mask[1, 5:] = 0
    where = torch.stack([torch.randperm(5)[:MASKED] for _ in range(BATCH)])
    labels = torch.randint(0, SHAPE["vocab_size"], (BATCH, MASKED))
    hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
    logits = model(input_ids=ids, attention_mask=mask).logits
    logits = logits.gather(1, where[..., None].expand(-1, -1, SHAPE["vocab_size"])).flatten(0, 1)
    loss = nn.functional.cross_entropy(logits, labels.flatten())
    loss.backward()

    weights = {n: p.detach().contiguous() for n, p in model.named_parameters()}
    u32 = lambda t: t.to(torch.uint32)
    expected = {"input_ids": u32(ids), "attention_mask": u32(mask), "masked_positions": u32(where), "masked_labels": u32(labels),
                "hidden": hidden.detach().contiguous(), "masked_logits": logits.detach().contiguous(), "masked_lm": loss.detach()}
    expected |= {f"grad.{n}": p.grad.contiguous() for n, p in model.named_parameters()}
    assert all(t.isfinite().all() for n, t in expected.items() if n.startswith("grad."))
    save_file(weights, HERE / f"{name}.safetensors")
    save_file(expected, HERE / f"{name}.expected.safetensors")
    print(name, sum(w.numel() for w in weights.values()), "weights, loss", loss.item(), model.config.layer_types)


write("modern_bert")
write("modern_bert_biases", norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True, decoder_bias=False,
      tie_word_embeddings=False)
write("modern_bert_lrt", change=lambda model: low_rank(model, 5))
