"""What training a transformer will cost in time, energy, money and CO2e.

The package holds the program ``greenformers`` and a few lines of Python around it:

* :class:`Steps` tells ``greenformers forecast`` how far a training loop is.
* :func:`live` says what the run that ``forecast`` watches has taken so far, for its loggers.
* :func:`track` measures a block or a function: seconds, kWh and kgCO2e.
* :func:`estimate` asks what a run will take, on hardware that you may not have.
* :class:`Record` reads what a campaign measured.
* :mod:`greenformers.integrations` has callbacks for Transformers, Lightning and Keras.

Every number of energy, time or money is an :class:`Interval` of 95 %, or a ``float`` that is its middle. What is not known is ``None``.
"""

from ._binary import GreenformersError, __version__, find_binary
from ._estimate import Estimate, estimate
from ._interval import Interval
from ._live import live
from ._record import Cell, Record
from ._steps import Steps
from ._track import Tracker, track

__all__ = [
    "Cell",
    "Estimate",
    "GreenformersError",
    "Interval",
    "Record",
    "Steps",
    "Tracker",
    "__version__",
    "estimate",
    "find_binary",
    "live",
    "track",
]
