"""The emulated GPU from Python: memory and launches, through the driver's own calls."""

import ctypes
import random
import struct
from array import array


def _words(values, kind):
    """Numbers as the device has them: `f32`, `f16`, `bf16`, `u32`, or bytes as they are."""
    if isinstance(values, bytes):
        return values
    if kind == "u32":
        return array("I", values).tobytes()
    if kind == "f16":
        return struct.pack(f"{len(values)}e", *values)
    bits = array("f", values).tobytes()
    return bits if kind == "f32" else b"".join(bits[i + 2:i + 4] for i in range(0, len(bits), 4))


BYTES = {"u8": 1, "f16": 2, "bf16": 2, "f32": 4, "u32": 4}


class Device:
    def __init__(self, library):
        self.driver = ctypes.CDLL(str(library))
        self.driver.cuModuleGetFunction.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p]
        self.random = random.Random(1)
        self.launched = set()
        self.module = ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(self.module), b"adamw_f32")

    def call(self, name, *arguments):
        status = getattr(self.driver, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} answered {status}")

    def empty(self, n, kind="f32"):
        """The address of `n` numbers that nobody has written."""
        address = ctypes.c_uint64()
        self.call("cuMemAllocAsync", ctypes.byref(address), ctypes.c_size_t(n * BYTES[kind]), None)
        return address

    def array(self, values, kind="f32"):
        words = _words(values, kind)
        address = ctypes.c_uint64()
        self.call("cuMemAllocAsync", ctypes.byref(address), ctypes.c_size_t(len(words)), None)
        self.call("cuMemcpyHtoDAsync_v2", address, words, ctypes.c_size_t(len(words)), None)
        return address

    def numbers(self, n, kind="f32"):
        """`n` numbers between -1 and 1."""
        return self.array([self.random.uniform(-1, 1) for _ in range(n)], kind)

    def zeros(self, n, kind="f32"):
        return self.array(bytes(n * BYTES[kind]))

    def launch(self, kernel, grid, block, *arguments, shared_bytes=0):
        """A kernel with arguments as ctypes has them; an `int` is a `size_t`, a `float` an `f32`."""
        self.launched.add(kernel)
        function = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(function), self.module, kernel.encode())
        kinds = {int: ctypes.c_size_t, float: ctypes.c_float}
        values = [kinds[type(a)](a) if type(a) in kinds else a for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        if shared_bytes > 48 << 10:
            most = ctypes.c_int(8)  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self.call("cuFuncSetAttribute", function, most, ctypes.c_int(shared_bytes))
        size = lambda n: [ctypes.c_uint(i) for i in (tuple(n) + (1, 1))[:3]]
        self.call("cuLaunchKernel", function, *size(grid), *size(block), ctypes.c_uint(shared_bytes), None, pointers, None)
