#!/usr/bin/env python3
"""What the loops of the attention kernels cost in instructions: a count that needs no GPU.

On the matrix units attention is bound by how fast a multiprocessor issues instructions, of which it can issue four a cycle.
The script compiles the kernels for a GPU, disassembles them, and counts what lies in the longest loop of each: the loop over
tiles. It prints the count for 16 rows and 64 keys of a warp, what the count is made of, and the
throughput that follows if every cycle issued four:

  python3 benches/instructions.py --arch sm_90 --multiprocessors 132 --gigahertz 1.755

It needs nvcc and cuobjdump (the toolkit has both; so have the packages nvidia-cuda-nvcc and nvidia-cuda-cuobjdump).
"""

import argparse
import collections
import re
import subprocess
import tempfile
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent / "src/nn/ops/cuda/kernels/attention.cu"
# By kernel: rows x keys that a warp works on in a turn of its loop, turns of the loop within it, and products of 16 x 64 by
# 64 x 64 for each.
TURNS = {
    "attention_64_bf16": (32 * 64, 1, 2),
    "attention_64_tf32": (32 * 32, 1, 2),
    "attention_backward_64_bf16": (16 * 64, 4, 5),
    "attention_backward_64_tf32": (16 * 32, 2, 5),
}
KINDS = {"HMMA": "matrix units", "LDSM": "shared memory", "LDS": "shared memory", "STS": "shared memory", "MUFU": "exponentials",
         "IMAD": "integers", "LOP3": "integers", "SHF": "integers", "IADD3": "integers", "PRMT": "integers", "FFMA": "floats",
         "FMUL": "floats", "FADD": "floats", "FMNMX": "floats", "F2FP": "rounding", "LDGSTS": "copies", "RED": "atomic sums"}


def functions(sass):
    """The instructions of each kernel: address, name, and the address that it jumps to, if it does."""
    for part in sass.split("Function : ")[1:]:
        name = part.split()[0]
        rows = re.findall(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);", part)
        yield name, [(int(a, 16), op.split(".")[0], rest) for a, op, rest in rows]


def longest_loop(rows, turns):
    """The instructions between the target and the place of the backward jump that spans the most. What a forward jump skips is
    left out if it reads device memory: masks and the end of the keys, which few tiles have, and what few warps copy. What a loop within it has counts as often as that turns."""
    jumps = []
    for address, op, rest in rows:
        target = re.search(r"0x([0-9a-f]+)", rest)
        if op == "BRA" and target:
            jumps.append((address, int(target[1], 16)))
    first, last = max(((to, at) for at, to in jumps if to < at), key=lambda loop: loop[1] - loop[0])
    loads = [address for address, op, _ in rows if op == "LDG"]
    skipped = [(at, to) for at, to in jumps if first < at < to <= last and to - at < (last - first) / 2
               and any(at < load < to for load in loads)]
    inner = [(to, at) for at, to in jumps if first < to < at < last]
    kept = [(address, op) for address, op, _ in rows
            if first <= address <= last and not any(at < address < to for at, to in skipped)]
    return [op for address, op in kept for _ in range(turns if any(a <= address <= b for a, b in inner) else 1)]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--arch", default="sm_90")
    p.add_argument("--multiprocessors", type=int, default=132, help="[default: those of an H100]")
    p.add_argument("--gigahertz", type=float, default=1.755)
    p.add_argument("--cuobjdump", default="cuobjdump")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cubin = f"{folder}/attention.cubin"
        subprocess.run(["nvcc", "-std=c++17", "-O3", f"-arch={a.arch}", "-cubin", "-o", cubin, KERNELS], check=True)
        sass = subprocess.run([a.cuobjdump, "-sass", cubin], check=True, stdout=subprocess.PIPE, text=True).stdout
    print("| kernel | instructions for 16 x 64 | of them | TFLOP/s at 4 a cycle |\n|---|---|---|---|")
    for name, rows in functions(sass):
        if name not in TURNS:
            continue
        pairs, turns, products = TURNS[name]
        ops = longest_loop(rows, turns)
        share = 16 * 64 / pairs
        kinds = collections.Counter(KINDS.get(op, "the rest") for op in ops)
        made_of = ", ".join(f"{share * n:.0f} {kind}" for kind, n in kinds.most_common())
        flop = products * 2 * 16 * 64 * 64
        rate = flop / (share * len(ops)) * 4 * a.multiprocessors * a.gigahertz * 1e9
        print(f"| `{name}` | {share * len(ops):.0f} | {made_of} | {rate / 1e12:.0f} |")


if __name__ == "__main__":
    main()
