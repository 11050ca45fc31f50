#!/usr/bin/env python3
"""Everything that needs a real GPU, in calls of a few minutes each: for a machine that is lent by the call.

On a machine with a CUDA toolkit (a GPU is not needed there):

  cargo test --release --features cuda --no-run        # prints the names of the test programs
  python3 tests/on_a_gpu.py pack FOLDER --program target/release/greenformers --tests target/release/deps/integration-HASH \\
      --tests target/release/deps/greenformers-HASH --peer torch_step.py
  python3 tests/on_a_gpu.py plan FOLDER                # the calls, in order of worth

FOLDER then holds all that the other machine needs beside the driver: the programs, stripped and compressed, and the
scripts. There, with a Python that has PyTorch for CUDA 13 (whose libraries the programs use) and nvidia-ml-py, each call is

  python3 FOLDER/on_a_gpu.py run FOLDER --call N --out OUT [--from ARCHIVE]

It leaves one file, OUT/results.tar.xz, with a log and the results of each stage; the next call takes it in by --from and
adds to it, on the same machine or another, also where a stage was cut short: the campaign goes on with the cells that are
missing. A stage that fails does not keep the others from running, and one that runs out of time is ended with all that it
started. The last lines say how every stage ended, as does summary.json in the archive.
"""

import argparse
import glob
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHS = ["--arch", "dense", "--arch", "lrt:rank=256", "--arch", "linformer:k=128"]
ALL_ARCHS = ["--arch", "dense", "--arch", "lrt:rank=64", "--arch", "lrt:rank=128", "--arch", "lrt:rank=256",
             "--arch", "linformer:k=128", "--arch", "linformer:k=256"]
# By call: its stages, the minutes of each (the last may take what is left), and what they are for.
CALLS = [
    [("tests", 2, "every operation, PyTorch's numbers, and what is missing without CUDA"),
     ("short-campaign", 4.2, "dense, LRT and Linformer in bf16 at 128, 512 and 2048 tokens")],
    [("trainer", 6, "seconds, joules and memory of steps of Hugging Face's Trainer"),
     ("forecast", 2.5, "a run of it watched from its beginning to its end")],
    [("compare", 5, "PyTorch eager side by side at three shapes in bf16"),
     ("decoders", 3.5, "GPT-2 and a Llama of its size, dense and LoRA, against PyTorch eager in bf16")],
    [("meter", 4, "joules against a second meter, and the counter against the integral of power")],
    [("campaign", 8.5, "six variants, five lengths, three dtypes; call it again until it is done"),
     ("published", 0.5, "published runs of other GPUs, predicted from that campaign")],
    [("validate", 8.5, "a run as long as the call allows, predicted from 30 s")],
    [("compare-f32", 5, "PyTorch eager in TF32 and f32"), ("compile", 3.5, "PyTorch compiled, in bf16")],
]
# A call leaves this much of its time to pack what it has.
PACKING_S = 10


def pack(a):
    a.folder.mkdir(parents=True, exist_ok=True)
    programs = [("greenformers", a.program)] + [(f"tests-{i}", path) for i, path in enumerate(a.tests)]
    for name, path in programs:
        bare = a.folder / name
        subprocess.run(["strip", "-o", bare, path], check=True)
        with open(bare, "rb") as whole, lzma.open(f"{bare}.xz", "wb", preset=6) as packed:
            shutil.copyfileobj(whole, packed)
        bare.unlink()
    for script in [__file__, ROOT / "benches/compare_with_pytorch.py", ROOT / "benches/second_meter.py",
                   ROOT / "benches/torch_decoder_step.py", ROOT / "benches/llama_12x768.yaml", ROOT / "benches/trainer_steps.py",
                   ROOT / "benches/model_shapes.py", a.peer]:
        shutil.copy(script, a.folder)
    # The tests compare with PyTorch's numbers.
    shutil.copytree(ROOT / "tests/goldens", a.folder / "tests/goldens", dirs_exist_ok=True)
    (a.folder / "peer").write_text(Path(a.peer).name)
    size = sum(f.stat().st_size for f in a.folder.rglob("*") if f.is_file())
    print(f"{a.folder}: {size / 2**20:.1f} MiB")


def plan(a):
    for i, stages in enumerate(CALLS, 1):
        taken = f" --from results-{i - 1}.tar.xz" if i > 1 else ""
        print(f"python3 {a.folder}/on_a_gpu.py run {a.folder} --call {i} --out OUT{taken}")
        for name, minutes, what in stages:
            print(f"    {name}, up to {minutes:g} min: {what}")


def unpack(folder, work):
    for packed in folder.glob("*.xz"):
        program = work / packed.stem
        if not program.exists():
            with lzma.open(packed) as source, open(program, "wb") as whole:
                shutil.copyfileobj(source, whole)
            program.chmod(0o755)


def libraries(python):
    """The folders of CUDA's libraries that PyTorch brought along. The programs know those of an active environment alone."""
    code = "import site, sysconfig; print('\\n'.join({*site.getsitepackages(), sysconfig.get_path('purelib')}))"
    folders = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return [lib for folder in folders for lib in glob.glob(f"{folder}/nvidia/*/lib")]


def end(process):
    """Ends a command with all that it started: a GPU that something still computes on is no use to the next stage."""
    for how, patience in [(signal.SIGTERM, 10), (signal.SIGKILL, None)]:
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            pass
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


class Runner:
    def __init__(self, a, state, work):
        self.a, self.state, self.work, self.began = a, state, work, time.time()
        self.summary = state / "summary.json"
        self.ended = json.loads(self.summary.read_text()) if self.summary.exists() else {}
        self.failed = False
        paths = libraries(a.python) + os.environ.get("LD_LIBRARY_PATH", "").split(":")
        self.env = dict(os.environ, LD_LIBRARY_PATH=":".join(p for p in paths if p), RUST_BACKTRACE="0",
                        CARGO_MANIFEST_DIR=str(a.folder.resolve()))
        self.program = str(work / "greenformers")

    def left(self):
        return 60 * self.a.minutes - PACKING_S - (time.time() - self.began)

    def run(self, stage, seconds, *commands):
        """Runs commands into the log of a stage, for so many seconds at most."""
        began, code = time.time(), 0
        until = began + min(seconds, self.left())
        with open(self.state / f"{stage}.log", "a") as log:
            for command in commands:
                log.write(f"$ {' '.join(map(str, command))}\n")
                log.flush()
                if time.time() >= until:
                    log.write("not begun: the time is up\n")
                    code = code or "not begun"
                    continue
                try:
                    process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=subprocess.STDOUT,
                                               stdin=subprocess.DEVNULL, env=self.env, cwd=self.a.folder,
                                               start_new_session=True)
                except OSError as error:
                    log.write(f"{error}\n")
                    code = code or str(error)
                    continue
                try:
                    status = process.wait(until - time.time())
                    code = code or status
                except subprocess.TimeoutExpired:
                    end(process)
                    log.write("\nout of time\n")
                    code = code or "out of time"
        self.ended[stage] = dict(code=code, seconds=round(time.time() - began, 1))
        self.failed |= code != 0
        self.summary.write_text(json.dumps(self.ended, indent=1))
        print(f"{stage}: {'ok' if code == 0 else code} in {self.ended[stage]['seconds']} s", flush=True)


def commands_of(r, name, seconds):
    """What a stage runs, if it has so many seconds."""
    a, out, python = r.a, r.state, r.a.python
    comparison = [python, a.folder / "compare_with_pytorch.py", "--python", python, "--greenformers", r.program,
                  "--device", "cuda", "--steps", "20", "--seconds", "2"]
    compare = [*comparison, "--peer", a.folder / (a.folder / "peer").read_text()]
    decoders = [*comparison, "--peer", a.folder / "torch_decoder_step.py", "--dtypes", "bf16", "--archs", "dense,lora",
                "--shapes", "16x1024", "--dropout", "0"]
    meter = [python, a.folder / "second_meter.py", "--greenformers", r.program, "--minutes", f"{seconds / 60 / 8:.2f}"]
    campaign = [r.program, "run", "--device", "cuda", "--within", f"{max(0.1, seconds / 60 - 0.4):.1f}", "--resume"]
    if name == "tests":
        tests = sorted(r.work.glob("tests-*"))
        each = [[t, "--ignored", "--test-threads", "1", pattern] for t in tests for pattern in ("gpu::", "cuda::")]
        return [["nvidia-smi"], [r.program, "devices"], *each]
    if name == "short-campaign":
        return [[*campaign, *ARCHS, "--seq-len", "128,512,2048", "--dtype", "bf16", "--min-time", "10", "--max-time", "10",
                 "-o", out / "short-campaign"]]
    if name == "trainer":
        return [[python, a.folder / "trainer_steps.py", "--out", out / "trainer", "--until", f"{max(1, seconds - 25):.0f}"]]
    if name == "forecast":
        return [[r.program, "forecast", "-o", out / "forecast.json", "--", python, a.folder / "trainer_steps.py", "gpt2",
                 "--out", out / "watched", "--steps", f"{max(100, 12 * (seconds - 30)):.0f}"]]
    if name == "compare":
        return [[*compare, "--dtypes", "bf16", "--json", out / "compare.json"]]
    if name == "decoders":
        return [[*decoders, "--workload", "gpt2", "--model", "gpt2", "--json", out / "gpt2.json"],
                [*decoders, "--workload", a.folder / "llama_12x768.yaml", "--model", "llama", "--json", out / "llama.json"]]
    if name == "compare-f32":
        return [[*compare, "--dtypes", "tf32,f32", "--json", out / "compare-f32.json"]]
    if name == "compile":
        return [[*compare, "--dtypes", "bf16", "--archs", "dense", "--compile", "--json", out / "compile.json"]]
    if name == "meter":
        return [[*meter, "--json", out / "meter-128.json"],
                [*meter, "--seq-len", "512", "--batch-size", "32", "--json", out / "meter-512.json"]]
    if name == "campaign":
        return [[*campaign, *ALL_ARCHS, "--seq-len", "128,512,1024,2048,4096", "--dtype", "bf16,tf32,f32", "--min-time", "10",
                 "--max-time", "12", "-o", out / "campaign"]]
    if name == "published":
        return [[r.program, "validate", "--published", out / "campaign"]]
    if name == "validate":
        shutil.rmtree(out / "validation", ignore_errors=True)
        # The idle card, its warm-up, 30 s of profile, and the first two again before the run took 155 s on an H200.
        minutes = min(10, seconds / 60 - 2.8)
        return [[r.program, "validate", "--device", "cuda", "--dtype", "bf16", "--minutes", f"{max(0.3, minutes):.1f}",
                 "-o", out / "validation"]]
    raise SystemExit(f"no stage `{name}`: expected one of {', '.join(n for stages in CALLS for n, _, _ in stages)}")


def archive_of(state, out):
    """All results as one file, which is always whole."""
    packed, new = out / "results.tar.xz", out / "results.new"
    with tarfile.open(new, "w:xz", preset=1) as archive:
        archive.add(state, ".")
    return new.rename(packed)


def run(a):
    a.out.mkdir(parents=True, exist_ok=True)
    a.folder, a.out = a.folder.resolve(), a.out.resolve()
    work = (a.work or a.out / "work").resolve()
    state = work / "results"
    state.mkdir(parents=True, exist_ok=True)
    if a.from_:
        with tarfile.open(a.from_) as archive:
            archive.extractall(state, filter="data")
    r = Runner(a, state, work)
    unpack(a.folder, work)
    named = [(name, minutes) for stages in CALLS for name, minutes, _ in stages]
    stages = [(n, m) for n, m in named if n in a.stages.split(",")] if a.stages else [(n, m) for n, m, _ in CALLS[a.call - 1]]
    for name, minutes in stages:
        seconds = min(60 * minutes, r.left())
        r.run(name, seconds, *commands_of(r, name, seconds))
        # After every stage: a call may be cut off from outside.
        packed = archive_of(state, a.out)
    shutil.rmtree(work if not a.work else state)
    print(f"{packed}: {packed.stat().st_size / 2**20:.1f} MiB")
    passed = sum(end["code"] == 0 for end in r.ended.values())
    print(f"{passed} passed, {len(r.ended) - passed} failed")
    sys.exit(r.failed)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(required=True)
    c = commands.add_parser("pack", help="collect what the other machine needs")
    c.add_argument("folder", type=Path)
    c.add_argument("--program", type=Path, required=True)
    c.add_argument("--tests", type=Path, action="append", default=[])
    c.add_argument("--peer", type=Path, required=True, help="the PyTorch script of benches/compare_with_pytorch.py")
    c.set_defaults(do=pack)
    c = commands.add_parser("plan", help="print the calls, in order of worth")
    c.add_argument("folder", type=Path)
    c.set_defaults(do=plan)
    c = commands.add_parser("run", help="one call, there")
    c.add_argument("folder", type=Path)
    c.add_argument("--call", type=int, choices=range(1, len(CALLS) + 1), default=1)
    c.add_argument("--stages", help="these stages in place of those of a call: tests,compare,...")
    c.add_argument("--out", type=Path, required=True, help="where the archive is written")
    c.add_argument("--from", dest="from_", type=Path, metavar="ARCHIVE", help="results of the calls before")
    c.add_argument("--work", type=Path, help="where the programs are unpacked, and stay [default: OUT/work, removed]")
    c.add_argument("--python", default=sys.executable, help="a Python with PyTorch and nvidia-ml-py")
    c.add_argument("--minutes", type=float, default=9.0, help="for the whole call")
    c.set_defaults(do=run)
    a = p.parse_args()
    a.do(a)


if __name__ == "__main__":
    main()
