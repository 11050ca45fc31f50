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
sys.path.insert(0, str(HERE / "../../benches"))
from model_shapes import MODELS  # noqa: E402

CLASSES = json.load(open(HERE / "../../src/model/hugging_face/defaults.json"))
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


def build(name, how):
    """The model in training, with fake weights: to be called while tensors are fake."""
    kind, keys = MODELS[name]
    dtype, *more = how.split("+")
    config = CONFIG_MAPPING[kind].from_dict(dict(keys))
    config.use_cache = False
    config._attn_implementation = "eager" if "composed" in more else "sdpa"
    config._experts_implementation = "eager"
    lora = next((part for part in more if part.startswith("lora")), None)
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
    return model.train()


def step(name, batch, seq_len, how):
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = build(name, how)
        ids = torch.empty(batch, seq_len, dtype=torch.long)
        return most_of(model, lambda model, ids: model(input_ids=ids, labels=ids).loss, [ids], how.startswith("bf16"))


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
