#!/usr/bin/env python3
"""Real training programs under `greenformers forecast`: what it said of the whole run after a minute, and what the run then took.

All train a byte-level model on the text of this project's pages, on one thread each:

  loop      a PyTorch loop as nanoGPT's: a line each ten iterations, evaluation and a checkpoint each 100
  trainer   Trainer of transformers, with its bar, evaluation and a checkpoint each 100 steps
  lightning Trainer of Lightning, with its bar, validation and a checkpoint each 100 steps
  keras     Model.fit of Keras (on PyTorch), with its bar, epochs of 100 batches, validation and a checkpoint after each

  cargo build --release
  python3 benches/forecast_programs.py --python PYTHON_WITH_TORCH_AND_TRANSFORMERS --minutes 10
  python3 benches/forecast_programs.py --python PYTHON_WITH_LIGHTNING_AND_KERAS --programs lightning keras
  python3 benches/forecast_programs.py run loop --iterations 1000
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK, BATCH, EVERY = 128, 8, 100
# Iterations of a minute on a core of an AMD EPYC (Zen 4), to choose their number by.
A_MINUTE = 170


def text():
    pages = sorted(ROOT.glob("docs/*.md")) + [ROOT / "README.md", ROOT / "ARCHITECTURE.md"]
    return b"".join(page.read_bytes() for page in pages)


def model():
    from transformers import GPT2Config, GPT2LMHeadModel
    return GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=BLOCK, n_embd=256, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0))


def loop(iterations, folder):
    import torch
    torch.manual_seed(0)
    data = torch.frombuffer(bytearray(text()), dtype=torch.uint8).long()
    train, held_out = data[:-20_000], data[-20_000:]
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-4)

    def batch(of):
        starts = torch.randint(len(of) - BLOCK, (BATCH,))
        return torch.stack([of[i:i + BLOCK] for i in starts])

    began = time.perf_counter()
    for iteration in range(1, iterations + 1):
        ids = batch(train)
        loss = net(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if iteration % 10 == 0:
            now = time.perf_counter()
            print(f"iter {iteration}/{iterations}: loss {loss.item():.4f}, time {1e3 * (now - began) / 10:.2f}ms", flush=True)
            began = now
        if iteration % EVERY == 0:
            net.eval()
            with torch.no_grad():
                losses = [net(input_ids=ids, labels=ids).loss.item() for ids in (batch(held_out) for _ in range(40))]
            net.train()
            print(f"step {iteration}: val loss {sum(losses) / len(losses):.4f}", flush=True)
            torch.save(dict(model=net.state_dict(), optimizer=optimizer.state_dict()), f"{folder}/checkpoint.pt")
            began = time.perf_counter()


def trainer(iterations, folder):
    import torch
    from transformers import Trainer, TrainingArguments
    data = torch.frombuffer(bytearray(text()), dtype=torch.uint8).long()

    class Pieces(torch.utils.data.Dataset):
        def __init__(self, of):
            self.of = of

        def __len__(self):
            return (len(self.of) - 1) // BLOCK

        def __getitem__(self, i):
            piece = self.of[i * BLOCK:(i + 1) * BLOCK]
            return {"input_ids": piece, "labels": piece}

    arguments = TrainingArguments(
        output_dir=folder, max_steps=iterations, per_device_train_batch_size=BATCH, learning_rate=3e-4, eval_strategy="steps",
        eval_steps=EVERY, save_steps=EVERY, save_total_limit=1, logging_steps=50, report_to=[], use_cpu=True)
    Trainer(model=model(), args=arguments, train_dataset=Pieces(data[:-20_000]), eval_dataset=Pieces(data[-20_000:])).train()


def lightning(iterations, folder):
    import lightning as of_lightning
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    data = torch.frombuffer(bytearray(text()), dtype=torch.uint8).long()

    class Decoder(of_lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model()

        def training_step(self, ids, _):
            loss = self.net(input_ids=ids, labels=ids).loss
            self.log("loss", loss, prog_bar=True)
            return loss

        def validation_step(self, ids, _):
            self.log("val_loss", self.net(input_ids=ids, labels=ids).loss)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=3e-4)

    def loader(of):
        pieces = of[:len(of) // BLOCK * BLOCK].view(-1, BLOCK)
        return torch.utils.data.DataLoader(pieces, batch_size=BATCH, shuffle=True, drop_last=True)

    of_lightning.Trainer(
        max_steps=iterations, accelerator="cpu", val_check_interval=EVERY, check_val_every_n_epoch=None, default_root_dir=folder,
        logger=False, callbacks=[ModelCheckpoint(dirpath=folder, every_n_train_steps=EVERY)], enable_model_summary=False,
    ).fit(Decoder(), loader(data[:-20_000]), loader(data[-20_000:]))


def keras(iterations, folder):
    os.environ["KERAS_BACKEND"] = "torch"
    import keras as of_keras
    import numpy
    import torch
    torch.set_num_threads(1)
    data = numpy.frombuffer(text(), dtype=numpy.uint8).astype("int32")
    pieces = data[:len(data) // (BLOCK + 1) * (BLOCK + 1)].reshape(-1, BLOCK + 1)
    inputs = of_keras.Input((BLOCK,), dtype="int32")
    hidden = of_keras.layers.Embedding(256, 256)(inputs)
    for _ in range(4):
        normed = of_keras.layers.LayerNormalization()(hidden)
        hidden = hidden + of_keras.layers.MultiHeadAttention(4, 64)(normed, normed, use_causal_mask=True)
        normed = of_keras.layers.LayerNormalization()(hidden)
        hidden = hidden + of_keras.layers.Dense(256)(of_keras.layers.Dense(1024, activation="gelu")(normed))
    net = of_keras.Model(inputs, of_keras.layers.Dense(256)(hidden))
    net.compile(of_keras.optimizers.AdamW(3e-4), of_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    held_out = pieces[-160:]
    rng = numpy.random.default_rng(0)

    class Batches(of_keras.utils.PyDataset):
        def __len__(self):
            return EVERY

        def __getitem__(self, i):
            rows = pieces[rng.integers(0, len(pieces) - len(held_out), BATCH)]
            return rows[:, :-1], rows[:, 1:]

    net.fit(
        Batches(), epochs=max(1, iterations // EVERY), validation_data=(held_out[:, :-1], held_out[:, 1:]), validation_batch_size=BATCH,
        callbacks=[of_keras.callbacks.ModelCheckpoint(os.path.join(folder, "checkpoint.weights.h5"), save_weights_only=True)])


PROGRAMS = {"loop": loop, "trainer": trainer, "lightning": lightning, "keras": keras}


def nearest(said, seconds):
    """What was said nearest to so many seconds: a forecast is noted at each tenth of the run."""
    return min(said, key=lambda s: abs(s["at_s"] - seconds))


def compare(a):
    runs = []
    iterations = a.iterations or round(A_MINUTE * a.minutes)
    with tempfile.TemporaryDirectory() as folder:
        for core, name in enumerate(a.programs):
            out = os.path.join(folder, f"{name}.json")
            # Lightning draws its bar on terminals alone, and does not say how many steps there will be.
            options = ["--as-terminal", "--total-steps", str(iterations)] if name == "lightning" else []
            command = [a.greenformers, "forecast", "-o", out, *options, "--"]
            command += [a.python, __file__, "run", name, "--iterations", str(iterations)]
            env = dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
            log = open(os.path.join(folder, f"{name}.log"), "w")
            # A core each, so that both may run at once.
            pinned = ["taskset", "-c", str(core % os.cpu_count())] + command
            runs.append((name, out, subprocess.Popen(pinned, env=env, stdout=log, stderr=log)))
        print("| program | steps | read as | said after | the whole run | took | off | inside |")
        print("|---|---|---|---|---|---|---|---|")
        for name, out, process in runs:
            if process.wait() != 0:
                sys.exit(f"error: {name} ended with status {process.returncode}")
            with open(out) as f:
                forecast = json.load(f)["forecast"]
            # At its end a run is known: the forecast of the whole is what it took to the last step.
            took = forecast["whole_s"]["mid"]
            for seconds in a.after:
                said = nearest(forecast["said"], seconds)
                whole = said["whole_s"]
                print(f"| {name} | {forecast['steps_done']} | {forecast['recognised_as']} | {said['at_s']:.0f} s "
                      f"| {whole['mid']:.0f} s [{whole['low']:.0f}, {whole['high']:.0f}] | {took:.0f} s "
                      f"| {100 * (whole['mid'] / took - 1):+.1f} % | {'yes' if whole['low'] <= took <= whole['high'] else 'no'} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("command", nargs="?", choices=["run"], help="run one program, without a forecast")
    p.add_argument("program", nargs="?", choices=PROGRAMS)
    p.add_argument("--programs", nargs="+", choices=PROGRAMS, default=["loop", "trainer"], help="those that run, one on each core")
    p.add_argument("--python", default=sys.executable, help="a Python that has what the programs need")
    p.add_argument("--greenformers", default=str(ROOT / "target/release/greenformers"))
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--iterations", type=int, help="of each program, instead of about so many minutes")
    p.add_argument("--after", type=float, nargs="+", default=[60, 120], help="seconds after which the forecast is held to the run")
    a = p.parse_args()
    if a.command is None:
        return compare(a)
    with tempfile.TemporaryDirectory() as folder:
        PROGRAMS[a.program](a.iterations or 1000, folder)


if __name__ == "__main__":
    main()
