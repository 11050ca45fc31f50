"""How long a call of `Steps.step` takes, outside of `forecast` and under it.

    python3 benches/python_steps.py --greenformers target/release/greenformers

Each figure is the median of some rounds of many calls. Under `forecast` the program reads the lines meanwhile, on the same machine.
What it costs on top is CPU time of another process, which is told too.
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


def measure(calls, rounds, pause_s):
    """Seconds of a call of `step`, with `pause_s` between two calls if it is not 0."""
    from greenformers import Steps

    steps = Steps(total=calls * rounds)
    clock = time.perf_counter
    medians, slowest = [], 0.0
    for _ in range(rounds):
        if pause_s == 0:
            begin = clock()
            for _ in range(calls):
                steps.step(tokens=8192)
            medians.append((clock() - begin) / calls)
            continue
        each = []
        for _ in range(calls):
            time.sleep(pause_s)
            begin = clock()
            steps.step(tokens=8192)
            each.append(clock() - begin)
        medians.append(statistics.median(each))
        slowest = max(slowest, statistics.quantiles(each, n=100)[-1])
    return {"told": steps.is_told, "step_us": 1e6 * statistics.median(medians), "p99_us": 1e6 * slowest or None}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--greenformers", default="greenformers")
    parser.add_argument("--inner", nargs=3, metavar=("CALLS", "ROUNDS", "PAUSE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        calls, rounds, pause = args.inner
        print(json.dumps(measure(int(calls), int(rounds), float(pause))))
        return
    environment = {**os.environ, "PYTHONPATH": PACKAGE}
    print(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs")
    for what, calls, rounds, pause in [("one after the other", 100_000, 7, 0.0), ("a step of 5 ms", 400, 3, 0.005)]:
        inner = [sys.executable, os.path.abspath(__file__), "--inner", str(calls), str(rounds), str(pause)]
        for where, command in [
            ("outside", inner),
            ("under `forecast`", [args.greenformers, "forecast", "--quiet", "--", *inner]),
        ]:
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            assert found["told"] == (where != "outside"), found
            worst = f", 99 of 100 below {found['p99_us']:.1f} us" if found["p99_us"] else ""
            print(f"{what}, {where}: {found['step_us']:.2f} us a call{worst}")


if __name__ == "__main__":
    main()
