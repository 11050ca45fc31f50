"""What ``greenformers forecast`` says of the run that it watches, for the run itself."""

from __future__ import annotations

import json
import os

#: The file in which ``forecast`` says it, replaced as a whole about once a second.
PATH_VARIABLE = "GREENFORMERS_LIVE_PATH"


def live() -> dict[str, float]:
    """What the run has taken so far, and what the whole of it will take, for a logger.

    Keys, as far as they are known: ``energy_j`` (joules of the machines) and ``co2e_g`` (grams of CO2e of that electricity) since the
    start, ``cost_usd``; and of the whole run ``forecast_s``, ``forecast_kwh``, ``forecast_kgco2e`` and ``forecast_usd``. They are the
    middles of intervals, which ``forecast -o FILE`` has. Empty outside of ``forecast``, and in its first second.

    >>> live()
    {}
    """
    path = os.environ.get(PATH_VARIABLE)
    if not path:
        return {}
    try:
        with open(path, encoding="ascii") as file:
            values = json.load(file)
    except (OSError, ValueError):
        return {}
    return {name: float(value) for name, value in values.items()}
