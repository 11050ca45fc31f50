#!/usr/bin/env python3
"""Writes the golden files of decoders beside it: what transformers and peft compute for tiny ones.

NAME.safetensors holds the weights under Hugging Face's names, and NAME.expected.safetensors the input, the last hidden states,
the loss and the gradient of every weight that is trained ("grad.<weight>"). Everything is f64 and without dropout. The second
sequence has padding before it, and the third holds two documents; who sees whom is a mask that is written down here pair by pair.

  python3 -m venv v && v/bin/pip install torch==2.11.0 transformers==5.23.0 peft safetensors && v/bin/python decoders.py
"""
import math
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers import (Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
                          SmolLM3Config, SmolLM3ForCausalLM)

from low_rank import factorise

HERE = pathlib.Path(__file__).parent
# Odd and distinct, so that no transposition can hide.
SEQ_LEN, VOCAB = 7, 29
# The first token of each token's document. Padding is a document a token.
STARTS = [[0] * 7, [0, 1, 2, 2, 2, 2, 2], [0, 0, 0, 0, 4, 4, 4]]
# Of padding there is no loss, nor of a token after which another document begins.
ROWS = [(0, t) for t in range(6)] + [(1, t) for t in range(2, 6)] + [(2, t) for t in (0, 1, 2, 4, 5)]
SHAPE = dict(vocab_size=VOCAB, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, head_dim=6,
             max_position_embeddings=11, rms_norm_eps=1e-6, attn_implementation="sdpa", pad_token_id=None, bos_token_id=None, eos_token_id=None)


def write(name, model, window=None, change=None):
    torch.manual_seed(1)
    if change is not None:
        model = change(model)
    with torch.no_grad():
        for weight in model.parameters():  # larger than usual, biases too: everything matters to the result
            weight.copy_(torch.randn_like(weight) * 0.3)
    model = model.double().eval()
    widen(model)
    starts = torch.tensor(STARTS)
    batch = len(STARTS)
    ids = torch.randint(0, VOCAB, (batch, SEQ_LEN))
    sees = torch.zeros(batch, 1, SEQ_LEN, SEQ_LEN, dtype=torch.bool)
    for b in range(batch):
        for query in range(SEQ_LEN):
            for key in range(SEQ_LEN):
                near = window is None or query - key < window
                sees[b, 0, query, key] = STARTS[b][query] <= key <= query and near
    mask = torch.zeros(sees.shape, dtype=torch.double).masked_fill(~sees, -1e9)
    places = torch.arange(SEQ_LEN) - starts
    out = model(input_ids=ids, attention_mask=mask, position_ids=places, output_hidden_states=True)
    rows = torch.tensor([b * SEQ_LEN + t for b, t in ROWS])
    labels = torch.tensor([ids[b, t + 1] for b, t in ROWS])
    loss = nn.functional.cross_entropy(out.logits.flatten(0, 1)[rows], labels)
    loss.backward()

    def named(name):
        return name.replace("base_model.model.", "").replace(".base_layer", "").replace(".default", "")

    weights = {named(n): p.detach().contiguous() for n, p in model.named_parameters()}
    u32 = lambda t: t.to(torch.uint32)
    expected = {"input_ids": u32(ids), "starts": u32(starts), "rows": u32(rows), "labels": u32(labels),
                "hidden": out.hidden_states[-1].detach().contiguous(), "loss": loss.detach()}
    expected |= {f"grad.{named(n)}": p.grad.contiguous() for n, p in model.named_parameters() if p.grad is not None}
    save_file(weights, HERE / f"{name}.safetensors")
    save_file(expected, HERE / f"{name}.expected.safetensors")
    print(name, sum(w.numel() for w in weights.values()), "weights, loss", loss.item())


def widen(model):
    """Norms and angles, which transformers computes in f32 whatever the type of the model, in f64."""
    for module in model.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            eps = module.variance_epsilon if hasattr(module, "variance_epsilon") else module.eps
            module.forward = lambda x, m=module, eps=eps: m.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))
        elif kind.endswith("RotaryEmbedding"):
            rates, factor = slowed(module.config.rope_parameters, module.inv_freq.numel())
            assert torch.allclose(rates, module.inv_freq.double(), rtol=1e-5), (rates, module.inv_freq)
            assert abs(factor - module.attention_scaling) < 1e-12

            def turn(x, position_ids, rates=rates, factor=factor):
                angles = (position_ids[..., None].double() * rates).repeat(1, 1, 2)
                return factor * angles.cos(), factor * angles.sin()
            module.forward = turn


def slowed(rope, n):
    """What transformers computes in f32 of n pairs, in f64: the rates, and what queries and keys are multiplied by."""
    kind, theta = rope["rope_type"], rope["rope_theta"]
    rates = theta ** (-torch.arange(n, dtype=torch.double) / n)
    if kind == "default":
        return rates, 1.0
    factor = rope["factor"]
    if kind == "linear":
        return rates / factor, 1.0
    original = rope["original_max_position_embeddings"]
    if kind == "llama3":
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        kept = (original * rates / (2 * math.pi) - low) / (high - low)
        mscale = 1.0
    else:
        assert kind == "yarn"
        pair = lambda turns: n * math.log(original / (turns * 2 * math.pi)) / math.log(theta)
        begin, end = max(math.floor(pair(rope["beta_fast"])), 0), min(math.ceil(pair(rope["beta_slow"])), 2 * n - 1)
        kept = 1 - (torch.arange(n, dtype=torch.double) - begin) / (end - begin)
        mscale = 0.1 * math.log(factor) + 1
    kept = kept.clamp(0, 1)
    return kept * rates + (1 - kept) * rates / factor, mscale


def low_rank(rank):
    def change(model):
        factorise(model.model.layers, rank)
        return model
    return change


def lora(rank, targets, **more):
    return lambda model: get_peft_model(model, LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, **more))


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=12, n_layer=2, n_head=3, n_inner=20, n_positions=11, resid_pdrop=0,
                                      embd_pdrop=0, attn_pdrop=0, attn_implementation="sdpa", bos_token_id=None, eos_token_id=None))


def llama(keys=2, theta=10_000.0):
    return LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=keys, tie_word_embeddings=False, rope_theta=theta))


write("gpt2", gpt2())
write("llama", llama())
write("qwen3", Qwen3ForCausalLM(Qwen3Config(**SHAPE, num_key_value_heads=1, tie_word_embeddings=True, rope_theta=10_000.0)))
write("mistral", MistralForCausalLM(MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=3)), window=3)
phi3 = {k: v for k, v in SHAPE.items() if k != "head_dim"} | dict(num_attention_heads=2)
phi3 |= dict(num_key_value_heads=1, original_max_position_embeddings=11)
write("phi3", Phi3ForCausalLM(Phi3Config(**phi3)))
# Of 6 elements of a head 4 are turned.
rope = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.7}
write("phi3_partial", Phi3ForCausalLM(Phi3Config(**phi3, rope_parameters=rope)))
write("llama_theta", llama(theta=500_000.0))
write("qwen2", Qwen2ForCausalLM(Qwen2Config(**{k: v for k, v in SHAPE.items() if k != "head_dim"} | dict(num_attention_heads=2),
                                            num_key_value_heads=1, tie_word_embeddings=True, rope_theta=10_000.0)))
write("smollm3", SmolLM3ForCausalLM(SmolLM3Config(**SHAPE, num_key_value_heads=2, tie_word_embeddings=True, no_rope_layers=[1, 0],
                                                  rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})))
write("olmo2", Olmo2ForCausalLM(Olmo2Config(**SHAPE, num_key_value_heads=2, tie_word_embeddings=False, rope_theta=10_000.0)))
# Norms before and after each block. What else Gemma has stands aside: soft caps, gains that are added to one, embeddings that are
# multiplied, and windows, which the mask has.
gemma2 = Gemma2ForCausalLM(Gemma2Config(**SHAPE | dict(attn_implementation="eager"), num_key_value_heads=2,
                                        tie_word_embeddings=True, query_pre_attn_scalar=6, attn_logit_softcapping=None,
                                        final_logit_softcapping=None, sliding_window=11))
gemma2.model.embed_tokens.embed_scale = torch.ones(())
softmax = nn.functional.softmax  # which it computes in f32 otherwise
nn.functional.softmax = lambda x, dim, dtype=None: softmax(x, dim)
write("gemma2", gemma2)
nn.functional.softmax = softmax
# Slowed so that of three pairs one is fast, one slow and one between.
longer = lambda **rope: LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2, tie_word_embeddings=False,
                                                     rope_parameters={"rope_theta": 30.0, "factor": 4.0} | rope))
write("llama_linear", longer(rope_type="linear"))
write("llama_llama3", longer(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=40))
write("llama_yarn", longer(rope_type="yarn", beta_fast=4.0, beta_slow=1.0, original_max_position_embeddings=80))
# Keys and values of one head have a rank of 6 at most.
write("llama_lrt", llama(keys=1), change=low_rank(8))
write("llama_lora", llama(), change=lora(3, ["q_proj", "v_proj"]))
write("gpt2_lora", gpt2(), change=lora(3, ["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True))
