"""The energy of a block or a function, measured by the program beside it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import Any, Callable, TypeVar

from ._binary import GreenformersError, find_binary, message_of, options_of
from ._interval import Interval

F = TypeVar("F", bound=Callable[..., Any])


class Tracker:
    """Measures the whole machine from :meth:`start` to :meth:`stop`, and works out energy and CO2e.

    The numbers are known after the end; before it, and where they cannot be known, they are ``None``.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._program: subprocess.Popen[bytes] | None = None
        self._folder: str | None = None
        #: All fields, as ``greenformers track -o`` writes them; empty before the end.
        self.fields: dict[str, Any] = {}

    def start(self) -> Tracker:
        """Begins to measure; returns once the meters run.

        Raises:
            GreenformersError: If the program is not there, or refuses an option.
        """
        if self._program is not None:
            raise GreenformersError("it is being measured already: `stop` it first")
        self.fields = {}
        self._folder = tempfile.mkdtemp(prefix="greenformers-")
        output = os.path.join(self._folder, "run.json")
        errors = os.path.join(self._folder, "stderr")
        try:
            # What is tracked waits for the end of its input, and says that it runs by giving a line back.
            words = [find_binary(), "track", "--quiet", f"--output={output}", *options_of(self._options), "--", "cat"]
            with open(errors, "wb") as stderr:
                self._program = subprocess.Popen(
                    words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
                )
            assert self._program.stdin is not None and self._program.stdout is not None
            try:
                self._program.stdin.write(b"\n")
                self._program.stdin.flush()
            except BrokenPipeError:
                pass
            if self._program.stdout.read(1) != b"\n":
                self._program.communicate()
                with open(errors, encoding="utf-8", errors="replace") as said:
                    raise GreenformersError(message_of(said.read()))
        except BaseException:
            self._clean()
            raise
        return self

    def stop(self) -> float | None:
        """Ends the measurement; returns kilograms of CO2e, as CodeCarbon's does, or ``None`` where they are not known."""
        if self._program is None or self._folder is None:
            return self.emissions_kg
        try:
            self._program.communicate()
            with open(os.path.join(self._folder, "run.json"), encoding="utf-8") as file:
                self.fields = json.load(file)
        except (OSError, ValueError) as error:
            raise GreenformersError(f"the program has written no account of what it measured: {error}") from error
        finally:
            self._clean()
        return self.emissions_kg

    def _clean(self) -> None:
        if self._program is not None:
            if self._program.poll() is None:
                self._program.terminate()
                self._program.wait()
            for pipe in (self._program.stdin, self._program.stdout):
                if pipe is not None:
                    pipe.close()
            self._program = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _middle(self, name: str) -> float | None:
        value = self.interval(name)
        return None if value is None else value.mid

    def interval(self, name: str) -> Interval | None:
        """A number with its 95 % interval, by its name in JSON: ``facility_energy_kwh``, ``operational_kgco2e``, ``cost_usd``."""
        return Interval.read(self.fields.get(name))

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to stop."""
        return self.fields.get("duration_s")

    @property
    def energy_kwh(self) -> float | None:
        """kWh of the machine at the wall, without the building."""
        return self._middle("it_energy_kwh")

    @property
    def emissions_kg(self) -> float | None:
        """kg of CO2e of the electricity, that of the building included."""
        return self._middle("operational_kgco2e")

    @property
    def cost_usd(self) -> float | None:
        """US dollars, where a price is known."""
        return self._middle("cost_usd")

    def __enter__(self) -> Tracker:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.stop()
        except GreenformersError:
            # What went wrong in the block is worth more than this.
            if error is None:
                raise

    def __call__(self, function: F) -> F:
        """Measures each call of a function; its numbers are then in ``function.tracker``."""

        @functools.wraps(function)
        def tracked(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        tracked.tracker = self  # type: ignore[attr-defined]
        return tracked  # type: ignore[return-value]


def track(**options: Any) -> Tracker:
    """Measures the machine while a block or a function runs.

    Args:
        options: Those of ``greenformers track``, with ``_`` for ``-``: ``grid="fra"``, ``usd_per_kwh=0.25``, ``interval=0.5`` (seconds),
            ``gpus="0"``. ``process`` is not among them: what is measured is the machine.

    >>> with track(grid="fra") as t:
    ...     total = sum(range(1000))
    >>> t.energy_kwh > 0 and t.interval("it_energy_kwh").low > 0
    True

    As a decorator:

    >>> @track(grid="fra")
    ... def train():
    ...     return 7
    >>> train(), train.tracker.duration_s > 0
    (7, True)
    """
    for name in ("process", "output"):
        if name in options:
            raise TypeError(f"`{name}` is an option of the command `greenformers track` alone")
    return Tracker(**options)
