"""Callbacks that tell ``greenformers forecast`` the steps of a trainer, and give its loggers what the run takes.

Whatever logs the loss gets ``energy_j``, ``co2e_g`` and the forecast as well (see ``greenformers.live``). Outside of ``forecast`` they
do nothing, and so may stay in a script.
A callback is a class of its library, so that the library is imported when the callback is, and none before. Where it is not
installed, the import says so.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ._live import live
from ._steps import Steps

__all__ = ["KerasCallback", "LightningCallback", "TrainerCallback"]


def _base(name: str, places: list[tuple[str, str]]) -> Any:
    """The class of a library that a callback derives from: the first that is there."""
    for module, attribute in places:
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            # One that is there and lacks something says so itself.
            if error.name is None or not module.startswith(error.name):
                raise
    packages = " or ".join(f"`{module.split('.')[0]}`" for module, _ in places)
    raise ImportError(f"`{name}` needs the package {packages}, which is not installed")


class _Told:
    """The steps of one training, told once it begins."""

    _steps: Steps[Any] | None = None

    def _begin(self, done: int, total: int | None) -> None:
        self._end()
        self._steps = Steps(total=total, start=done)

    def _reach(self, done: int, tokens: int | None = None) -> None:
        if self._steps is not None and done > self._steps.done:
            self._steps.step(done - self._steps.done, tokens=tokens)

    def _end(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None


class _Trainer(_Told):
    """For ``transformers.Trainer(callbacks=[...])``. A step is an optimizer step."""

    _tokens: int = 0

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes its place before the loggers, which are told in the order of the list of callbacks."""
        # The trainer puts its own loggers before the callbacks that it is given, and gives these no way to its list but through the
        # function that calls them.
        handler = sys._getframe(1).f_locals.get("self")
        callbacks = getattr(handler, "callbacks", None)
        if isinstance(callbacks, list) and self in callbacks:
            # A new list: the old one is just being gone through.
            handler.callbacks = [self, *(other for other in callbacks if other is not self)]  # type: ignore[union-attr]

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Adds what the run takes to what is logged, and to the history of the trainer."""
        values = live() if self._steps is not None and self._steps.is_told else {}
        if logs is not None:
            logs.update(values)
        if state.log_history:
            state.log_history[-1].update(values)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Says where the training begins, and how many steps it has."""
        self._tokens = int(getattr(state, "num_input_tokens_seen", 0) or 0)
        self._begin(state.global_step, state.max_steps if state.max_steps > 0 else None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Says that an optimizer step is done, with its tokens where the trainer counts them (``include_num_input_tokens_seen``)."""
        seen = int(getattr(state, "num_input_tokens_seen", 0) or 0)
        tokens = seen - self._tokens if seen > self._tokens else None
        self._tokens = seen
        self._reach(state.global_step, tokens)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tells nothing more."""
        self._end()


class _Lightning(_Told):
    """For ``lightning.Trainer(callbacks=[...])``. A step is an optimizer step."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Says where the training begins, and how many steps it has."""
        total = trainer.estimated_stepping_batches
        self._begin(trainer.global_step, int(total) if 0 < total < float("inf") else None)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Says how many optimizer steps are done, and what they took where the trainer logs as well."""
        self._reach(trainer.global_step)
        every = trainer.log_every_n_steps
        if self._steps is None or not self._steps.is_told or not every or (batch_idx + 1) % every:
            return
        values = live()
        for logger in trainer.loggers if values else ():
            logger.log_metrics(values, step=trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Tells nothing more."""
        self._end()


class _Keras(_Told):
    """For ``model.fit(callbacks=[...])``. A step is a batch."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Says how many batches there are: those of an epoch, times the epochs."""
        params = getattr(self, "params", None) or {}
        steps, epochs = params.get("steps"), params.get("epochs") or 1
        self._begin(0, steps * epochs if steps else None)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Says that a batch is done."""
        if self._steps is not None:
            self._steps.step()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds what the run takes to what is logged, for the history and for the callbacks that come after this one."""
        if logs is not None and self._steps is not None and self._steps.is_told:
            logs.update(live())

    def on_train_end(self, logs: Any = None) -> None:
        """Tells nothing more."""
        self._end()


#: Each callback: what it does, and where the class is that it derives from.
_CALLBACKS: dict[str, tuple[type, list[tuple[str, str]]]] = {
    "TrainerCallback": (_Trainer, [("transformers", "TrainerCallback")]),
    "LightningCallback": (_Lightning, [("lightning.pytorch", "Callback"), ("pytorch_lightning", "Callback")]),
    "KerasCallback": (_Keras, [("keras.callbacks", "Callback"), ("tensorflow.keras.callbacks", "Callback")]),
}

if TYPE_CHECKING:
    # What a checker that has none of the libraries can know.
    class TrainerCallback(_Trainer): ...

    class LightningCallback(_Lightning): ...

    class KerasCallback(_Keras): ...


def __getattr__(name: str) -> Any:
    if name not in _CALLBACKS:
        raise AttributeError(f"module `{__name__}` has no `{name}`")
    body, places = _CALLBACKS[name]
    base = _base(name, places)
    made = type(base)(name, (body, base), {"__module__": __name__, "__doc__": body.__doc__})
    globals()[name] = made
    return made
