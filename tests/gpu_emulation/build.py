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
PARTS = ["accesses", "block", "copies", "driver", "memory", "orders", "products", "races", "sources"]
# Fibers jump from stack to stack, which `_FORTIFY_SOURCE` takes for an error.
FLAGS = ["-std=c++20", "-O1", "-fPIC", "-w", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE"]
# The compiler tells of each access to memory (races.h), and gives each variable a section, so that the linker can lay
# together what blocks share.
OF_KERNELS = ["-gdwarf-4", "-fsanitize=thread,alignment", "-fno-threadsafe-statics", "-fdata-sections", "-fvisibility=hidden"]
LINK = ["-Wl,--allow-multiple-definition", f"-Wl,-T,{HERE / 'shared.ld'}", "-Wl,--wrap=memcpy,--wrap=memmove,--wrap=memset"]


def run(command):
    subprocess.run([str(c) for c in command], check=True)


def output(command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def toolkit(parser):
    default = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    parser.add_argument("--cuda", type=Path, default=default, help="CUDA's toolkit, of which the headers are needed")


def compiler(cuda):
    return ["g++", *FLAGS, f"-I{HERE}", f"-I{cuda}/include", f"-I{cuda}/include/cccl", "-include", HERE / "block.h"]


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


def compile_kernels(source, module, cuda):
    """The object of a file of kernels, each of which registers itself by its module and name."""
    compile = [*compiler(cuda), *OF_KERNELS, "-x", "c++"]
    text = output([*compile, "-E", source])
    names = sorted(set(re.findall(r'extern "C"\s+void\s+(\w+)\s*\(', text)))
    register = "".join(f'    emulated::kernels("{module}")["{n}"] = {{"{n}", emulated::call_of(&{n}), emulated_shared, '
                       "emulated_shared_end};\n" for n in names)
    unit = source.with_suffix(".kernels.cpp")
    unit.write_text(f'#include "{source}"\n#include "kernels.h"\n\n'
                    'extern "C" const unsigned char emulated_shared[], emulated_shared_end[];\n\n'
                    f"namespace {{\nstruct Register {{\n  Register() {{\n{register}  }}\n}} of_this_file;\n}}  // namespace\n")
    run([*compile, "-c", unit, "-o", unit.with_suffix(".o")])
    return unit.with_suffix(".o")


def loaded(cuda):
    """The libraries that a program built with this toolkit loads, and the entry points that it takes from them."""
    text = ENTRY_POINTS.read_text()
    lists = text[text.index("\nentry_points! {"):].split("\n}")[0]
    release = re.search(r"release (\d+)", output([cuda / "bin/nvcc", "--version"]))[1]
    # Those of the toolkit's version end in a dot.
    libraries = [name + release if name.endswith(".") else name for name in re.findall(r'"(lib[\w.]+)"', lists)]
    return libraries, set(re.findall(r"\b(cu[A-Z]\w+|cu(?:blas|rand)\w+)", re.sub(r'".*?"', "", lists)))


def build_module(module, names, cuda, out):
    """The library of a module of kernels: of those files in the folder `out/module`."""
    kernels = [compile_kernels(out / module / name, module, cuda) for name in names]
    run(["g++", "-shared", *LINK, "-o", out / f"lib{module}.so", *kernels])


def build_driver(cuda, out):
    """The objects of the driver."""
    objects = [out / f"{name}.o" for name in PARTS]
    for name, path in zip(PARTS, objects):
        run([*compiler(cuda), "-c", HERE / f"{name}.cpp", "-o", path])
    return objects


def link_driver(objects, modules, out):
    """The driver's library, with the libraries of its modules beside it."""
    run(["g++", "-shared", "-o", out / "libemulated.so", *objects, f"-L{out}", "-Wl,--no-as-needed",
         *[f"-l{module}" for module in modules], "-Wl,-rpath,$ORIGIN"])
    return out / "libemulated.so"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    toolkit(p)
    a = p.parse_args()
    out = a.out.resolve()
    out.mkdir(parents=True, exist_ok=True)

    home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    candle = Path(sorted(glob.glob(f"{home}/registry/src/*/candle-kernels-*/src"))[-1])
    for_the_host(KERNELS, out / "ours")
    for_the_host(candle, out / "candle")
    # A library a module, which keeps its names to itself: both have a `softmax_f32`.
    build_module("ours", ["all.cu"], a.cuda, out)
    build_module("candle", CANDLE, a.cuda, out)
    objects = build_driver(a.cuda, out)

    names, asked = loaded(a.cuda)
    given = set(re.findall(r" T (\w+)", output(["nm", *objects])))
    stubs = out / "stubs.c"
    stubs.write_text('#include <stdio.h>\n' + "".join(
        f'int {n}(void) {{ fprintf(stderr, "emulated GPU: no {n}\\n"); return 999; }}\n' for n in sorted(asked - given)))
    run(["gcc", "-w", "-fPIC", "-c", stubs, "-o", out / "stubs.o"])
    library = link_driver([*objects, out / "stubs.o"], ["ours", "candle"], out)
    for name in names:
        link = out / name
        link.unlink(missing_ok=True)
        link.symlink_to(library.name)
    print(f"LD_LIBRARY_PATH={out}")


if __name__ == "__main__":
    main()
