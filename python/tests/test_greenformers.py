"""Tests of the package. They need the program, by GREENFORMERS_BINARY or on the PATH, and nothing but the standard library:

    PYTHONPATH=python python3 -m unittest discover python/tests
"""

import doctest
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import types
import unittest
from unittest import mock

import greenformers
from greenformers import GreenformersError, Record, Steps

MODULES = ["_binary", "_estimate", "_interval", "_live", "_record", "_steps", "_track", "integrations"]


def load_tests(loader, tests, pattern):
    """The examples of every docstring are tests too."""
    for name in MODULES:
        tests.addTests(doctest.DocTestSuite(importlib.import_module(f"greenformers.{name}")))
    return tests


class Listening:
    """A pipe that is listened to, and the environment that says so."""

    def __init__(self, between_lines_s=0.0, **environment):
        self.between = mock.patch("greenformers._steps.BETWEEN_LINES_S", between_lines_s)
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        names = {name: None for name in ("RANK", "LOCAL_RANK", "GREENFORMERS_STEPS_PATH")}
        self.environment = {**names, "GREENFORMERS_STEPS_FD": str(self.write_end), **environment}

    def __enter__(self):
        self.patched = mock.patch.dict(os.environ)
        self.patched.start()
        self.between.start()
        for name, value in self.environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        return self

    def __exit__(self, *_):
        self.patched.stop()
        self.between.stop()
        for end in (self.read_end, self.write_end):
            if end is not None:
                os.close(end)

    def told(self):
        try:
            lines = os.read(self.read_end, 1 << 20).decode("ascii").splitlines()
        except BlockingIOError:
            return []
        moments = [float(line.split(" at ")[1]) for line in lines]
        assert moments == sorted(moments) and moments[-1] <= time.monotonic() < moments[0] + 60, lines
        return [line.split(" at ")[0] for line in lines]


class StepsTest(unittest.TestCase):
    def test_a_line_is_told_for_each_step(self):
        with Listening() as listening:
            steps = Steps(total=5000, start=3000)
            steps.step(tokens=8192)
            steps.step(2)
            self.assertEqual(listening.told(), ["start 3000 of 5000", "step 3001 of 5000 tokens 8192", "step 3003 of 5000"])
            self.assertTrue(steps.is_told)
            steps.close()
            steps.step()
            self.assertEqual((listening.told(), steps.done), ([], 3004))

    def test_a_loader_has_a_step_for_each_item_after_its_work_and_goes_on_in_the_next_epoch(self):
        with Listening() as listening:
            steps = Steps(["a", "b"], epochs=2, tokens=10)
            self.assertEqual((len(steps), steps.total), (2, 4))
            iterator = iter(steps)
            self.assertEqual((next(iterator), listening.told()), ("a", ["start 0 of 4"]))
            self.assertEqual((list(iterator), listening.told()), (["b"], ["step 1 of 4 tokens 10", "step 2 of 4 tokens 10"]))
            self.assertEqual((list(steps), listening.told()), (["a", "b"], ["step 3 of 4 tokens 10", "step 4 of 4 tokens 10"]))

    def test_a_loader_without_a_length_has_no_total(self):
        with Listening() as listening:
            self.assertEqual(list(Steps(iter("ab"))), ["a", "b"])
            self.assertEqual(listening.told(), ["start 0", "step 1", "step 2"])
        with self.assertRaisesRegex(TypeError, "nothing to iterate over"):
            list(Steps())
        with self.assertRaisesRegex(TypeError, "nothing that has a length"):
            len(Steps())
        self.assertTrue(Steps([]))

    def test_lines_are_at_most_so_many_a_second_and_the_last_step_is_told_whenever_it_is(self):
        with Listening(between_lines_s=60) as listening:
            steps = Steps(total=4, tokens=10)
            for _ in range(3):
                steps.step()
            self.assertEqual(listening.told(), ["start 0 of 4", "step 1 of 4 tokens 10"])
            steps.step()
            self.assertEqual(listening.told(), ["step 4 of 4 tokens 30"])
            with Steps() as unknown:
                for _ in range(3):
                    unknown.step()
                self.assertEqual(listening.told(), ["start 0", "step 1"])
            self.assertEqual(listening.told(), ["step 3"])
            list(Steps(iter("abc")))
            self.assertEqual(listening.told(), ["start 0", "step 1", "step 3"])
        with Listening(between_lines_s=0.02) as listening:
            steps = Steps()
            for _ in range(2):
                steps.step()
                time.sleep(0.03)
            self.assertEqual(listening.told(), ["start 0", "step 1", "step 2"])

    def test_only_the_first_rank_tells(self):
        for environment, tells in [
            ({"RANK": "0", "LOCAL_RANK": "0"}, True),
            ({"RANK": "3", "LOCAL_RANK": "0"}, False),
            ({"LOCAL_RANK": "1"}, False),
            ({"LOCAL_RANK": "0"}, True),
            ({"RANK": ""}, True),
        ]:
            with self.subTest(environment), Listening(**environment) as listening:
                Steps(total=2).step()
                self.assertEqual(listening.told(), ["start 0 of 2", "step 1 of 2"] if tells else [])

    def test_where_nobody_listens_it_only_counts(self):
        with tempfile.TemporaryFile() as file:
            for number in [None, "", "x", "-1", "999999", str(file.fileno())]:
                with self.subTest(number), Listening(GREENFORMERS_STEPS_FD=number):
                    steps = Steps(total=2)
                    steps.step()
                    self.assertEqual((steps.done, steps.is_told), (1, False))
            self.assertEqual(os.fstat(file.fileno()).st_size, 0)

    def test_a_reader_that_is_gone_or_behind_holds_up_nothing(self):
        with Listening() as listening:
            steps = Steps(total=100_000)
            for _ in range(20_000):
                steps.step(tokens=1)
            self.assertTrue(steps.is_told)
            first = listening.told()
            self.assertLess(len(first), 20_000)
            steps.step(tokens=1)
            lines = first + listening.told()
            # No token is lost with a line.
            self.assertEqual(sum(int(line.split()[5]) for line in lines[1:]), 20_001)
            os.close(listening.read_end)
            listening.read_end = None
            steps.step()
            self.assertEqual((steps.done, steps.is_told), (20_002, False))

    @unittest.skipUnless(os.path.isdir("/proc/self/fd"), "this system names no pipe by a path")
    def test_a_pipe_is_opened_by_its_path_where_the_descriptor_was_closed(self):
        with Listening() as listening:
            path = f"/proc/{os.getpid()}/fd/{listening.read_end}"
            code = "import greenformers; greenformers.Steps(total=3).step()"
            # Closes all descriptors, as launchers of several processes do; the number is that of standard error then.
            environment = {**os.environ, "GREENFORMERS_STEPS_FD": "2", "GREENFORMERS_STEPS_PATH": path}
            done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, close_fds=True)
            self.assertEqual((done.returncode, done.stderr, listening.told()), (0, b"", ["start 0 of 3", "step 1 of 3"]))

    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_the_descriptor_does_not_go_to_programs_that_are_started(self):
        with Listening() as listening:
            steps = Steps(total=3)
            self.assertFalse(os.get_inheritable(steps._fd))


class Callback:
    """What a library's own class does."""

    def on_save(self):
        return "the library's own"


def library(**modules):
    """Libraries that have a class `Callback` where the real ones have it."""
    made = {name.replace("__", "."): types.SimpleNamespace(**{attribute: Callback}) for name, attribute in modules.items()}
    return mock.patch.dict(sys.modules, made)


class IntegrationsTest(unittest.TestCase):
    def setUp(self):
        import greenformers.integrations as integrations

        self.integrations = integrations
        for name in integrations.__all__:
            vars(integrations).pop(name, None)

    tearDown = setUp

    def test_a_callback_of_transformers_tells_optimizer_steps_and_tokens(self):
        with library(transformers="TrainerCallback"), Listening() as listening:
            from greenformers.integrations import TrainerCallback

            callback = TrainerCallback()
            self.assertIsInstance(callback, Callback)
            self.assertEqual((callback.on_save(), TrainerCallback.__name__), ("the library's own", "TrainerCallback"))
            state = types.SimpleNamespace(global_step=10, max_steps=100, num_input_tokens_seen=500)
            callback.on_train_begin(None, state, None, model=None)
            for tokens in [600, 600]:
                state.global_step, state.num_input_tokens_seen = state.global_step + 1, tokens
                callback.on_step_end(None, state, None, model=None)
            callback.on_train_end(None, state, None)
            callback.on_step_end(None, state, None)
            self.assertEqual(listening.told(), ["start 10 of 100", "step 11 of 100 tokens 100", "step 12 of 100"])

    def test_a_callback_of_lightning_tells_optimizer_steps_where_batches_are_accumulated(self):
        with library(lightning="", lightning__pytorch="Callback"), Listening() as listening:
            callback = self.integrations.LightningCallback()
            trainer = types.SimpleNamespace(estimated_stepping_batches=2, global_step=0, log_every_n_steps=0)
            callback.on_train_start(trainer, None)
            for batch, step in enumerate([0, 1, 1, 2]):
                trainer.global_step = step
                callback.on_train_batch_end(trainer, None, None, None, batch)
            callback.on_train_end(trainer, None)
            self.assertEqual(listening.told(), ["start 0 of 2", "step 1 of 2", "step 2 of 2"])

    def test_a_callback_of_keras_tells_the_batches_of_all_epochs(self):
        for params, of in [({"steps": 2, "epochs": 3}, " of 6"), ({"steps": None, "epochs": 3}, ""), (None, "")]:
            with self.subTest(params), library(keras="", keras__callbacks="Callback"), Listening() as listening:
                callback = self.integrations.KerasCallback()
                callback.params = params
                callback.on_train_begin()
                callback.on_train_batch_end(0)
                callback.on_train_end()
                self.assertEqual(listening.told(), [f"start 0{of}", f"step 1{of}"])

    def test_loggers_get_what_the_run_takes(self):
        class Handler:
            """Calls callbacks as the one of transformers does, its own logger first."""

            def __init__(self, *callbacks):
                self.callbacks = list(callbacks)

            def call(self, event, *args, **kwargs):
                for callback in self.callbacks:
                    getattr(callback, event)(*args, **kwargs)

        class Logger:
            def __init__(self):
                self.seen = []

            def on_init_end(self, *_):
                pass

            on_train_begin = on_init_end

            def on_log(self, args, state, control, logs):
                self.seen.append(dict(logs))

            def log_metrics(self, values, step):
                self.seen.append((values, step))

        values = {"energy_j": 12.5, "co2e_g": 0.25, "forecast_s": 90.0}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "live.json")
            libraries = {"transformers": "TrainerCallback", "lightning": "", "lightning__pytorch": "Callback", "keras": "", "keras__callbacks": "Callback"}
            with library(**libraries), Listening(GREENFORMERS_LIVE_PATH=path):
                self.assertEqual(greenformers.live(), {}, "nothing has been said yet")
                with open(path, "w") as file:
                    json.dump(values, file)
                self.assertEqual(greenformers.live(), values)
                logger, callback = Logger(), self.integrations.TrainerCallback()
                handler = Handler(logger, callback)
                state = types.SimpleNamespace(global_step=0, max_steps=9, log_history=[{"loss": 3.0}])
                for event in ["on_init_end", "on_train_begin"]:
                    handler.call(event, None, state, None)
                handler.call("on_log", None, state, None, logs={"loss": 3.0})
                self.assertEqual(logger.seen, [{"loss": 3.0, **values}])
                self.assertEqual(state.log_history, [{"loss": 3.0, **values}])
                callback.on_train_end(None, state, None)

                logger, callback = Logger(), self.integrations.LightningCallback()
                trainer = types.SimpleNamespace(estimated_stepping_batches=4, global_step=0, log_every_n_steps=2, loggers=[logger])
                callback.on_train_start(trainer, None)
                for batch in range(4):
                    trainer.global_step = batch + 1
                    callback.on_train_batch_end(trainer, None, None, None, batch)
                self.assertEqual(logger.seen, [(values, 2), (values, 4)])
                callback.on_train_end(trainer, None)

                callback = self.integrations.KerasCallback()
                callback.params = {"steps": 2, "epochs": 1}
                callback.on_train_begin()
                logs = {"loss": 3.0}
                callback.on_epoch_end(0, logs)
                self.assertEqual(logs, {"loss": 3.0, **values})
                callback.on_train_end()
                # A run that is over has nothing more to say.
                logs = {}
                callback.on_epoch_end(1, logs)
                self.assertEqual(logs, {})

    def test_a_callback_outside_of_a_run_does_nothing(self):
        with library(transformers="TrainerCallback"), Listening(GREENFORMERS_STEPS_FD=None):
            callback = self.integrations.TrainerCallback()
            state = types.SimpleNamespace(global_step=0, max_steps=-1)
            callback.on_step_end(None, state, None)
            callback.on_train_begin(None, state, None)
            state.global_step = 1
            callback.on_step_end(None, state, None)
            callback.on_train_end(None, state, None)

    def test_a_library_that_is_missing_is_named(self):
        # `None` stands for a module that is not there.
        missing = ["transformers", "lightning", "lightning.pytorch", "pytorch_lightning", "keras", "keras.callbacks", "tensorflow"]
        with mock.patch.dict(sys.modules, {name: None for name in missing}):
            with self.assertRaisesRegex(ImportError, "^`TrainerCallback` needs the package `transformers`, which is not installed$"):
                from greenformers.integrations import TrainerCallback  # noqa: F401
            with self.assertRaisesRegex(ImportError, "`lightning` or `pytorch_lightning`"):
                self.integrations.LightningCallback()
            with self.assertRaisesRegex(ImportError, "`keras` or `tensorflow`"):
                self.integrations.KerasCallback()
        with self.assertRaises(AttributeError):
            self.integrations.OtherCallback


class ProgramTest(unittest.TestCase):
    def test_a_program_that_is_missing_is_one_sentence(self):
        import greenformers._binary as binary

        with mock.patch.dict(os.environ, {"GREENFORMERS_BINARY": "/no/such"}):
            with self.assertRaisesRegex(GreenformersError, "names `/no/such`, which is no program"):
                greenformers.find_binary()
        with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ, {"PATH": empty}):
            os.environ.pop("GREENFORMERS_BINARY", None)
            nowhere = mock.patch.object(binary.sysconfig, "get_path", return_value=empty)
            with nowhere, mock.patch.object(binary.sys, "executable", os.path.join(empty, "python")):
                with self.assertRaisesRegex(GreenformersError, "neither beside this Python nor on the PATH: install the wheel again"):
                    greenformers.track().start()

    def test_what_the_program_refuses_is_said_in_its_words(self):
        with self.assertRaisesRegex(GreenformersError, "^unknown hardware `nonsuch`"):
            greenformers.estimate("bert-base", hardware="nonsuch")
        tracker = greenformers.track(grid="nonsuch")
        with self.assertRaisesRegex(GreenformersError, "^unknown grid `nonsuch`"):
            tracker.start()
        self.assertEqual((tracker.stop(), tracker.energy_kwh, tracker.fields), (None, None, {}))
        with self.assertRaises(TypeError):
            greenformers.track(process=True)

    def test_a_tracker_has_the_names_of_codecarbon_s(self):
        tracker = greenformers.track(grid="fra")
        self.assertIs(tracker.start(), tracker)
        with self.assertRaisesRegex(GreenformersError, "already"):
            tracker.start()
        kilograms = tracker.stop()
        self.assertEqual(kilograms, tracker.emissions_kg)
        self.assertGreater(kilograms, 0)
        # No grid is known with a kilogram a kWh, and France's is far from it.
        self.assertLess(kilograms, tracker.energy_kwh)
        self.assertIn(tracker.energy_kwh, tracker.interval("it_energy_kwh"))

    def test_an_error_in_the_block_is_not_hidden(self):
        with self.assertRaises(KeyError):
            with greenformers.track() as tracker:
                raise KeyError
        self.assertGreater(tracker.duration_s, 0)

    def test_an_estimate_is_what_the_program_says(self):
        (dense, lrt) = greenformers.estimate("bert-base", hardware="a100-sxm4-80gb", arch=["dense", "lrt:rank=256"], devices=8)
        self.assertEqual((dense.arch, lrt.arch, dense.devices, dense.basis), ("dense", "lrt", 8, "analytic"))
        self.assertEqual(dense.wall_h.mid, dense.fields["wall_h"]["mid"])
        self.assertIsNone(greenformers.estimate(step_time=0.42, steps=1000, power=350)[0].arch)

    def test_a_record_is_read_and_nothing_else_is(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "record.json")
            step = '{"visit": 1, "start_s": 0, "forward_s": %s, "backward_s": 1.0, "optimizer_s": null}'
            cell = (
                '{"arch": "dense", "shape": {"batch_size": 4, "seq_len": 128}, "dtype": "f32", "status": "ok", '
                f'"peak_memory_bytes": 7, "steps": [{step % 1.0}, {step % 2.0}, {step % 4.0}]}}'
            )
            with open(path, "w") as file:
                file.write(f'{{"schema": 3, "created": "2026-11-26T00:00:00+00:00", "cells": [{cell}]}}')
            for named in [folder, path]:
                (measured,) = Record.load(named).cells
                self.assertEqual((measured.steps_s, measured.step_s), ((2.0, 3.0, 5.0), 3.0))
                self.assertAlmostEqual(measured.tokens_per_s, 512 / 3)
            with open(path, "w") as file:
                file.write('{"schema": 9, "cells": []}')
            with self.assertRaisesRegex(ValueError, "no record of schema 1 to 3"):
                Record.load(path)

    def test_the_module_is_the_program(self):
        done = subprocess.run([sys.executable, "-m", "greenformers", "--version"], capture_output=True, text=True)
        self.assertEqual(done.stdout.split()[:2], ["greenformers", greenformers.__version__])


if __name__ == "__main__":
    unittest.main()
