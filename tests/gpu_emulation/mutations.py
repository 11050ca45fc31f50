#!/usr/bin/env python3
"""Shows that the emulation finds what it says it finds, and nothing else.

The kernels as they are, and the right ones of `probes.cu`, must pass, in four orders of their threads. Each change that
breaks a kernel, and each wrong one of `probes.cu`, must be reported in all of them: in the plain order for the reason that
is given with it, in others for whatever shows first. Every barrier and every wait of the kernels is left out in turn.
Needs g++ and the headers of CUDA's toolkit.

  python3 tests/gpu_emulation/mutations.py --out target/mutations
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import build
import launches

UNORDERED = "with no barrier in between"
UNWRITTEN = "which nobody has written yet"
IN_FLIGHT = "is copying to and has not waited for"
OTHER_BLOCK = "of block (0, 0, 0) wrote in the same launch"
OUTSIDE = "bytes that are not all there"
ELSEWHERE = "waits elsewhere"


class Mutation(NamedTuple):
    """What is wrong with `file` if `new` stands where `old` does; the launch that meets it, and what is reported."""

    what: str
    file: str
    old: str
    new: str
    launch: str
    reported: str
    # Which of the places with `old` is meant, if there are several.
    place: int | None = None


MUTATIONS = [Mutation(*m) for m in [
    ("more warps are read than there are",
     "common.cuh", "warp < blockDim.x / WARP; warp++", "warp <= blockDim.x / WARP; warp++", "cross_entropy",
     UNWRITTEN),
    ("every thread writes the mean",
     "cross_entropy.cu", "if (threadIdx.x == 0) *mean", "*mean", "cross_entropy", "wrote " + UNORDERED),
    ("all rows have the same loss",
     "cross_entropy.cu", "losses[blockIdx.x] =", "losses[0] =", "cross_entropy", OTHER_BLOCK),
    ("all parts are summed to one row", "reduce.cu", "sums + blockIdx.y * columns", "sums", "reduce", OTHER_BLOCK),
    ("the last columns are summed without a look", "reduce.cu", "if (column + j < columns) ", "", "reduce", OUTSIDE),
    ("blocks overlap", "common.cuh", "size_t first = blockIdx.x * size_t(blockDim.x) + threadIdx.x, step",
     "size_t first = threadIdx.x, step", "elementwise", OTHER_BLOCK),
    ("numbers are loaded at once wherever they lie",
     "common.cuh", "aligned<N>(y) && (aligned<N>(x) && ...) ? n / N : 0", "n / N", "elementwise",
     "several bytes at once at no multiple"),
    ("a row beyond the last",
     "softmax.cu", "  if (row.row >= rows) return;\n  Softmax", "  if (row.row > rows) return;\n  Softmax", "softmax",
     OUTSIDE),
    ("two warps have the same row",
     "softmax.cu", "threadIdx.x / WARP, among_all", "threadIdx.x / WARP / 2, among_all", "softmax",
     "wrote " + UNORDERED),
    ("rows are added without atomics", "gather.cu", "atomicAdd(sum + ids[row] * d + c, widen(dy[row * d + c]))",
     "sum[ids[row] * d + c] += widen(dy[row * d + c])", "gather", "wrote " + UNORDERED),
    ("blocks are added without atomics",
     "gather.cu", "atomicAdd(sum + threadIdx.y * d + column, all)", "sum[threadIdx.y * d + column] += all", "gather",
     OTHER_BLOCK),
    ("warps share the values of a row",
     "layer_norm.cu", "float *values = shared + threadIdx.x / WARP * d;", "float *values = shared;", "layer_norm",
     "wrote " + UNORDERED),
    ("a lane reads the columns of another", "layer_norm.cu", "Some<N, float> some = load<N>(values + c);\n    for",
     "Some<N, float> some = load<N>(values + (c + N) % d);\n    for", "layer_norm", "wrote " + UNORDERED),
    ("a block has all sums",
     "layer_norm.cu", "partial[blockIdx.x * 2 * d + c]", "partial[c]", "layer_norm", OTHER_BLOCK),
    ("warps part before a barrier",
     "layer_norm.cu", "  __syncthreads();\n", "  if (warp) __syncthreads(); else __syncthreads();\n", "layer_norm",
     ELSEWHERE),
    ("threads update the same weights",
     "common.cuh", "i < rest; i += 4 * blockDim.x", "i < rest; i += blockDim.x", "adamw", "wrote " + UNORDERED),
    ("the rest is updated twice",
     "common.cuh", "for (size_t i = rest + threadIdx.x", "for (size_t i = first + threadIdx.x", "adamw",
     "wrote " + UNORDERED),
    ("a weight has no end", "common.cuh", "end = min(first + chunk, n)", "end = first + chunk", "adamw", OUTSIDE),
    ("copies are waited for after the barrier",
     "attention_tiles.cuh", "wait_for_all_but_the_last();\n    __syncthreads();\n",
     "__syncthreads();\n    wait_for_all_but_the_last();\n", "attention", "wrote " + UNORDERED),
    ("the buffers do not take turns",
     "attention_tiles.cuh", "first += N, at ^= 1", "first += N", "attention", IN_FLIGHT),
    ("the next tile is copied over this one",
     "attention_tiles.cuh", "copy_all(at ^ 1, first + N)", "copy_all(at, first + N)", "attention",
     IN_FLIGHT),
    ("rows that are not there are copied",
     "attention_tiles.cuh", "bool there = first + row + i < head.rows;", "bool there = true;", "attention", OUTSIDE),
    ("both tiles are copied to one place",
     "attention_tiles.cuh", "copy_rows<THREADS>(tiles[at][1], right, first);", "copy_rows<THREADS>(tiles[at][0], right, first);",
     "attention", IN_FLIGHT),
    ("rows of a tile lie close together",
     "attention_tiles.cuh", "[D + PIECE<T>]", "[D + 1]", "attention", "at no multiple of 16"),
    ("the numbers of rows do not take turns",
     "attention.cu", "of_rows[at][0][threadIdx.x] = row", "of_rows[0][0][threadIdx.x] = row", "attention", UNWRITTEN),
    ("blocks have rows in common",
     "attention_tiles.cuh", "(backwards ? blocks - 1 - part : part) * of_block", "(backwards ? blocks - 1 - part : part) * (of_block - 16)",
     "attention", OTHER_BLOCK),
    ("blocks add to the gradients of queries without atomics",
     "attention.cu", "atomicAdd(sums + (4 * n + i) * WARP, part[0][n][i] * factor)",
     "sums[(4 * n + i) * WARP] += part[0][n][i] * factor", "attention", OTHER_BLOCK),
    ("four lanes write a number",
     "attention.cu", "if (pair_of_lane() == 0 && row < rows)", "if (row < rows)", "attention",
     "wrote " + UNORDERED),
    ("rows beyond the last are written",
     "attention_tiles.cuh", "    if (row >= head.rows) continue;\n", "", "attention", OUTSIDE),
    ("what queries see does not take turns",
     "attention.cu", "on_chip.first_keys[at][threadIdx.x] =", "on_chip.first_keys[0][threadIdx.x] =", "attention", UNWRITTEN),
    ("columns are added from beyond the row",
     "elementwise.cu", "unsigned(i) % unsigned(columns) + first, several", "unsigned(i) % unsigned(columns) + 2 * first, several", "elementwise",
     OUTSIDE),
    ("a block has all sums of gains", "rms_norm.cu", "partial[blockIdx.x * d + c]", "partial[c]", "rms_norm", OTHER_BLOCK),
    ("some lanes leave before the sum",
     "attention.cu", "bool there = i < n;", "bool there = i < n;\n  if (lane() == 31) return;", "attention",
     "needs lane 31 of its warp"),
]]

# Statements without which a kernel is wrong, wherever they stand, and what meets those of the files that others include.
NEEDED = ["__syncthreads();", "end_of_copies();", "wait_for_all_but_the_last();"]
MEET = {"common.cuh": ["two_block_sums", "two_block_softmaxes"], "attention_tiles.cuh": ["attention"]}


def omissions():
    """Each needed statement left out in turn."""
    for path in sorted(build.KERNELS.glob("*.cu*")):
        for statement in NEEDED:
            for place in range(path.read_text().count(statement)):
                what = f"`{statement}` {place + 1} of {path.name} is missing"
                yield what, path.name, statement, place, MEET.get(path.name, [path.stem])


# Probes that must be reported; all others must pass.
WRONG = {
    "lockstep": UNWRITTEN,
    "shuffle_as_barrier": "wrote " + UNORDERED,
    "warp_barrier_between_warps": "wrote " + UNORDERED,
    "atomic_sum_that_is_read": "read " + UNORDERED,
    "between_blocks": OTHER_BLOCK,
    "divergent_barriers": ELSEWHERE,
    "missed_barrier": "waits for threads that never come",
    "shuffle_with_the_dead": "needs lane 5 of its warp",
    "unwritten_shared": "byte 36 of shared `some`, " + UNWRITTEN,
    "beyond_shared": "byte 252 of the block's shared memory, but the launch gave it 252",
    "beyond_the_end": "byte 252 of 252 allocated bytes",
    "after_free": OUTSIDE,
    "misaligned": "several bytes at once at no multiple",
    "copy_that_has_not_landed": IN_FLIGHT,
    "copy_of_another_thread": UNWRITTEN,
    "copy_of_what_changes": "what changed before the copy had landed",
    "copy_over_what_is_read": UNORDERED,
    "copy_that_is_left": "ends before a copy of it has landed",
}


# The plain order of threads, and some that are drawn.
SEEDS = [None, 1, 2, 3]


def launched(library, names, seed=None):
    """The kernels of some launches, and what the emulation says about them; None if they pass."""
    command = [sys.executable, "-B", launches.__file__, library, *names]
    env = {"PATH": "/usr/bin:/bin"} | ({"EMULATED_GPU_SEED": str(seed)} if seed is not None else {})
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
    if done.returncode == 0:
        return done.stdout.split(), None
    if "emulated GPU: " not in done.stderr:
        raise SystemExit(f"{names}: no report, but\n{done.stderr}")
    return [], done.stderr[done.stderr.index("emulated GPU: ") + 14:].strip()


def in_all_orders(library, names):
    """What is said about the plain order, if in all orders or in none something is said."""
    said = {seed: launched(library, names, seed)[1] for seed in SEEDS}
    silent = [seed for seed in SEEDS if said[seed] is None]
    if not silent or len(silent) == len(SEEDS):
        return said[None]
    return f"nothing with seed {silent[0]}"


class Emulation:
    """Builds kernels into a folder."""

    def __init__(self, cuda, out):
        self.cuda, self.out = cuda, out
        self.objects = build.build_driver(cuda, out)

    def library(self, name, source, mutation=None):
        """With the kernels of one file, after a mutation of one of the files."""
        out = self.out / name
        for folder in [build.KERNELS, build.HERE]:
            build.for_the_host(folder, out / "ours")
        if mutation:
            path = out / "ours" / mutation.file
            parts = path.read_text().split(mutation.old)
            if len(parts) != 2 and mutation.place is None or len(parts) < 2:
                raise SystemExit(f"{mutation.what}: {mutation.file} has `{mutation.old}` {len(parts) - 1} times")
            at = (mutation.place or 0) + 1
            path.write_text(mutation.old.join(parts[:at]) + mutation.new + mutation.old.join(parts[at:]))
        build.build_module("ours", [source], self.cuda, out)
        return build.link_driver(self.objects, ["ours"], out)


class Verdicts:
    wrong = 0

    def tell(self, what, said, reported):
        """`reported` must be said: nothing if it is None."""
        right = said is None if reported is None else said is not None and reported in said
        self.wrong += not right
        print(f"{'ok' if right else 'WRONG':5} {what}" + (f"\n        {said}" if said else ""), flush=True)


def try_unchanged(emulation, verdicts):
    library, all_launched = emulation.library("all", "all.cu"), set()
    for seed in SEEDS:
        for name in launches.OF_FILES:
            kernels, said = launched(library, [name], seed)
            verdicts.tell(f"{name} as it is, " + ("in order" if seed is None else f"seed {seed}"), said, None)
            all_launched |= set(kernels)
    registered = (emulation.out / "all/ours/all.kernels.cpp").read_text()
    missing = set(re.findall(r'{"(\w+)"', registered)) - all_launched
    verdicts.tell("every kernel is launched", f"not {sorted(missing)}" if missing else None, None)


def try_probes(emulation, verdicts):
    library = emulation.library("probes", "probes.cu")
    for name in sorted(launches.PROBES.keys() - {"order_of_threads"}):
        verdicts.tell(f"probe {name}", in_all_orders(library, [name]), WRONG.get(name))
    # What nothing else finds.
    said = launched(library, ["order_of_threads"], seed=1)[1]
    verdicts.tell("probe order_of_threads, seed 1", said, "if its threads run in another order")
    verdicts.tell("probe order_of_threads, in order", launched(library, ["order_of_threads"])[1], None)


def try_mutations(emulation, verdicts, only):
    def report(mutation, meet):
        source = f"{meet[0]}.cu" if meet[0] in launches.OF_FILES else "probes.cu"
        return in_all_orders(emulation.library("mutation", source, mutation), meet)

    for mutation in MUTATIONS:
        if only in mutation.what:
            verdicts.tell(mutation.what, report(mutation, [mutation.launch]), mutation.reported)
    for what, file, statement, place, meet in omissions():
        if only in what:
            verdicts.tell(what, report(Mutation(what, file, statement, "", "", "", place), meet), "kernel `")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--only", default="", help="mutations whose names contain this, and nothing else")
    build.toolkit(p)
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    emulation, verdicts = Emulation(a.cuda, a.out.resolve()), Verdicts()
    if not a.only:
        try_unchanged(emulation, verdicts)
        try_probes(emulation, verdicts)
    try_mutations(emulation, verdicts, a.only)
    raise SystemExit(f"{verdicts.wrong} are wrong" if verdicts.wrong else None)


if __name__ == "__main__":
    main()
