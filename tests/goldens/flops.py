"""Writes tests/goldens/flops.jsonl: FLOPs of a forward and backward pass of made-up models, one or two of each type that
`src/model/hugging_face` reads, as PyTorch's `FlopCounterMode` counts them (torch 2.11.0, transformers 5.23.0).

A line is [type, keys of config.json, FLOPs]. Two sequences of 8 tokens with a loss on every position; attention in separate products,
experts in a loop. The models and their keys are those of `hugging_face.jsonl`. Left out are the angles of rotary positions, which
PyTorch multiplies as matrices, and poolers, of which no loss hangs here so that they have no backward pass.

    python tests/goldens/flops.py
"""

import json
import os
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = json.load(open(os.path.join(HERE, "../../src/model/hugging_face/defaults.json")))
torch.set_num_threads(1)
BATCH, LENGTH = 2, 8


def model_of(name, values):
    config = CONFIG_MAPPING[name].from_dict(dict(values))
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    return getattr(transformers, CLASSES[name]["class"])(config), config


def flops(name, values):
    torch.manual_seed(0)
    model, config = model_of(name, values)
    model.train()
    ids = torch.randint(3, min(config.vocab_size, 30), (BATCH, LENGTH))
    with FlopCounterMode(display=False) as counter:
        out = model(input_ids=ids, labels=ids) if "labels" in model.forward.__code__.co_varnames else model(input_ids=ids)
        loss = out.loss if getattr(out, "loss", None) is not None else out.logits.float().square().mean()
        loss.backward()
    return counter


def main():
    of_type = {}
    for line in open(os.path.join(HERE, "hugging_face.jsonl")):
        name, values, n, *_ = json.loads(line)
        if values and n < 3e7:
            of_type.setdefault(name, []).append(values)
    with open(os.path.join(HERE, "flops.jsonl"), "w") as out:
        for name, made in sorted(of_type.items()):
            for values in made[:2]:
                try:
                    counter = flops(name, values)
                except Exception as error:
                    print(f"{name}: {type(error).__name__}: {str(error)[:150]}", file=sys.stderr)
                    continue
                parts = counter.get_flop_counts()
                left_out = sum(sum(of.values()) for part, of in parts.items() if part.endswith(("rotary_emb", ".pooler")))
                out.write(json.dumps([name, values, counter.get_total_flops() - left_out], separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
