#!/usr/bin/env python3
"""Builds a CUDA driver that computes on the CPU, and lays it out under the names of CUDA's libraries.

The kernels of the program, and those of candle that it uses, are compiled by the host compiler; what the program
loads beyond that answers with an error. See README.md.

  python3 tests/gpu_emulation/build.py --out target/emulated-gpu
"""

import argparse
import glob
import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent.parent / "src/nn/ops/cuda/kernels"
ENTRY_POINTS = HERE.parent.parent / "src/nn/ops/cuda/late_binding/entry_points.rs"
CANDLE = ["affine.cu", "binary.cu", "cast.cu", "fill.cu", "reduce.cu", "unary.cu"]
FLAGS = ["-std=c++20", "-O1", "-fPIC", "-w", "-fno-strict-aliasing"]


def run(command):
    subprocess.run([str(c) for c in command], check=True)


def output(command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def for_the_host(folder, out):
    """A copy of the kernels in which dynamic shared memory is the emulated block's."""
    out.mkdir(parents=True, exist_ok=True)
    for path in list(folder.glob("*.cu")) + list(folder.glob("*.cuh")):
        text = path.read_text()
        text = re.sub(r"extern __shared__ (?:__align__\(\d+\) )?([\w ]+?) (\w+)\[\];",
                      r"\1 *\2 = reinterpret_cast<\1 *>(emulated::shared_memory);", text)
        # Atomics that the host compiler does not know, for GPUs before half precision. candle's kernels of half
        # precision are left out likewise, by their own conditions: a host has no __CUDA_ARCH__.
        (out / path.name).write_text("" if path.name == "compatibility.cuh" else text)


def compile_kernels(source, module, include, out):
    """The object of a file of kernels, each of which registers itself by its module and name."""
    flags = FLAGS + ["-fvisibility=hidden", "-x", "c++", f"-I{HERE}", *include, "-include", HERE / "block.h"]
    text = output(["g++", *flags, "-E", source])
    names = sorted(set(re.findall(r'extern "C"\s+void\s+(\w+)\s*\(', text)))
    register = "".join(f'    emulated::kernels("{module}")["{n}"] = emulated::kernel_of(&{n});\n' for n in names)
    unit = out / f"{source.stem}.kernels.cpp"
    unit.write_text(f'#include "{source}"\n#include "kernels.h"\n\nnamespace {{\nstruct Register {{\n'
                    f"  Register() {{\n{register}  }}\n}} of_this_file;\n}}  // namespace\n")
    run(["g++", *flags, "-c", unit, "-o", unit.with_suffix(".o")])
    return unit.with_suffix(".o")


def loaded(cuda):
    """The libraries that a program built with this toolkit loads, and the entry points that it takes from them."""
    text = ENTRY_POINTS.read_text()
    lists = text[text.index("\nentry_points! {"):].split("\n}")[0]
    release = re.search(r"release (\d+)", output([cuda / "bin/nvcc", "--version"]))[1]
    # Those of the toolkit's version end in a dot.
    libraries = [name + release if name.endswith(".") else name for name in re.findall(r'"(lib[\w.]+)"', lists)]
    return libraries, set(re.findall(r"\b(cu[A-Z]\w+|cu(?:blas|rand)\w+)", re.sub(r'".*?"', "", lists)))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--cuda", type=Path, default=os.environ.get("CUDA_HOME", "/usr/local/cuda"), help="CUDA's toolkit")
    a = p.parse_args()
    out = a.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    include = [f"-I{a.cuda}/include", f"-I{a.cuda}/include/cccl"]

    home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    candle = Path(sorted(glob.glob(f"{home}/registry/src/*/candle-kernels-*/src"))[-1])
    for_the_host(KERNELS, out / "ours")
    for_the_host(candle, out / "candle")
    # A library a module, which keeps its names to itself: both have a `softmax_f32`.
    for module, names in [("ours", ["all.cu"]), ("candle", CANDLE)]:
        kernels = [compile_kernels(out / module / name, module, include, out) for name in names]
        run(["g++", "-shared", "-Wl,--allow-multiple-definition", "-o", out / f"lib{module}.so", *kernels])
    objects = []
    for name in ["block", "driver"]:
        objects.append(out / f"{name}.o")
        run(["g++", *FLAGS, f"-I{HERE}", *include, "-include", HERE / "block.h", "-c", HERE / f"{name}.cpp", "-o", objects[-1]])

    names, asked = loaded(a.cuda)
    given = set(re.findall(r" T (\w+)", output(["nm", *objects])))
    stubs = out / "stubs.c"
    stubs.write_text('#include <stdio.h>\n' + "".join(
        f'int {n}(void) {{ fprintf(stderr, "emulated GPU: no {n}\\n"); return 999; }}\n' for n in sorted(asked - given)))
    run(["gcc", "-w", "-fPIC", "-c", stubs, "-o", out / "stubs.o"])
    library = out / "libemulated.so"
    run(["g++", "-shared", "-o", library, *objects, out / "stubs.o", f"-L{out}", "-Wl,--no-as-needed", "-lours", "-lcandle",
         "-Wl,-rpath,$ORIGIN"])
    for name in names:
        link = out / name
        link.unlink(missing_ok=True)
        link.symlink_to(library.name)
    print(f"LD_LIBRARY_PATH={out}")


if __name__ == "__main__":
    main()
