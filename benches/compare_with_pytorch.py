#!/usr/bin/env python3
"""Train steps of greenformers against those of PyTorch on this machine: time and peak memory.

The peer is a script that runs the same model in PyTorch (BERT with both pre-training heads, AdamW), one process a
cell, and prints one line of JSON with `step_s` (median), `steps`, `peer` and, on a GPU, `peak_memory_bytes`. It takes
--device, --arch dense|lrt|linformer, --seq-len, --batch-size, --layers, --threads, --dropout, --dtype, --steps and
--compile.

On a CPU each cell runs both, one after the other, as many rounds as asked for; memory is the highest resident set of
the process (getrusage), which for both includes loading the library. On a GPU the peer waits for the card after each
phase of a step; the ratio is of steps timed so on both sides. Beside it stands our step as training runs it, with the
next one queued. Memory is what the allocators of both had given out at the most. A step is the median of all steps.

  cargo build --release
  python3 benches/compare_with_pytorch.py --peer torch_step.py --python torch/bin/python
  python3 benches/compare_with_pytorch.py --peer torch_step.py --device cuda --dtypes f32,tf32,bf16
  python3 benches/compare_with_pytorch.py --peer benches/torch_decoder_step.py --workload gpt2 --model gpt2 --archs dense,lrt,lora \\
      --shapes 4x256,1x1024 --dropout 0
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

ARCHS = {"dense": "dense", "lrt": "lrt:rank=256", "linformer": "linformer:k=128", "lora": "lora:rank=16,targets=all"}
SHAPES = {"cpu": "8x128,2x512", "cuda": "64x128,32x512,4x4096"}


def run(command, threads):
    """Standard output of a command, and its highest resident set in bytes."""
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with status {process.returncode}")
    return out, usage.ru_maxrss * 1024


def ours(a, archs, dtypes, batch, seq):
    """What we measure of these cells in one process: cells of a record by (arch, dtype), and the resident set."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = str(a.seconds)
        command = [a.greenformers, "profile", "--device", a.device, "--seq-len", str(seq), "--batch-size", str(batch),
                   "--layers", str(a.layers), "--dropout", str(a.dropout), "--meter", "none", "--ops", a.ops,
                   "--workload", a.workload, "--dtype", ",".join(dtypes), "--min-time", seconds, "--max-time", seconds, "-q", "-o", folder]
        for arch in archs:
            command += ["--arch", ARCHS[arch]]
        _, rss = run(command, a.threads)
        with open(os.path.join(folder, "record.json")) as f:
            cells = json.load(f)["cells"]
    return {(cell["arch"], cell["dtype"]): cell for cell in cells}, rss


def theirs(a, arch, dtype, batch, seq):
    command = [a.python, a.peer, "--device", a.device, "--arch", arch, "--seq-len", str(seq),
               "--batch-size", str(batch), "--layers", str(a.layers), "--dropout", str(a.dropout), "--dtype", dtype,
               "--threads", str(a.threads), "--steps", str(a.steps)]
    command += (["--compile"] if a.compile else []) + (["--model", a.model] if a.model else [])
    out, rss = run(command, a.threads)
    return json.loads(out.splitlines()[-1]), rss


def steps_of(cell):
    return [s["forward_s"] + s["backward_s"] + s["optimizer_s"] for s in cell["steps"]]


def on_cpu(a, batch, seq):
    for dtype in a.dtypes.split(","):
        for arch in a.archs.split(","):
            mine, other, memory = [], [], [0, 0]
            for _ in range(a.rounds):
                result, rss = theirs(a, arch, dtype, batch, seq)
                other, memory[1] = other + result["steps"], max(memory[1], rss)
                cells, rss = ours(a, [arch], [dtype], batch, seq)
                cell = cells[ARCHS[arch], dtype]
                mine, memory[0] = mine + steps_of(cell), max(memory[0], rss)
            step = statistics.median(mine)
            yield dict(row(arch, dtype, batch, seq, result, cell), step_s=step, queued_step_s=step,
                       peer_step_s=statistics.median(other), memory_bytes=memory[0], peer_memory_bytes=memory[1])


def on_gpu(a, batch, seq):
    archs, dtypes = a.archs.split(","), a.dtypes.split(",")
    cells, _ = ours(a, archs, dtypes, batch, seq)
    for dtype in dtypes:
        for arch in archs:
            cell = cells[ARCHS[arch], dtype]
            if cell["status"] != "ok":
                print(f"{arch}, {batch} x {seq}, {dtype}: {cell['status']}: {cell['error']}", file=sys.stderr)
                continue
            try:
                result, _ = theirs(a, arch, dtype, batch, seq)
            except RuntimeError as error:
                print(error, file=sys.stderr)
                continue
            yield dict(row(arch, dtype, batch, seq, result, cell), step_s=cell["launch"]["synchronized_s"],
                       queued_step_s=statistics.median(steps_of(cell)), enqueue_s=cell["launch"]["enqueue_s"],
                       peer_step_s=statistics.median(result["steps"]), memory_bytes=cell["peak_memory_bytes"],
                       peer_memory_bytes=result["peak_memory_bytes"])


def row(arch, dtype, batch, seq, result, cell):
    phases = {f"{p}_s": statistics.median(s[f"{p}_s"] for s in cell["steps"]) for p in ("forward", "backward", "optimizer")}
    peer = {f"peer_{p}_s": result[f"{p}_s"] for p in ("forward", "backward", "optimizer")}
    return dict(arch=ARCHS[arch], batch_size=batch, seq_len=seq, dtype=dtype, flop_per_step=cell["flop_per_step"],
                peer=result["peer"], **phases, **peer)


def seconds(s):
    return f"{s:.3f} s" if s >= 1 else f"{1e3 * s:.2f} ms"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peer", required=True, help="the PyTorch script")
    p.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    p.add_argument("--greenformers", default="target/release/greenformers")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--dtypes", default="f32", help="f32,tf32,bf16")
    p.add_argument("--archs", default="dense,lrt,linformer", help="of dense,lrt,linformer,lora")
    p.add_argument("--workload", default="bert-base", help="what ours trains: a name or a file")
    p.add_argument("--model", help="what the peer calls it, if it knows several")
    p.add_argument("--shapes", help="BATCHxTOKENS, ... [default: 8x128,2x512; on a GPU 64x128,32x512,4x4096]")
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--rounds", type=int, default=1, help="times that both run, in turns, on a CPU")
    p.add_argument("--steps", type=int, help="steps of PyTorch a round [default: 7; on a GPU 50]")
    p.add_argument("--seconds", type=float, help="time of our steps a round [default: 20; on a GPU 3]")
    p.add_argument("--ops", default="fused", help="fused | stock: which of our operations")
    p.add_argument("--compile", action="store_true", help="let PyTorch compile its model")
    p.add_argument("--json", help="write the rows there as well")
    a = p.parse_args()
    gpu = a.device == "cuda"
    a.steps = a.steps or (50 if gpu else 7)
    a.seconds = a.seconds or (3 if gpu else 20)
    rows = []
    for shape in (a.shapes or SHAPES[a.device]).split(","):
        batch, seq = map(int, shape.split("x"))
        for r in (on_gpu if gpu else on_cpu)(a, batch, seq):
            r["ratio"] = r["step_s"] / r["peer_step_s"]
            r["memory_ratio"] = r["memory_bytes"] / r["peer_memory_bytes"]
            rows.append(r)
            if len(rows) == 1:
                print(f"greenformers --ops {a.ops} against {r['peer']}, {a.device}, {a.threads} threads, "
                      f"{a.layers} layers, dropout {a.dropout}\n")
                print("| architecture | batch x tokens | dtype | step | PyTorch | ratio | queued | TFLOP/s "
                      "| launch bound | peak memory | PyTorch | ratio |")
                print("|---|---|---|---|---|---|---|---|---|---|---|---|")
            bound = f"{r['enqueue_s'] / r['queued_step_s']:.2f}" if "enqueue_s" in r else "-"
            print(f"| {r['arch']} | {batch} x {seq} | {r['dtype']} | {seconds(r['step_s'])} "
                  f"| {seconds(r['peer_step_s'])} | {r['ratio']:.2f} | {seconds(r['queued_step_s'])} "
                  f"| {r['flop_per_step'] / r['queued_step_s'] / 1e12:.3g} | {bound} "
                  f"| {r['memory_bytes'] / 2**30:.2f} GiB | {r['peer_memory_bytes'] / 2**30:.2f} GiB "
                  f"| {r['memory_ratio']:.2f} |", flush=True)
            if a.json:
                with open(a.json, "w") as f:
                    json.dump(dict(ops=a.ops, device=a.device, threads=a.threads, layers=a.layers, rows=rows), f, indent=1)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"error: {error}")
