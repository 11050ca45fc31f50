"""Launches of every kernel, small and odd: `python3 launches.py LIBRARY NAME...` runs some of them on an emulated GPU, and
names the kernels."""

import ctypes
import sys

from emulated import Device

u64, u32, i32, f32 = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int, ctypes.c_float
NULL = u64(0)


class Dropout(ctypes.Structure):
    _fields_ = [("seed", u32), ("threshold", u32), ("scale", f32)]


class Sight(ctypes.Structure):
    _fields_ = [("starts", u64), ("causal", u32), ("window", u32), ("after", u32)]


class Rates(ctypes.Structure):
    _fields_ = [(name, f32) for name in ["beta1", "beta2", "eps", "keep", "step", "scale_v"]]


class Weight(ctypes.Structure):
    _fields_ = [(name, u64) for name in ["weight", "gradient", "m", "v", "n"]]


class Copied(ctypes.Structure):
    _fields_ = [(name, u64) for name in ["x", "y", "n"]]


class Partial(ctypes.Structure):
    _fields_ = [(name, u64) for name in ["rows", "sum", "n_rows", "stride", "columns"]]


# An eighth is dropped.
DROPOUT = Dropout(7, 0x70007000, 8 / 7)
TABLE_WORDS = 500
TYPES = ["f32", "bf16", "f16"]


def many(gpu, kernel, tensors, sizes, chunk, block, *rest):
    """A launch over many tensors, with a block for each chunk of their sizes."""
    blocks = [-(-n // chunk) for n in sizes]
    capacity = (TABLE_WORDS - 1) // (ctypes.sizeof(tensors[0]) // 8 + 1)

    class Table(ctypes.Structure):
        _fields_ = [("n", u64), ("first_blocks", u64 * capacity), ("tensors", type(tensors[0]) * capacity)]

    table = Table(n=len(sizes))
    for i, tensor in enumerate(tensors):
        table.first_blocks[i], table.tensors[i] = sum(blocks[:i]), tensor
    gpu.launch(kernel, (sum(blocks),), block, table, chunk, *rest)


def reduce(gpu):
    for t in TYPES:
        # Rows that are longer than they have columns, too.
        for stride in [142, 144]:
            gpu.launch(f"column_sums_{t}", (2, 4), (32, 8), gpu.numbers(37 * stride, t), gpu.empty(4 * 142), 37, stride, 142)
    columns = [142, 32]
    partials = [Partial(gpu.numbers(19 * 200).value, gpu.empty(n).value, 19, 200, n) for n in columns]
    many(gpu, "finish_sums", partials, columns, 128, (32, 8))


def cross_entropy(gpu):
    labels = gpu.array([299, 0, 7], "u32")
    for t in TYPES:
        for stride in [300, 304]:
            logits, losses, dlogits = gpu.numbers(3 * stride, t), gpu.empty(3), gpu.empty(3 * stride, t)
            gpu.launch(f"cross_entropy_{t}", (3,), (256,), logits, labels, losses, 300, stride)
            gpu.launch(f"cross_entropy_backward_{t}", (3,), (256,), logits, labels, gpu.numbers(1), dlogits, 300, stride)
    gpu.launch("mean_f32", (1,), (256,), gpu.numbers(1000), gpu.empty(1), 1000)


def elementwise(gpu):
    # The second size is no multiple of what is loaded at once.
    for n in [4096, 2051]:
        grid, block = (2,), (256,)
        for t in TYPES:
            x, y = gpu.numbers(n, t), gpu.numbers(n, t)
            for name in ["gelu", "tanh", "gelu_tanh", "silu", "relu"]:
                gpu.launch(f"{name}_{t}", grid, block, x, gpu.empty(n, t), n)
                gpu.launch(f"{name}_backward_{t}", grid, block, x, y, gpu.empty(n, t), n)
                gpu.launch(f"{name}_gate_{t}", grid, block, x, y, gpu.empty(n, t), n)
                gpu.launch(f"{name}_gate_backward_{t}", grid, block, x, y, gpu.numbers(n, t), gpu.empty(n, t), gpu.empty(n, t), n)
            gpu.launch(f"add_dropped_{t}", grid, block, x, y, gpu.empty(n, t), n, DROPOUT)
            gpu.launch(f"dropout_{t}", grid, block, x, gpu.empty(n, t), n, DROPOUT)
            gpu.launch(f"repeat_{t}", grid, block, gpu.numbers(7), gpu.empty(n, t), n, 8, 7)
            for to in {"f32", t}:
                gpu.launch(f"cast_{t}_{to}", grid, block, x, gpu.empty(n, to), n)
                gpu.launch(f"add_{t}_{to}", grid, block, x, gpu.numbers(n, to), n)
            gpu.launch(f"cast_f32_{t}", grid, block, gpu.numbers(n), gpu.empty(n, t), n)
            gpu.launch(f"add_f32_{t}", grid, block, gpu.numbers(n), gpu.numbers(n, t), n)
    # From an odd element on, where several cannot be loaded at once.
    x = gpu.numbers(101)
    gpu.launch("tanh_f32", (1,), (256,), u64(x.value + 4), gpu.empty(100), 100)
    for t in TYPES:
        n = 2 * 5 * 3 * 7
        gpu.launch(f"swap_axes_{t}", (1,), (256,), gpu.numbers(n, t), gpu.empty(n, t), n, 5, 3, 7)
        # Two heads, each three times.
        for kernel in ["repeat_heads", "sum_heads"]:
            gpu.launch(f"{kernel}_{t}", (1,), (256,), gpu.numbers(42, t), gpu.empty(42, t), 42 if kernel == "repeat_heads" else 14, 7, 3)
        for columns, stride, first in [(10, 30, 20), (8, 24, 16)]:
            all_columns = gpu.numbers(21 * stride, t)
            gpu.launch(f"take_columns_{t}", (2,), (256,), all_columns, gpu.empty(21 * columns, t), 21 * columns, columns, stride, first)
            gpu.launch(f"add_columns_{t}", (2,), (256,), gpu.numbers(21 * columns, t), all_columns, 21 * columns, columns, stride, first)
        # Three rows of two heads at two positions.
        tables, turned = [gpu.numbers(2 * 8) for _ in range(2)], gpu.empty(3 * 2 * 16, t)
        gpu.launch(f"turn_{t}", (2,), (256,), gpu.numbers(3 * 2 * 16, t), *tables, turned, 12, 2, 2, 16, 8, -1.0)
        # Of 16 elements the first 8.
        tables, turned = [gpu.numbers(2 * 4) for _ in range(2)], gpu.empty(3 * 2 * 16, t)
        gpu.launch(f"turn_{t}", (2,), (256,), gpu.numbers(3 * 2 * 16, t), *tables, turned, 12, 2, 2, 16, 4, 1.0)
    for t in ["bf16", "f16"]:
        sizes = [1500, 7]
        copies = [Copied(gpu.numbers(n).value, gpu.empty(n, t).value, n) for n in sizes]
        many(gpu, f"cast_many_{t}", copies, sizes, 1024, (256,))


def gather(gpu):
    rows, d, n = 21, 70, 5
    ids = gpu.array([i * i % n for i in range(rows)], "u32")
    for t in TYPES:
        y = gpu.empty(rows * d, t)
        for add in [0, 1]:
            gpu.launch(f"gather_{t}", (3,), (256,), gpu.numbers(n * d, t), ids, y, rows, d, n, i32(add))
        gpu.launch(f"scatter_{t}", (3,), (256,), gpu.numbers(rows * d, t), ids, gpu.zeros(n * d), rows, d, n)
        few = gpu.array([i % 3 for i in range(rows)], "u32")
        gpu.launch(f"scatter_few_{t}", (3, 2), (32, 8), gpu.numbers(rows * d, t), few, gpu.zeros(3 * d), rows, d, 3)


def layer_norm(gpu):
    rows, warps = 19, 4
    for d in [68, 13]:
        for t in TYPES:
            x, gain, bias = gpu.numbers(rows * d, t), gpu.numbers(d), gpu.numbers(d)
            for residual in [NULL, gpu.numbers(rows * d, t)]:
                gpu.launch(f"layer_norm_{t}", (5,), (32 * warps,), x, residual, gain, bias, gpu.empty(rows * d, t), rows, d,
                           1e-5, DROPOUT, shared_bytes=4 * warps * d)
                gpu.launch(f"layer_norm_backward_{t}", (2,), (32 * warps,), x, residual, gain, gpu.numbers(rows * d, t),
                           gpu.empty(rows * d, t), gpu.empty(rows * d, t), gpu.empty(2 * 2 * d), rows, d, 1e-5, DROPOUT,
                           shared_bytes=3 * 4 * warps * d)


def rms_norm(gpu):
    rows, warps = 19, 4
    for d in [68, 13]:
        for t in TYPES:
            x, gain, dy = gpu.numbers(rows * d, t), gpu.numbers(d), gpu.numbers(rows * d, t)
            gpu.launch(f"rms_norm_{t}", (5,), (32 * warps,), x, gain, gpu.empty(rows * d, t), rows, d, 1e-5)
            gpu.launch(f"rms_norm_backward_{t}", (2,), (32 * warps,), x, gain, dy, gpu.empty(rows * d, t), gpu.empty(2 * d),
                       rows, d, 1e-5, shared_bytes=4 * warps * d)


def softmax(gpu):
    # Two sequences of three heads and five rows.
    rows, keys = 30, 45
    for t in TYPES:
        scores = gpu.numbers(rows * keys)
        starts = gpu.array([0, 0, 2, 2, 2, 0, 1, 1, 1, 4], "u32").value
        every = 2**31 - 1
        near = Sight(0, 0, 3, 2)
        for mask, sight in [(NULL, Sight(0, 0, every, every)), (gpu.numbers(2 * keys), Sight(starts, 1, 2, 0)), (NULL, near)]:
            gpu.launch(f"softmax_{t}", (4,), (256,), scores, mask, sight, gpu.empty(rows * keys, t), rows, keys, 0, 3, 5, DROPOUT)
            gpu.launch(f"softmax_backward_{t}", (4,), (256,), scores, mask, sight, gpu.numbers(rows * keys),
                       gpu.empty(rows * keys, t), gpu.empty(rows * keys, t), rows, keys, 0, 3, 5, DROPOUT)


def adamw(gpu):
    sizes = [1500, 7]
    weights = [Weight(*[gpu.numbers(n).value for _ in range(3)], gpu.zeros(n).value, n) for n in sizes]
    many(gpu, "adamw_f32", weights, sizes, 1024, (256,), Rates(0.9, 0.999, 1e-8, 0.99, 1e-3, 1.0))


def attention(gpu):
    every = 2**31 - 1
    # Several tiles of both, the last of which is not full, and one and two blocks of keys.
    for rows, keys in [(70, 150), (150, 70)]:
        for kernels, t in [("bf16", "bf16"), ("f16", "f16"), ("tf32", "f32")]:
            attention_of(gpu, (kernels, t, 64), (2, 2), (rows, keys), Sight(0, 0, every, every))
    # Keys behind each query, before its window and of other documents; heads that share theirs.
    n = 150
    starts = gpu.array([i // 40 * 40 for i in range(n)], "u32").value
    for kernels, t, d in [("bf16", "bf16", 64), ("tf32", "f32", 64), ("bf16", "bf16", 128), ("f16", "f16", 128)]:
        for sight in [Sight(0, 1, every, 0), Sight(0, 1, 20, 0), Sight(starts, 1, 30, 0)]:
            attention_of(gpu, (kernels, t, d), (2, 1), (n, n), sight)


def attention_of(gpu, kernels, heads, lengths, sight):
    (suffix, t, d), (heads, key_heads), (rows, keys), b = kernels, heads, lengths, 1
    name = lambda kernel: f"{kernel}_{d}_{suffix}"
    q, y, dy = [gpu.numbers(b * rows * heads * d, t) for _ in range(3)]
    k, v = [gpu.numbers(b * keys * key_heads * d, t) for _ in range(2)]
    mask, lse, delta = gpu.numbers(b * keys), gpu.empty(b * heads * rows), gpu.empty(b * heads * rows)
    sizes = [heads, key_heads, rows, keys, d**-0.5, DROPOUT]
    bytes_of, tile = (2, 64) if t != "f32" else (4, 32)
    row, of_block = d * bytes_of + 16, 128 if d == 64 else 64
    gpu.launch(name("attention"), (-(-rows // of_block) * b * heads,), (128,), q, k, v, mask, sight, y, lse, *sizes,
               shared_bytes=4 * tile * row)
    n = b * heads * rows
    gpu.launch(name("attention_delta"), ((n + 31) // 32,), (256,), y, dy, delta, n, heads, rows, DROPOUT)
    dq, dk, dv = [gpu.empty(b * m * d, t) for m in (rows * heads, keys * key_heads, keys * key_heads)]
    sixteens = b * heads * ((rows + 15) // 16)
    sums = gpu.zeros(sixteens * 16 * d) if keys > 128 else NULL
    tile = 32 if d > 64 else tile
    shared = 128 * row + 4 * tile * row + 128 * (tile * bytes_of + 16) + 24 * tile
    given = [q, k, v, dy, mask, sight, lse, delta, dq, sums, dk, dv]
    gpu.launch(name("attention_backward"), (-(-keys // 128) * b * key_heads,), (256,), *given, *sizes, shared_bytes=shared)
    if keys > 128:
        gpu.launch(name("attention_queries"), ((sixteens + 7) // 8,), (256,), sums, dq, sixteens, heads, rows)


# By the file that the kernels are in.
OF_FILES = {f.__name__: f for f in [adamw, attention, cross_entropy, elementwise, gather, layer_norm, reduce, rms_norm, softmax]}


def probe(kernel, grid=(1,), block=(64,), n=1024, **shared):
    """A launch of a kernel of `probes.cu` on numbers and results."""
    return lambda gpu: gpu.launch(kernel, grid, block, gpu.numbers(n), gpu.zeros(n), **shared)


def one_array(kernel, grid=(1,), block=(64,), n=1024, **shared):
    return lambda gpu: gpu.launch(kernel, grid, block, gpu.zeros(n), **shared)


def after_free(gpu):
    x = gpu.numbers(63)
    gpu.call("cuMemFreeAsync", x, None)
    gpu.launch("beyond_the_end", (1,), (64,), x, gpu.empty(63), 62)


PROBES = {
    name: probe(name) for name in [
        "two_block_sums", "two_block_softmaxes", "lockstep", "warp_barrier", "shuffle_as_barrier",
        "warp_barrier_between_warps", "copies_in_order", "copy_that_has_not_landed", "copy_of_another_thread",
        "copy_of_what_changes", "copy_over_what_is_read", "copy_that_is_left",
    ]
} | {
    name: one_array(name) for name in [
        "divergent_barriers", "missed_barrier", "shuffle_with_the_dead", "unwritten_shared", "neighbouring_bytes",
        "order_of_threads",
    ]
} | {
    "atomic_sum": one_array("atomic_sum", grid=(3,)),
    "atomic_sum_that_is_read": probe("atomic_sum_that_is_read", grid=(3,)),
    "between_blocks": probe("between_blocks", grid=(2,)),
    "within_shared": one_array("beyond_shared", shared_bytes=4 * 64),
    "beyond_shared": one_array("beyond_shared", shared_bytes=4 * 63),
    "beyond_the_end": lambda gpu: gpu.launch("beyond_the_end", (1,), (64,), gpu.numbers(63), gpu.empty(64), 63),
    "after_free": after_free,
    "misaligned": lambda gpu: gpu.launch("misaligned", (1,), (64,), gpu.numbers(64), gpu.empty(64)),
}


if __name__ == "__main__":
    gpu = Device(sys.argv[1])
    for name in sys.argv[2:]:
        (OF_FILES | PROBES)[name](gpu)
    print("\n".join(gpu.launched))
