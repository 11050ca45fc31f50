"""Numbers with their 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A number and the ends of its 95 % interval, in the unit of the field that holds it.

    >>> hours = Interval(mid=30.7, low=19.2, high=64.9)
    >>> float(hours), str(hours), 25.0 in hours
    (30.7, '30.7 [19.2, 64.9]', True)
    """

    mid: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.mid

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.mid:.3g} [{self.low:.3g}, {self.high:.3g}]"

    @classmethod
    def read(cls, value: Any) -> Interval | None:
        """An interval of the program's JSON; ``None`` where the number is not known."""
        return None if value is None else cls(mid=value["mid"], low=value["low"], high=value["high"])
