"""Tells ``greenformers forecast`` how far a training loop is."""

from __future__ import annotations

import os
import stat
import time
from types import TracebackType
from typing import Generic, Iterable, Iterator, Sized, TypeVar

T = TypeVar("T")

#: The descriptor to which steps are told, and the path of the same pipe.
FD_VARIABLE = "GREENFORMERS_STEPS_FD"
PATH_VARIABLE = "GREENFORMERS_STEPS_PATH"

#: Seconds between two lines at least. Writing one takes longer than counting a step, and more of them would tell no more.
BETWEEN_LINES_S = 0.05


def is_first_rank() -> bool:
    """Whether this process is the one of its job that tells: ``RANK``, or else ``LOCAL_RANK``, is 0 or not set."""
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    return rank.strip() == "0"


def _open() -> int | None:
    """A descriptor of its own to tell steps to; ``None`` where nobody listens."""
    number = os.environ.get(FD_VARIABLE)
    if not number or not is_first_rank():
        return None
    path = os.environ.get(PATH_VARIABLE)
    try:
        # A launcher may have closed the descriptor, and the number may now be that of another file. What is opened by its path is
        # not shared with other programs either, which would not expect it to refuse a line.
        if path and stat.S_ISFIFO(os.stat(path).st_mode):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        pass
    try:
        if stat.S_ISFIFO(os.fstat(int(number)).st_mode):
            fd = os.dup(int(number))
            os.set_blocking(fd, False)
            return fd
    except (OSError, ValueError):
        pass
    return None


class Steps(Generic[T]):
    """Counts the steps of a training loop, and tells them to ``greenformers forecast``.

    Outside of ``forecast`` it does nothing but count, so that it may stay in a script. A step is one update of the weights.

    Args:
        loader: What to iterate over, a step for each item. Several passes over it go on counting.
        total: Steps of the whole run, those before ``start`` included. Unless given: the length of ``loader`` times ``epochs``.
        epochs: Passes over ``loader``.
        start: Steps that were done before, by the run that this one goes on with.
        tokens: Tokens of each step, of all devices together, where ``step`` does not say them.

    As a counter:

    >>> steps = Steps(total=1000)
    >>> for _ in range(3):
    ...     steps.step(tokens=8192)
    >>> steps.done
    3

    Around a loader:

    >>> sum(Steps([1, 2, 3]))
    6
    """

    __slots__ = ("_at_s", "_due_s", "_fd", "_loader", "_of", "_pending", "_tokens", "_untold", "done", "total")

    def __init__(
        self,
        loader: Iterable[T] | None = None,
        *,
        total: int | None = None,
        epochs: int = 1,
        start: int = 0,
        tokens: int | None = None,
    ) -> None:
        if total is None and isinstance(loader, Sized):
            total = start + len(loader) * epochs
        #: Steps that are done, those before this start included.
        self.done: int = int(start)
        #: Steps of the whole run, if they are known.
        self.total: int | None = None if total is None else int(total)
        self._loader = loader
        self._tokens: int | None = None if tokens is None else int(tokens)
        self._of = f" of {self.total}" if self.total else ""
        self._fd: int | None = _open()
        # Tokens, and whether there are steps, that no line has told yet; when the last of them was, and when a line is due.
        self._pending = 0
        self._untold = False
        self._at_s = time.monotonic()
        self._due_s = 0.0
        if self._fd is not None:
            self._write("start")

    def step(self, n: int = 1, *, tokens: int | None = None) -> None:
        """Says that ``n`` more steps are done, on so many tokens in all. At most 20 times a second it is told."""
        self.done += n
        if self._fd is None:
            return
        if tokens is not None:
            self._pending += int(tokens)
        elif self._tokens is not None:
            self._pending += self._tokens * n
        self._untold = True
        self._at_s = time.monotonic()
        if self._at_s >= self._due_s or self.done == self.total:
            self._tell()

    @property
    def is_told(self) -> bool:
        """Whether somebody listens: the program runs under ``forecast``, and this process is the first rank."""
        return self._fd is not None

    def close(self) -> None:
        """Tells what no line has told yet, and then nothing more."""
        if self._fd is not None and self._untold:
            self._tell()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _tell(self) -> None:
        self._due_s = self._at_s + BETWEEN_LINES_S
        if self._write("step"):
            self._untold = False
            self._pending = 0

    def _write(self, word: str) -> bool:
        tokens = f" tokens {self._pending}" if self._pending else ""
        line = f"{word} {self.done}{self._of}{tokens} at {self._at_s:.6f}\n"
        try:
            os.write(self._fd, line.encode("ascii"))  # type: ignore[arg-type]
        except BlockingIOError:
            # Whoever reads is behind: training does not wait, and the next line says the same and more.
            return False
        except OSError:
            self._untold = False
            self.close()
            return False
        return True

    def __iter__(self) -> Iterator[T]:
        if self._loader is None:
            raise TypeError("`Steps` was given nothing to iterate over: `Steps(loader)`, or call `step()` in a loop of your own")
        for item in self._loader:
            yield item
            self.step()
        if self._fd is not None and self._untold:
            self._tell()

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        if isinstance(self._loader, Sized):
            return len(self._loader)
        raise TypeError("`Steps` was given nothing that has a length")

    def __enter__(self) -> Steps[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # One that was never finished has no descriptor.
        if getattr(self, "_fd", None) is not None:
            self.close()
