"""What a run will take."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ._binary import ask, options_of
from ._interval import Interval


@dataclass(frozen=True)
class Estimate:
    """One full training run of one architecture, each number with its 95 % interval."""

    #: ``dense``, ``lrt`` or ``linformer``; ``None`` where a step was given and not the model.
    arch: str | None
    #: What the workload is called.
    workload: str | None
    #: What it runs on.
    hardware: str | None
    #: How many devices.
    devices: int
    #: ``measured``, ``scaled``, ``analytic``, ``forecast`` or ``given``.
    basis: str
    #: Hours from start to end.
    wall_h: Interval | None
    #: Hours of all devices.
    device_h: Interval | None
    #: kWh of the machines at the wall.
    it_energy_kwh: Interval | None
    #: kWh of the machines and the building.
    facility_energy_kwh: Interval | None
    #: kg of CO2e of the electricity.
    operational_kgco2e: Interval | None
    #: kg of CO2e of making the hardware, the run's share.
    embodied_kgco2e: Interval | None
    #: US dollars.
    cost_usd: Interval | None
    #: Why a number is ``None``, by its name.
    missing: dict[str, str] = field(repr=False)
    #: All fields, as the program writes them: docs/fields.md lists them.
    fields: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Estimate:
        """An estimate of the program's JSON."""
        quantities = (
            "wall_h",
            "device_h",
            "it_energy_kwh",
            "facility_energy_kwh",
            "operational_kgco2e",
            "embodied_kgco2e",
            "cost_usd",
        )
        return cls(
            arch=fields.get("arch"),
            workload=fields.get("workload"),
            hardware=fields.get("hardware"),
            devices=fields.get("devices") or 1,
            basis=fields["basis"],
            missing=dict(fields.get("missing") or {}),
            fields=fields,
            **{name: Interval.read(fields.get(name)) for name in quantities},
        )


def estimate(what: str | os.PathLike[str] | None = None, **options: Any) -> list[Estimate]:
    """What one full training run takes, an estimate for each architecture.

    Args:
        what: The name of a workload, a Hugging Face ``config.json``, a ``record.json``, or a file of ``forecast -o``.
        options: Those of ``greenformers estimate``, with ``_`` for ``-``: ``hardware="h100-sxm5"``, ``devices=8``, ``grid="swe"``,
            ``arch=["dense"]``.

    Raises:
        GreenformersError: If the program refuses it; the message is the program's.

    >>> found = estimate("bert-base", hardware="a100-sxm4-80gb", devices=8, arch="dense", grid="swe")
    >>> found[0].wall_h.low < found[0].wall_h.mid < found[0].wall_h.high
    True
    """
    named = [] if what is None else [os.fspath(what)]
    answer = ask(["estimate", *named, "--format=json", *options_of(options)])
    return [Estimate.read(fields) for fields in answer["estimates"]]
