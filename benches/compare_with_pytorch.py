#!/usr/bin/env python3
"""Train steps of greenformers against those of PyTorch on this machine: time and peak memory.

The peer is a script that runs the same model in PyTorch (BERT with both pre-training heads, AdamW), one process a
cell, and prints one line of JSON with `step_s` (median) and `peer`. It takes --device, --arch dense|lrt|linformer,
--seq-len, --batch-size, --layers, --threads, --dropout, --steps and --compile.

Each cell runs both, one after the other, as many rounds as asked for; the step is the median over all rounds, and the
memory the highest resident set of the process (getrusage), which for both includes loading the library.

  cargo build --release
  python3 benches/compare_with_pytorch.py --peer torch_step.py --python torch/bin/python
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

ARCHS = {"dense": "dense", "lrt": "lrt:rank=256", "linformer": "linformer:k=128"}
SHAPES = [(8, 128), (2, 512)]


def run(command, threads):
    """Standard output of a command, and its highest resident set in bytes."""
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with status {process.returncode}")
    return out, usage.ru_maxrss * 1024


def ours(a, arch, batch, seq):
    with tempfile.TemporaryDirectory() as folder:
        seconds = str(a.seconds)
        _, rss = run(
            [a.greenformers, "profile", "--device", "cpu", "--arch", ARCHS[arch], "--seq-len", str(seq),
             "--batch-size", str(batch), "--layers", str(a.layers), "--dropout", str(a.dropout), "--meter", "none",
             "--ops", a.ops, "--min-time", seconds, "--max-time", seconds, "-q", "-o", folder],
            a.threads,
        )
        with open(os.path.join(folder, "record.json")) as f:
            cell = json.load(f)["cells"][0]
    steps = [s["forward_s"] + s["backward_s"] + s["optimizer_s"] for s in cell["steps"]]
    return steps, rss, cell


def theirs(a, arch, batch, seq):
    command = [a.python, a.peer, "--device", "cpu", "--arch", arch, "--seq-len", str(seq), "--batch-size", str(batch),
               "--layers", str(a.layers), "--dropout", str(a.dropout), "--threads", str(a.threads),
               "--steps", str(a.steps)]
    out, rss = run(command + (["--compile"] if a.compile else []), a.threads)
    result = json.loads(out.splitlines()[-1])
    return result["steps"], rss, result["peer"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peer", required=True, help="the PyTorch script")
    p.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    p.add_argument("--greenformers", default="target/release/greenformers")
    p.add_argument("--archs", default=",".join(ARCHS))
    p.add_argument("--shapes", default=",".join(f"{b}x{t}" for b, t in SHAPES), help="BATCHxTOKENS, ...")
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--rounds", type=int, default=1, help="times that both run, in turns")
    p.add_argument("--steps", type=int, default=7, help="steps of PyTorch a round")
    p.add_argument("--seconds", type=float, default=20, help="time of our steps a round")
    p.add_argument("--ops", default="fused", help="fused | stock: which of our operations")
    p.add_argument("--compile", action="store_true", help="let PyTorch compile its model")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    rows, peer = [], ""
    for shape in a.shapes.split(","):
        batch, seq = map(int, shape.split("x"))
        for arch in a.archs.split(","):
            mine, other, memory = [], [], [0, 0]
            for _ in range(a.rounds):
                steps, rss, peer = theirs(a, arch, batch, seq)
                other, memory[1] = other + steps, max(memory[1], rss)
                steps, rss, cell = ours(a, arch, batch, seq)
                mine, memory[0] = mine + steps, max(memory[0], rss)
            row = dict(arch=ARCHS[arch], batch_size=batch, seq_len=seq, step_s=statistics.median(mine),
                       peer_step_s=statistics.median(other), steps=len(mine), peer_steps=len(other),
                       peak_rss_bytes=memory[0], peer_peak_rss_bytes=memory[1], flop_per_step=cell["flop_per_step"])
            for phase in ("forward", "backward", "optimizer"):
                row[f"{phase}_s"] = statistics.median(s[f"{phase}_s"] for s in cell["steps"])
            row["ratio"] = row["step_s"] / row["peer_step_s"]
            row["memory_ratio"] = memory[0] / memory[1]
            rows.append(row)
            if not a.json:
                if len(rows) == 1:
                    print(f"greenformers --ops {a.ops} against {peer}, {a.threads} threads, {a.layers} layers, "
                          f"dropout {a.dropout}, f32\n")
                    print("| architecture | batch x tokens | step | PyTorch | ratio | GFLOP/s | peak memory | PyTorch | ratio |")
                    print("|---|---|---|---|---|---|---|---|---|")
                print(f"| {row['arch']} | {batch} x {seq} | {row['step_s']:.3f} s | {row['peer_step_s']:.3f} s "
                      f"| {row['ratio']:.2f} | {row['flop_per_step'] / row['step_s'] / 1e9:.0f} "
                      f"| {memory[0] / 2**30:.2f} GiB | {memory[1] / 2**30:.2f} GiB | {row['memory_ratio']:.2f} |",
                      flush=True)
    if a.json:
        print(json.dumps(dict(peer=peer, ops=a.ops, threads=a.threads, layers=a.layers, rows=rows), indent=1))


if __name__ == "__main__":
    main()
