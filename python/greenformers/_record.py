"""What a campaign measured."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import dataclass, field
from typing import Any

#: Schemas of ``record.json`` that are read.
SCHEMAS = (1, 2, 3)


@dataclass(frozen=True)
class Cell:
    """What was measured of one architecture, length, batch and number format."""

    #: ``dense``, or one with its parameters.
    arch: Any
    #: Sequences of a step.
    batch_size: int
    #: Tokens of a sequence.
    seq_len: int
    #: ``f32``, ``tf32``, ``bf16`` or ``f16``.
    dtype: str
    #: ``ok``, or why nothing was measured.
    status: str
    #: Seconds of each step: forward, backward and optimizer.
    steps_s: tuple[float, ...]
    #: Bytes of memory at the most, where they are known.
    peak_memory_bytes: int | None
    #: All fields, as the program writes them: docs/fields.md lists them.
    fields: dict[str, Any] = field(repr=False, compare=False)

    @property
    def step_s(self) -> float | None:
        """Seconds of a step, their median; ``None`` where none was measured."""
        return statistics.median(self.steps_s) if self.steps_s else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second at the median step; ``None`` where none was measured."""
        return self.batch_size * self.seq_len / self.step_s if self.step_s else None

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Cell:
        """A cell of the program's JSON."""
        parts = ("forward_s", "backward_s", "optimizer_s")
        return cls(
            arch=fields["arch"],
            batch_size=fields["shape"]["batch_size"],
            seq_len=fields["shape"]["seq_len"],
            dtype=fields.get("dtype", "f32"),
            status=fields["status"],
            steps_s=tuple(sum(step.get(part) or 0.0 for part in parts) for step in fields["steps"]),
            peak_memory_bytes=fields.get("peak_memory_bytes"),
            fields=fields,
        )


@dataclass(frozen=True)
class Record:
    """A campaign of ``greenformers run`` or ``profile``: what was measured, raw."""

    #: When it was written, in RFC 3339.
    created: str
    #: A cell for each architecture, length, batch and number format.
    cells: tuple[Cell, ...]
    #: All fields, as the program writes them: docs/fields.md lists them.
    fields: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Record:
        """Reads ``record.json``, or the one in a folder.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it is no record.
        """
        path = os.fspath(path)
        file = os.path.join(path, "record.json") if os.path.isdir(path) else path
        with open(file, encoding="utf-8-sig") as opened:
            fields = json.load(opened)
        if not isinstance(fields, dict) or fields.get("schema") not in SCHEMAS or "cells" not in fields:
            raise ValueError(f"`{file}` is no record of schema 1 to {SCHEMAS[-1]}")
        return cls(created=fields["created"], cells=tuple(Cell.read(cell) for cell in fields["cells"]), fields=fields)
