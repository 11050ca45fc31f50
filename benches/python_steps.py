"""How long a call of `Steps.step` takes, outside of `forecast` and under it.

    python3 benches/python_steps.py --greenformers target/release/greenformers

Calls follow one another at once, or other work of the same thread lies between them, which leaves nothing of `step` in the caches. Under
`forecast` the program reads the lines meanwhile, on the same machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(HERE, "..", "python")


def measure(calls, rounds, work_s):
    """Seconds of a call of `step`, with `work_s` of other work of the same thread between two calls."""
    from greenformers import Steps

    steps = Steps(total=calls * rounds)
    clock = time.perf_counter
    each, means = [], []
    for _ in range(rounds):
        if work_s == 0:
            begin = clock()
            for _ in range(calls):
                steps.step(tokens=8192)
            means.append((clock() - begin) / calls)
            continue
        for _ in range(calls):
            end = clock() + work_s
            while clock() < end:
                sum(range(200))
            begin = clock()
            steps.step(tokens=8192)
            each.append(clock() - begin)
    if means:
        return {"told": steps.is_told, "text": f"{1e6 * statistics.median(means):.2f} us a call"}
    low, *_, high = statistics.quantiles(each, n=20)
    of = f"mean {1e6 * statistics.mean(each):.1f} us a call, median {1e6 * statistics.median(each):.1f}"
    return {"told": steps.is_told, "text": f"{of}, 90 of 100 from {1e6 * low:.1f} to {1e6 * high:.1f}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--greenformers", default="greenformers")
    parser.add_argument("--inner", nargs=3, metavar=("CALLS", "ROUNDS", "WORK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        calls, rounds, work = args.inner
        print(json.dumps(measure(int(calls), int(rounds), float(work))))
        return
    environment = {**os.environ, "PYTHONPATH": PACKAGE}
    print(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs")
    kinds = [("one after the other", 200_000, 7, 0.0), ("5 ms apart", 400, 3, 0.005), ("100 ms apart", 60, 2, 0.1)]
    for what, calls, rounds, work in kinds:
        inner = [sys.executable, os.path.abspath(__file__), "--inner", str(calls), str(rounds), str(work)]
        for where, command in [
            ("outside", inner),
            ("under `forecast`", [args.greenformers, "forecast", "--quiet", "--", *inner]),
        ]:
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            assert found["told"] == (where != "outside"), found
            print(f"{what}, {where}: {found['text']}")


if __name__ == "__main__":
    main()
