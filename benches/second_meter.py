#!/usr/bin/env python3
"""Joules of train steps by greenformers, and by a second meter on the same steps.

`greenformers profile --steps N` runs a cell without a pause. Meanwhile this script reads the same GPU by itself, through
NVIDIA's own binding (`pip install nvidia-ml-py`): its energy counter, and its power. The record says on the clock of
the system when the steps began and ended; the second meter's joules of just that time stand beside the program's two
estimates, by the counter and by the integral of power.

  python3 benches/second_meter.py --greenformers target/release/greenformers --gpu 0 --minutes 1
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import pynvml

POLL_S = 0.02


class Reader(threading.Thread):
    """Reads a GPU until it is told to stop: (time, joules, watts)."""

    def __init__(self, gpu):
        super().__init__(daemon=True)
        self.gpu, self.readings, self.stopped = gpu, [], threading.Event()

    def run(self):
        while not self.stopped.is_set():
            before = time.time()
            joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(self.gpu) / 1e3
            watts = pynvml.nvmlDeviceGetPowerUsage(self.gpu) / 1e3
            self.readings.append(((before + time.time()) / 2, joules, watts))
            self.stopped.wait(POLL_S)


def ticks(readings):
    """The counter where it changes: it stands still in between."""
    changed = [readings[0][:2]]
    for when, joules, _ in readings:
        if joules != changed[-1][1]:
            changed.append((when, joules))
    return changed


def at(points, when):
    """The value at a time, on the line between the points around it."""
    for (t0, y0), (t1, y1) in zip(points, points[1:]):
        if t0 <= when <= t1:
            return y0 + (y1 - y0) * (when - t0) / (t1 - t0)
    raise SystemExit("error: the second meter did not read for as long as the steps ran")


def integral(readings, start, end):
    """Watts times time, each reading for as long as it stood."""
    joules = 0.0
    for (t0, _, watts), (t1, _, _) in zip(readings, readings[1:]):
        joules += watts * max(0.0, min(t1, end) - max(t0, start))
    return joules


def profile(a, folder, options):
    """The summary of the one cell that the program measures into a folder."""
    command = [a.greenformers, "profile", "--device", a.device, "--arch", a.arch, "--dtype", a.dtype, "--seq-len",
               str(a.seq_len), "--batch-size", str(a.batch_size), "--format", "json", "-q", "-o", folder, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with status {done.returncode}")
    return json.loads(done.stdout)["cells"][0]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--greenformers", default="target/release/greenformers")
    p.add_argument("--gpu", type=int, default=0, help="as the driver counts")
    p.add_argument("--device", default="cuda")
    p.add_argument("--arch", default="dense")
    p.add_argument("--dtype", default="bf16")
    p.add_argument("--seq-len", type=int, default=128)
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--meter", default="nvml", help="the program's own")
    p.add_argument("--minutes", type=float, default=1.0)
    p.add_argument("--json", help="write the figures there as well")
    a = p.parse_args()
    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByIndex(a.gpu)
    with tempfile.TemporaryDirectory() as folder:
        first = profile(a, os.path.join(folder, "first"), ["--meter", "none", "--min-time", "3", "--max-time", "3"])
        n = max(32, round(60 * a.minutes / first["step_s"]["mid"]))
        reader = Reader(gpu)
        reader.start()
        ours = profile(a, os.path.join(folder, "run"), ["--meter", a.meter, "--steps", str(n)])
        reader.stopped.set()
        reader.join()
        with open(os.path.join(folder, "run", "record.json")) as f:
            cell = json.load(f)["cells"][0]
    steps, readings = cell["steps"], reader.readings
    last = steps[-1]
    start = cell["epoch_unix_s"] + steps[0]["start_s"]
    end = cell["epoch_unix_s"] + last["start_s"] + last["forward_s"] + last["backward_s"] + last["optimizer_s"]
    counter = ticks(readings)
    theirs = (at(counter, end) - at(counter, start)) / len(steps)
    by_power = integral(readings, start, end) / len(steps)
    check = ours["energy_check"]
    rows = [
        ("greenformers, shown", ours["energy_j_per_step"]["mid"]),
        ("greenformers, counter", check and check["counter_j_per_step"]),
        ("greenformers, integral of power", check and check["integral_j_per_step"]),
        ("second meter, counter", theirs),
        ("second meter, integral of power", by_power),
    ]
    print(f"{a.arch}, {a.batch_size} x {a.seq_len}, {a.dtype}: {len(steps)} steps in {end - start:.1f} s, "
          f"{len(readings)} readings\n")
    print("| estimate | J a step | against the second meter's counter |\n|---|---|---|")
    for name, joules in rows:
        shown = "-" if joules is None else f"{joules:.3f} | {100 * (joules / theirs - 1):+.2f} %"
        print(f"| {name} | {shown} |")
    if a.json:
        with open(a.json, "w") as f:
            json.dump(dict(steps=len(steps), seconds=end - start, joules_per_step=dict(rows)), f, indent=1)


if __name__ == "__main__":
    main()
