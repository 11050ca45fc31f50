#!/usr/bin/env python3
"""Writes traffic.jsonl beside it: what the operations between matrix products read and write in a train step of transformers' models.

A line is [type, keys of config.json, sequences, tokens, how, bytes of the forward pass, bytes of both passes, operations of the forward
pass, operations of both]. The step runs with fake tensors as in `memory.py`, whose models, steps and hows these are. Bytes are those of
every tensor that an operation other than a matrix product or fused attention reads or writes, once each; operations are all that
compute or copy, products among them, each of which is a kernel on a GPU, or a few. The optimizer is left out.

Bytes are what the tensors have, not what a GPU's caches spare.

  v/bin/python traffic.py
"""
import json
import pathlib
import sys

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

import memory
from memory import AsOnAGpu, CLASSES, CONFIG_MAPPING, MODELS

# What has no kernel: views, allocations, and what looks at a tensor.
NO_KERNEL = {
    "_unsafe_view", "alias", "as_strided", "chunk", "detach", "device", "diagonal", "empty", "empty_like", "empty_strided", "expand",
    "lift_fresh", "movedim", "new_empty", "new_empty_strided", "permute", "reshape", "select", "slice", "split", "split_with_sizes",
    "squeeze", "t", "transpose", "unbind", "unfold", "unsqueeze", "view",
}
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}
# What writes and reads nothing of its inputs, which give shapes alone.
ONLY_WRITES = {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zeros", "ones", "full", "fill_", "zero_"}
STEPS = [
    *[(model, 8, 512, how) for model in ("bert-base", "roberta-base", "distilbert", "electra-base", "opt-125m")
      for how in ("bf16", "f32")],
    *[(model, 4, 1024, how) for model in (
        "gpt2", "pythia-410m", "falcon-1b", "phi-1.5", "tinyllama-1.1b", "llama-3.2-1b", "mistral-7b",
        "qwen2.5-0.5b", "qwen3-0.6b", "qwen3-8b", "gemma-2b", "gemma-3-1b", "phi-3-mini", "olmo-2-1b", "smollm3-3b", "stablelm-1.6b",
        "modernbert-base") for how in ("bf16", "f32")],
    ("bert-base", 8, 512, "bf16+composed"), ("bert-base", 8, 512, "pure"), ("bert-base", 8, 128, "bf16"),
    *[(model, 4, 1024, "bf16+composed") for model in (
        "gpt2", "gpt-neo-125m", "pythia-410m", "bloom-560m", "llama-3.2-1b", "qwen3-0.6b", "gemma-2b")],
    *[(model, 4, 1024, "pure") for model in ("gpt2", "llama-3.2-1b", "qwen3-0.6b")],
    *[(model, 4, 1024, how) for model in ("llama-3.2-1b", "qwen3-0.6b") for how in ("bf16+lora-qv", "bf16+lora-all")],
]


def size(tensor):
    """Bytes behind a tensor: what is repeated by a stride of 0 is there once."""
    count = 1
    for length, stride in zip(tensor.shape, tensor.stride()):
        count *= length if stride else min(length, 1)
    return count * tensor.element_size()


def bytes_of(name, args, inputs, outputs):
    read, written = sum(map(size, inputs)), sum(map(size, outputs))
    if name in ONLY_WRITES:
        return written
    if name == "copy_":
        return size(args[0]) + size(args[1])
    if name in ("embedding", "index", "gather", "index_select"):
        # Of a table the rows that are looked up.
        return 2 * written
    if name in ("embedding_dense_backward", "slice_backward", "select_backward"):
        # Zeros, and what is put among them.
        return written + 2 * size(args[0])
    if name == "nll_loss_forward":
        return 8 * args[1].numel()
    if name == "nll_loss_backward":
        return written
    return read + written


class Traffic(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.bytes, self.kernels, self.fresh, self.by = 0, 0, None, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function._schema.name.split("::")[1]
        if name == "new_empty_strided":
            # A gradient that is copied because this counting holds it: PyTorch itself takes it over.
            self.fresh = out
        if name in NO_KERNEL or (name == "copy_" and args[0] is self.fresh):
            return out
        self.kernels += 1
        if name not in PRODUCTS and "attention" not in name:
            tensors = [[leaf for leaf in tree_iter(x) if isinstance(leaf, torch.Tensor)] for x in ((args, kwargs), out)]
            moved = bytes_of(name, args, *tensors)
            self.bytes += moved
            self.by[name] = self.by.get(name, 0) + moved
        return out


def step(name, batch, seq_len, how):
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = memory.build(name, how)
        ids = torch.empty(batch, seq_len, dtype=torch.long)
        traffic, found = Traffic(), []
        with traffic, AsOnAGpu():
            with torch.autocast("cpu", torch.bfloat16, enabled=how.startswith("bf16")):
                loss = model(input_ids=ids, labels=ids).loss
            found = [traffic.bytes, traffic.kernels]
            torch.autograd.backward(loss)
    return found[0], traffic.bytes, found[1], traffic.kernels, traffic.by


def main():
    only = sys.argv[1:]
    with open("/dev/stdout" if only else pathlib.Path(__file__).with_name("traffic.jsonl"), "w") as out:
        for name, batch, seq_len, how in STEPS:
            if only and name not in only:
                continue
            *counted, by = step(name, batch, seq_len, how)
            most = ", ".join(f"{key} {moved / counted[1]:.0%}" for key, moved in sorted(by.items(), key=lambda x: -x[1])[:6])
            print(f"{name} {batch} x {seq_len} {how}: {counted[1] / 1e9:.2f} GB, {counted[3]} operations; {most}", file=sys.stderr, flush=True)
            kind, keys = MODELS[name]
            out.write(json.dumps([kind, keys, batch, seq_len, how, *counted], separators=(",", ":")) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
