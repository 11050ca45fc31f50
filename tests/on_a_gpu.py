#!/usr/bin/env python3
"""Everything that needs a real GPU, in one go: tests, comparison with PyTorch, a second meter, the campaign, a validation.

On a machine with a CUDA toolkit (a GPU is not needed there):

  cargo build --release --features cuda
  cargo test --release --features cuda --no-run        # prints the names of the test programs
  python3 tests/on_a_gpu.py pack FOLDER --program target/release/greenformers --tests target/release/deps/integration-HASH \\
      --tests target/release/deps/greenformers-HASH --peer torch_step.py

FOLDER then holds all that the other machine needs beside the driver: the programs, stripped and compressed, and the
scripts. There, with a Python that has PyTorch for CUDA 13 (whose libraries the programs use) and nvidia-ml-py:

  python3 FOLDER/on_a_gpu.py run FOLDER --out OUT --minutes 25

Each stage writes OUT/STAGE.log and its results beside it; one that fails does not keep the others from running. With
--stages some are run alone; the campaign goes on where it stopped, so that it can be spread over several calls. The last
lines say how every stage ended, as does OUT/summary.json.
"""

import argparse
import glob
import json
import lzma
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGES = ["devices", "tests", "compare", "compile", "energy", "campaign", "validate", "published"]
CAMPAIGN = ["--arch", "dense", "--arch", "lrt:rank=64", "--arch", "lrt:rank=128", "--arch", "lrt:rank=256",
            "--arch", "linformer:k=128", "--arch", "linformer:k=256", "--seq-len", "128,512,1024,2048,4096",
            "--dtype", "bf16,tf32,f32"]


def pack(a):
    a.folder.mkdir(parents=True, exist_ok=True)
    programs = [("greenformers", a.program)] + [(f"tests-{i}", path) for i, path in enumerate(a.tests)]
    for name, path in programs:
        bare = a.folder / name
        subprocess.run(["strip", "-o", bare, path], check=True)
        with open(bare, "rb") as whole, lzma.open(f"{bare}.xz", "wb", preset=1) as packed:
            shutil.copyfileobj(whole, packed)
        bare.unlink()
    for script in [__file__, ROOT / "benches/compare_with_pytorch.py", ROOT / "benches/second_meter.py", a.peer]:
        shutil.copy(script, a.folder)
    # The tests compare with PyTorch's numbers.
    shutil.copytree(ROOT / "tests/goldens", a.folder / "tests/goldens", dirs_exist_ok=True)
    (a.folder / "peer").write_text(Path(a.peer).name)
    size = sum(f.stat().st_size for f in a.folder.rglob("*") if f.is_file())
    print(f"{a.folder}: {size / 2**20:.1f} MiB")


def unpack(folder, work):
    for packed in folder.glob("*.xz"):
        program = work / packed.stem
        with lzma.open(packed) as source, open(program, "wb") as whole:
            shutil.copyfileobj(source, whole)
        program.chmod(0o755)


def libraries(python):
    """The folders of CUDA's libraries that PyTorch brought along. The programs know those of an active environment alone."""
    code = "import site, sysconfig; print('\\n'.join({*site.getsitepackages(), sysconfig.get_path('purelib')}))"
    folders = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return [lib for folder in folders for lib in glob.glob(f"{folder}/nvidia/*/lib")]


class Runner:
    def __init__(self, a):
        self.a, self.began, self.ended = a, time.time(), {}
        paths = libraries(a.python) + os.environ.get("LD_LIBRARY_PATH", "").split(":")
        self.env = dict(os.environ, LD_LIBRARY_PATH=":".join(p for p in paths if p), RUST_BACKTRACE="0",
                        CARGO_MANIFEST_DIR=str(a.folder.resolve()))
        self.program = str(a.work / "greenformers")

    def left(self):
        return 60 * self.a.minutes - (time.time() - self.began)

    def run(self, stage, *commands):
        """Runs commands into the log of a stage; whether all of them ended well."""
        began, code = time.time(), 0
        with open(self.a.out / f"{stage}.log", "w") as log:
            for command in commands:
                log.write(f"$ {' '.join(map(str, command))}\n")
                log.flush()
                try:
                    done = subprocess.run([str(c) for c in command], stdout=log, stderr=subprocess.STDOUT, env=self.env,
                                          timeout=max(1, self.left()), cwd=self.a.folder)
                    code = code or done.returncode
                except subprocess.TimeoutExpired:
                    log.write("\nout of time\n")
                    code = code or "out of time"
                except OSError as error:
                    log.write(f"{error}\n")
                    code = code or str(error)
        self.ended[stage] = dict(code=code, seconds=round(time.time() - began, 1))
        with open(self.a.out / "summary.json", "w") as f:
            json.dump(self.ended, f, indent=1)
        print(f"{stage}: {'ok' if code == 0 else code} in {self.ended[stage]['seconds']} s", flush=True)


def stage(r, name):
    a, out, python = r.a, r.a.out, r.a.python
    compare = [python, a.folder / "compare_with_pytorch.py", "--peer", a.folder / (a.folder / "peer").read_text(),
               "--python", python, "--greenformers", r.program, "--device", "cuda"]
    if name == "devices":
        r.run(name, ["nvidia-smi"], [r.program, "devices"])
    elif name == "tests":
        tests = sorted(a.work.glob("tests-*"))
        r.run(name, *[[t, "--ignored", "--test-threads", "1", pattern] for t in tests for pattern in ("gpu::", "cuda::")])
    elif name == "compare":
        r.run(name, [*compare, "--dtypes", "bf16,tf32,f32", "--json", out / "compare.json"])
    elif name == "compile":
        r.run(name, [*compare, "--dtypes", "bf16", "--compile", "--json", out / "compile.json"])
    elif name == "energy":
        meter = [python, a.folder / "second_meter.py", "--greenformers", r.program, "--minutes", "1"]
        r.run(name, [*meter, "--json", out / "energy-128.json"],
              [*meter, "--seq-len", "512", "--batch-size", "32", "--json", out / "energy-512.json"])
    elif name == "campaign":
        minutes = max(0.1, r.left() / 60 - 1)
        r.run(name, [r.program, "run", "--device", "cuda", *CAMPAIGN, "--min-time", "10", "--max-time", "12", "--within",
                     f"{minutes:.1f}", "--resume", "-o", out / "campaign"])
    elif name == "validate":
        shutil.rmtree(out / "validation", ignore_errors=True)
        minutes = min(10.0, r.left() / 60 - 2)
        r.run(name, [r.program, "validate", "--device", "cuda", "--dtype", "bf16", "--minutes", f"{max(0.5, minutes):.1f}",
                     "-o", out / "validation"])
    elif name == "published":
        r.run(name, [r.program, "validate", "--published", out / "campaign"])


def run(a):
    a.out.mkdir(parents=True, exist_ok=True)
    a.folder, a.out = a.folder.resolve(), a.out.resolve()
    a.work = (a.work or a.out / "programs").resolve()
    a.work.mkdir(parents=True, exist_ok=True)
    unpack(a.folder, a.work)
    r = Runner(a)
    for name in a.stages.split(","):
        if r.left() < 5:
            print(f"{name}: not begun, the time is up")
            r.ended[name] = dict(code="not begun")
        else:
            stage(r, name)
    failed = [name for name, end in r.ended.items() if end["code"] != 0]
    print(f"{len(r.ended) - len(failed)} passed, {len(failed)} failed")
    sys.exit(bool(failed))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(required=True)
    c = commands.add_parser("pack", help="collect what the other machine needs")
    c.add_argument("folder", type=Path)
    c.add_argument("--program", type=Path, required=True)
    c.add_argument("--tests", type=Path, action="append", default=[])
    c.add_argument("--peer", type=Path, required=True, help="the PyTorch script of benches/compare_with_pytorch.py")
    c.set_defaults(do=pack)
    c = commands.add_parser("run", help="run it there")
    c.add_argument("folder", type=Path)
    c.add_argument("--out", type=Path, required=True)
    c.add_argument("--work", type=Path, help="where the programs are unpacked [default: OUT/programs]")
    c.add_argument("--python", default=sys.executable, help="a Python with PyTorch and nvidia-ml-py")
    c.add_argument("--minutes", type=float, default=25.0, help="for all stages together")
    c.add_argument("--stages", default=",".join(STAGES), help=f"[default: {','.join(STAGES)}]")
    c.set_defaults(do=run)
    a = p.parse_args()
    a.do(a)


if __name__ == "__main__":
    main()
