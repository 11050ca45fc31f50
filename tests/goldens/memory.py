#!/usr/bin/env python3
"""Writes memory.jsonl beside it: the most memory that a train step of PyTorch takes for models of transformers, in real sizes.

A line is [type, keys of config.json, sequences, tokens, how, bytes]. The step runs with fake tensors, which have shapes and no
contents, so that it needs neither a GPU nor the memory; what is counted are the storages alive, in multiples of 512 bytes as
PyTorch's allocator gives them out. Left out are the context of the driver and what the allocator keeps without use.

It is a step as on a GPU, though the tensors are said to be on a CPU: operations that `torch.autocast` runs in f32 there do so here,
dropout keeps a mask of a byte, scaled_dot_product_attention is FlashAttention, and AdamW one kernel. Against what PyTorch's
allocator said on an H100 and an H200 (`benches/README.md`), `memory.py check` finds 1 to 3 % less.

How: "bf16" autocast over f32 weights, "f32", "pure" bf16 weights and states; then, after a plus, "composed" attention,
"checkpointing" of each layer, and "lora-qv" or "lora-all" of rank 16 over frozen bf16 weights.

  python3 -m venv v && v/bin/pip install torch==2.11.0 transformers==5.23.0 peft && v/bin/python memory.py
"""
import argparse
import contextlib
import importlib.util
import json
import math
import os
import pathlib
import sys
import unittest.mock
import weakref

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
import torch.nn.functional as F
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers import masking_utils
from transformers.utils import import_utils

# Of fake tensors transformers would write down the causal mask that it leaves to the kernel elsewhere, since it cannot look at what
# is in them: no sequences are packed here.
import_utils.is_fake_tensor = lambda _: False
masking_utils.find_packed_sequence_indices = lambda _: None
HERE = pathlib.Path(__file__).resolve().parent
CLASSES = json.load(open(HERE / "../../src/model/hugging_face/defaults.json"))
LLAMA = dict(hidden_act="silu", rms_norm_eps=1e-5)
# Shapes as published; what is not said is the default of the type.
MODELS = {
    "bert-base": ("bert", {}),
    "bert-large": ("bert", dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)),
    "roberta-base": ("roberta", dict(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)),
    "distilbert": ("distilbert", {}),
    "electra-base": ("electra", dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
                                     embedding_size=768)),
    "modernbert-base": ("modernbert", {}),
    "gpt2": ("gpt2", {}),
    "gpt2-medium": ("gpt2", dict(n_embd=1024, n_layer=24, n_head=16)),
    "gpt-neo-125m": ("gpt_neo", dict(hidden_size=768, num_layers=12, num_heads=12, attention_types=[[["global", "local"], 6]])),
    "opt-125m": ("opt", {}),
    "opt-1.3b": ("opt", dict(hidden_size=2048, num_hidden_layers=24, num_attention_heads=32, ffn_dim=8192,
                             word_embed_proj_dim=2048)),
    "pythia-410m": ("gpt_neox", dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
                                     vocab_size=50304)),
    "bloom-560m": ("bloom", dict(hidden_size=1024, n_layer=24, n_head=16, vocab_size=250880)),
    "falcon-1b": ("falcon", dict(hidden_size=2048, num_hidden_layers=24, num_attention_heads=32, vocab_size=50304,
                                 alibi=False, multi_query=True, parallel_attn=True)),
    "phi-1.5": ("phi", dict(hidden_size=2048, num_hidden_layers=24, num_attention_heads=32, intermediate_size=8192,
                            vocab_size=51200)),
    "tinyllama-1.1b": ("llama", dict(LLAMA, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
                                     num_attention_heads=32, num_key_value_heads=4, vocab_size=32000)),
    "llama-3.2-1b": ("llama", dict(LLAMA, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
                                   num_attention_heads=32, num_key_value_heads=8, vocab_size=128256,
                                   tie_word_embeddings=True)),
    "llama-3.1-8b": ("llama", dict(LLAMA, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
                                   num_attention_heads=32, num_key_value_heads=8, vocab_size=128256)),
    "mistral-7b": ("mistral", dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
                                   num_key_value_heads=8, vocab_size=32000, sliding_window=None)),
    "qwen2.5-0.5b": ("qwen2", dict(hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
                                   num_key_value_heads=2, vocab_size=151936, tie_word_embeddings=True)),
    "qwen3-0.6b": ("qwen3", dict(hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
                                 num_key_value_heads=8, head_dim=128, vocab_size=151936, tie_word_embeddings=True)),
    "qwen3-8b": ("qwen3", dict(hidden_size=4096, intermediate_size=12288, num_hidden_layers=36, num_attention_heads=32,
                               num_key_value_heads=8, head_dim=128, vocab_size=151936)),
    "gemma-2b": ("gemma", dict(hidden_size=2048, intermediate_size=16384, num_hidden_layers=18, num_attention_heads=8,
                               num_key_value_heads=1, head_dim=256, vocab_size=256000)),
    "gemma-3-1b": ("gemma3_text", dict(hidden_size=1152, intermediate_size=6912, num_hidden_layers=26,
                                       num_attention_heads=4, num_key_value_heads=1, head_dim=256, vocab_size=262144)),
    "phi-3-mini": ("phi3", dict(hidden_size=3072, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=32,
                                num_key_value_heads=32, vocab_size=32064, pad_token_id=0)),
    "olmo-2-1b": ("olmo2", dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=16,
                                num_key_value_heads=16, vocab_size=100352)),
    "smollm3-3b": ("smollm3", dict(hidden_size=2048, intermediate_size=11008, num_hidden_layers=36, num_attention_heads=16,
                                   num_key_value_heads=4, vocab_size=128256)),
    "stablelm-1.6b": ("stablelm", dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=24,
                                       num_attention_heads=32, num_key_value_heads=32, vocab_size=100352)),
}
# Model, sequences, tokens, how.
STEPS = [
    *[(model, 32, 512, "bf16") for model in ("bert-base", "roberta-base", "distilbert", "electra-base")],
    *[("bert-base", *shape) for shape in ((64, 128, "bf16"), (32, 512, "f32"), (32, 512, "bf16+composed"),
                                          (32, 512, "bf16+checkpointing"), (8, 512, "bf16"), (32, 512, "pure"))],
    ("bert-large", 16, 512, "bf16"), ("modernbert-base", 16, 1024, "bf16"), ("modernbert-base", 2, 8192, "bf16"),
    *[("gpt2", 16, 1024, how) for how in ("bf16", "f32", "bf16+composed", "bf16+checkpointing", "pure", "bf16+lora-all")],
    ("gpt2", 4, 1024, "bf16"), ("gpt2-medium", 8, 1024, "bf16"), ("gpt2-medium", 8, 1024, "bf16+checkpointing"),
    ("gpt-neo-125m", 8, 1024, "bf16+composed"), ("opt-125m", 8, 1024, "bf16"), ("opt-1.3b", 4, 2048, "bf16"),
    ("pythia-410m", 8, 2048, "bf16"), ("pythia-410m", 4, 2048, "bf16+composed"), ("bloom-560m", 4, 1024, "bf16+composed"),
    ("falcon-1b", 4, 2048, "bf16"), ("phi-1.5", 4, 2048, "bf16"), ("tinyllama-1.1b", 4, 2048, "bf16"),
    ("tinyllama-1.1b", 16, 2048, "bf16+checkpointing"), ("tinyllama-1.1b", 2, 2048, "f32"),
    *[("llama-3.2-1b", 4, 2048, how) for how in ("bf16", "pure", "bf16+checkpointing", "bf16+lora-qv", "bf16+composed")],
    ("llama-3.2-1b", 1, 512, "bf16"), ("llama-3.1-8b", 2, 2048, "bf16+lora-qv"), ("llama-3.1-8b", 1, 8192, "bf16+lora-all"),
    ("mistral-7b", 4, 2048, "bf16+lora-all+checkpointing"), ("mistral-7b", 1, 4096, "pure"),
    ("qwen2.5-0.5b", 4, 2048, "bf16"), ("qwen3-0.6b", 4, 2048, "bf16"), ("qwen3-0.6b", 16, 2048, "bf16+checkpointing"),
    ("qwen3-8b", 1, 2048, "bf16+lora-all"), ("qwen3-8b", 8, 2048, "bf16+lora-all+checkpointing"),
    ("gemma-2b", 2, 2048, "bf16"), ("gemma-3-1b", 4, 2048, "bf16"), ("phi-3-mini", 2, 2048, "bf16+lora-all"),
    ("olmo-2-1b", 4, 2048, "bf16"), ("smollm3-3b", 1, 2048, "bf16"), ("stablelm-1.6b", 4, 2048, "bf16"),
]


class Peak(TorchDispatchMode):
    """Adds up the storages that are alive, and remembers the most."""

    def __init__(self):
        super().__init__()
        self.now, self.most, self.alive = 0, 0, {}

    def add(self, tensor):
        storage = tensor.untyped_storage()
        key, size = id(storage), -(-storage.nbytes() // 512) * 512
        if key in self.alive:
            return

        def gone(_):
            self.now -= size
            del self.alive[key]
        self.alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for leaf in tree_iter(out):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return out


def flash(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if torch.is_autocast_enabled("cpu"):
        q, k, v = (x.to(torch.bfloat16) for x in (q, k, v))
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, is_causal, scale=scale)[0]


class AsOnAGpu(TorchFunctionMode):
    """Operations keep what they keep on a GPU (PyTorch's documentation, "CUDA Ops that can autocast to float32")."""

    IN_F32 = {F.layer_norm, torch.layer_norm, torch.pow, torch.Tensor.pow, torch.Tensor.__pow__, torch.rsqrt, torch.Tensor.rsqrt,
              torch.exp, F.softmax, torch.softmax, torch.Tensor.softmax, F.log_softmax, torch.log_softmax, F.cross_entropy,
              F.nll_loss, torch.sum, torch.Tensor.sum, torch.cumsum, torch.Tensor.cumsum, F.softplus}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention:
            return flash(*args, **kwargs)
        if function is F.dropout:
            p, training = [*args[1:], *(kwargs[key] for key in ("p", "training") if key in kwargs)][:2]
            return torch.native_dropout(args[0], p, True)[0] if training and p else args[0]
        if function in self.IN_F32 and torch.is_autocast_enabled("cpu"):
            def wide(x):
                return x.float() if isinstance(x, torch.Tensor) and x.dtype is torch.bfloat16 else x
            with torch.autocast("cpu", enabled=False):
                return function(*map(wide, args), **{key: wide(x) for key, x in kwargs.items()})
        return function(*args, **kwargs)


def most_of(model, loss, inputs, is_cast):
    """The most that three steps take, of which the first makes the states of the optimizer."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    peak = Peak()
    for tensor in [*model.parameters(), *model.buffers(), *inputs]:
        peak.add(tensor)
    with peak:
        for _ in range(3):
            with AsOnAGpu():
                with torch.autocast("cpu", torch.bfloat16, enabled=is_cast):
                    value = loss(model, *inputs)
                torch.autograd.backward(value)
            del value
            optimizer.step()
            optimizer.zero_grad()
    return peak.most


def step(name, batch, seq_len, how):
    kind, keys = MODELS[name]
    dtype, *more = how.split("+")
    config = CONFIG_MAPPING[kind].from_dict(dict(keys))
    config.use_cache = False
    config._attn_implementation = "eager" if "composed" in more else "sdpa"
    config._experts_implementation = "eager"
    lora = next((part for part in more if part.startswith("lora")), None)
    with FakeTensorMode(allow_non_fake_inputs=True):
        torch.set_default_dtype(torch.bfloat16 if lora or dtype == "pure" else torch.float32)
        model = getattr(transformers, CLASSES[kind]["class"])(config)
        torch.set_default_dtype(torch.float32)
        if lora:
            from peft import LoraConfig, get_peft_model
            targets = "all-linear" if lora == "lora-all" else ["q_proj", "v_proj"]
            # Fake weights cannot be moved, and need not be.
            with unittest.mock.patch.object(torch.nn.Module, "_apply", lambda module, *_, **__: module):
                model = get_peft_model(model, LoraConfig(r=16, target_modules=targets, task_type="CAUSAL_LM"))
        if "checkpointing" in more:
            model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False,
                                                 "context_fn": lambda: (contextlib.nullcontext(), AsOnAGpu())})
            if lora:
                model.enable_input_require_grads()
        model.train()
        ids = torch.empty(batch, seq_len, dtype=torch.long)
        return most_of(model, lambda model, ids: model(input_ids=ids, labels=ids).loss, [ids], dtype == "bf16")


def check():
    """Steps that a GPU has run: what its allocator said, in GiB, against what this script says."""
    def load(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    decoders, bert = load(HERE / "../../benches/torch_decoder_step.py"), load(pathlib.Path(sys.argv[2]))

    def longs(*shape):
        return torch.empty(*shape, dtype=torch.long)
    for arch, batch, seq_len, seen in [("dense", 64, 128, 5.02), ("dense", 32, 512, 8.41), ("dense", 4, 4096, 8.44),
                                       ("lrt", 32, 512, 8.40), ("linformer", 32, 512, 7.78)]:
        a = argparse.Namespace(arch=arch, rank=256, k=128, share="model", layers=12, dropout=0.1, seq_len=seq_len)
        with FakeTensorMode():
            masked = math.ceil(0.15 * seq_len)
            inputs = [longs(batch, seq_len), longs(batch, seq_len), longs(batch, masked), longs(batch, masked), longs(batch)]
            most = most_of(bert.Bert(a).train(), lambda model, *x: model(*x), inputs, True)
        print(f"{arch} {batch} x {seq_len}: {most / 2**30:.2f} GiB, seen {seen}")
    for arch, seen in [("dense", 16.04), ("lora", 15.10)]:
        with FakeTensorMode():
            model = decoders.Decoder(argparse.Namespace(model="gpt2", arch=arch, rank=256, layers=12, dropout=0.0)).train()
            for name, weight in model.named_parameters():
                weight.requires_grad_(arch == "dense" or name.endswith((".a.weight", ".b.weight")))
            most = most_of(model, lambda model, *x: model(*x), [longs(16, 1024), longs(16, 1024)], True)
        print(f"GPT-2 {arch} 16 x 1024: {most / 2**30:.2f} GiB, seen {seen}")


def main():
    if sys.argv[1:2] == ["check"]:
        return check()
    with open(HERE / "memory.jsonl", "w") as out:
        for name, batch, seq_len, how in STEPS:
            try:
                most = step(name, batch, seq_len, how)
            except Exception as error:
                print(f"{name} {how}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr, flush=True)
                continue
            print(f"{name} {batch} x {seq_len} {how}: {most / 1e9:.2f} GB", file=sys.stderr, flush=True)
            kind, keys = MODELS[name]
            out.write(json.dumps([kind, keys, batch, seq_len, how, most], separators=(",", ":")) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
