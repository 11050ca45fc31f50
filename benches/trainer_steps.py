#!/usr/bin/env python3
"""Train steps of Hugging Face's Trainer, as its users run it: seconds, joules and memory of a step on an NVIDIA GPU.

  python3 benches/trainer_steps.py --out FOLDER [CELL ...] [--until SECONDS]

Weights and tokens are random, since neither changes what a step costs. FOLDER/steps.csv gets a row for each cell, and
FOLDER/configs/ the config.json of each model, as `greenformers estimate` takes it. A cell that fails leaves its reason in
its row. After SECONDS no further cell begins.
"""

import argparse
import csv
import gc
import json
import time
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, Trainer, TrainerCallback, TrainingArguments
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

from model_shapes import MODELS

# Of each cell: model, sequences, tokens, and how it is trained. The order is that of worth.
CELLS = {
    "bert-base": ("bert-base", 32, 512, {}),
    "gpt2": ("gpt2", 16, 1024, {}),
    "qwen3-8b-lora": ("qwen3-8b", 1, 2048, dict(lora="all", weights="bf16")),
    "qwen3-8b-lora-checkpointing": ("qwen3-8b", 8, 2048, dict(lora="all", weights="bf16", checkpointing=True)),
    "llama-3.1-8b-lora-qv": ("llama-3.1-8b", 2, 2048, dict(lora="qv", weights="bf16")),
    "llama-3.2-1b": ("llama-3.2-1b", 4, 2048, {}),
    "qwen3-0.6b": ("qwen3-0.6b", 4, 2048, {}),
    "modernbert-base": ("modernbert-base", 16, 1024, {}),
    "gpt2-checkpointing": ("gpt2", 16, 1024, dict(checkpointing=True)),
    "gpt2-composed": ("gpt2", 16, 1024, dict(attention="eager")),
    "bert-base-short": ("bert-base", 64, 128, {}),
    "bert-large": ("bert-large", 16, 512, {}),
    "gpt2-compiled": ("gpt2", 16, 1024, dict(compiled=True)),
    "pythia-1.4b": ("pythia-1.4b", 4, 2048, {}),
    "gpt2-accumulation": ("gpt2", 4, 1024, dict(accumulation=4)),
    "llama-3.2-1b-bf16": ("llama-3.2-1b", 4, 2048, dict(weights="bf16")),
    "bert-base-f32": ("bert-base", 32, 512, dict(dtype="f32")),
    "bert-base-compiled": ("bert-base", 32, 512, dict(compiled=True)),
    "qwen3-0.6b-checkpointing": ("qwen3-0.6b", 16, 2048, dict(checkpointing=True)),
    "mixtral-1b": ("mixtral-1b", 4, 2048, {}),
    "roberta-base-f16": ("roberta-base", 32, 512, dict(dtype="f16")),
    "opt-1.3b": ("opt-1.3b", 4, 2048, {}),
    "gpt2-medium": ("gpt2-medium", 8, 1024, {}),
    "qwen3-0.6b-compiled": ("qwen3-0.6b", 4, 2048, dict(compiled=True)),
    "llama-3.2-3b": ("llama-3.2-3b", 1, 2048, {}),
    # Trainer sets TF32 for the whole process, so that this is the last one.
    "bert-base-tf32": ("bert-base", 32, 512, dict(dtype="tf32")),
}
LORA_TARGETS = {"qv": ["q_proj", "v_proj"], "all": "all-linear"}
COLUMNS = ["cell", "model", "batch", "accumulation", "seq_len", "dtype", "weights", "attention", "compiled", "checkpointing",
           "lora", "n_params", "steps", "step_s", "joules_per_step", "peak_allocated_bytes", "peak_reserved_bytes",
           "used_bytes", "gpu", "torch", "transformers", "failed"]


class Tokens(torch.utils.data.Dataset):
    """Sequences of random tokens; of a masked model 15 % of them are asked for."""

    def __init__(self, vocab, seq_len, masked):
        generator = torch.Generator().manual_seed(1)
        self.ids = torch.randint(5, vocab, (512, seq_len), generator=generator)
        self.labels = self.ids.clone()
        if masked:
            self.labels[torch.rand(self.ids.shape, generator=generator) > 0.15] = -100

    def __len__(self):
        return 10**7

    def __getitem__(self, i):
        i %= len(self.ids)
        return {"input_ids": self.ids[i], "attention_mask": torch.ones_like(self.ids[i]), "labels": self.labels[i]}


class Meter(TrainerCallback):
    """Times the steps between a warm-up and an end, both of which wait for the GPU, and reads its counter of energy there."""

    def __init__(self, warm_up_s, measured_s):
        self.warm_up_s, self.measured_s = warm_up_s, measured_s
        self.first = self.began = None

    def now(self):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter(), joules()

    def on_step_end(self, args, state, control, **_):
        if state.global_step == 3:
            self.first = time.perf_counter()
        if state.global_step < 3:
            return
        if self.began is None:
            if time.perf_counter() - self.first >= self.warm_up_s and state.global_step >= 6:
                self.began, self.at = self.now(), state.global_step
        elif time.perf_counter() - self.began[0] >= self.measured_s and state.global_step - self.at >= 8:
            (end, j), steps = self.now(), state.global_step - self.at
            self.result = {"steps": steps, "step_s": (end - self.began[0]) / steps,
                           "joules_per_step": (j - self.began[1]) / steps if j else ""}
            control.should_training_stop = True


def nvml():
    import pynvml
    pynvml.nvmlInit()
    return pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)


def joules():
    if not torch.cuda.is_available():
        return 0
    library, device = nvml()
    return library.nvmlDeviceGetTotalEnergyConsumption(device) / 1e3


def used_bytes():
    library, device = nvml()
    return library.nvmlDeviceGetMemoryInfo(device).used


def is_masked(name):
    return MODELS[name][0] in MASKED


def built(name, how, folder):
    kind, keys = MODELS[name]
    config = CONFIG_MAPPING[kind].from_dict(dict(keys))
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / f"configs/{name}.json").write_text(json.dumps(config.to_diff_dict() | {"model_type": config.model_type}, indent=1))
    config.use_cache = False
    build = AutoModelForMaskedLM if is_masked(name) else AutoModelForCausalLM
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if how.get("weights") == "bf16" else torch.float32)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = build.from_config(config, attn_implementation=how.get("attention", "sdpa"))
    finally:
        torch.set_default_dtype(before)
    n_params = sum(p.numel() for p in model.parameters())
    if "lora" in how:
        from peft import LoraConfig, get_peft_model
        model = get_peft_model(model, LoraConfig(r=16, target_modules=LORA_TARGETS[how["lora"]], task_type="CAUSAL_LM"))
        if how.get("checkpointing"):
            model.enable_input_require_grads()
    return model, config, n_params


def measured(cell, a):
    name, batch, seq_len, how = CELLS[cell]
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    model, config, n_params = built(name, how, a.out)
    dtype = how.get("dtype", "bf16")
    meter = Meter(a.warm_up, a.measured)
    arguments = TrainingArguments(
        output_dir=str(a.out / "checkpoints"), per_device_train_batch_size=batch, max_steps=a.steps or 10**6,
        gradient_accumulation_steps=how.get("accumulation", 1), gradient_checkpointing=how.get("checkpointing", False),
        bf16=dtype == "bf16", fp16=dtype == "f16", tf32=True if dtype == "tf32" else None,
        torch_compile=how.get("compiled", False), learning_rate=1e-5, save_strategy="no", report_to="none",
        dataloader_num_workers=0 if a.steps is None else 2, disable_tqdm=a.steps is None)
    callbacks = [meter] if a.steps is None else []
    Trainer(model=model, args=arguments, train_dataset=Tokens(config.vocab_size, seq_len, is_masked(name)), callbacks=callbacks).train()
    row = dict(cell=cell, model=name, batch=batch, accumulation=how.get("accumulation", 1), seq_len=seq_len, dtype=dtype,
               weights=how.get("weights", "f32"), attention=how.get("attention", "sdpa"),
               compiled=int(how.get("compiled", False)), checkpointing=int(how.get("checkpointing", False)),
               lora=how.get("lora", ""), n_params=n_params, torch=torch.__version__, transformers=transformers.__version__)
    if torch.cuda.is_available():
        row |= dict(peak_allocated_bytes=torch.cuda.max_memory_allocated(), peak_reserved_bytes=torch.cuda.max_memory_reserved(),
                    used_bytes=used_bytes(), gpu=torch.cuda.get_device_name())
    return row | (meter.result if a.steps is None else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(CELLS)} [default: all]")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--until", type=float, default=float("inf"))
    parser.add_argument("--warm-up", type=float, default=2.5)
    parser.add_argument("--measured", type=float, default=4.0)
    parser.add_argument("--steps", type=int, help="run so many steps of one cell with Trainer's own output, and measure nothing")
    a = parser.parse_args()
    began_all = time.perf_counter()
    a.out.mkdir(parents=True, exist_ok=True)
    if a.steps:
        measured(a.cells[0], a)
        return
    with open(a.out / "steps.csv", "a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        if file.tell() == 0:
            table.writeheader()
        for cell in a.cells or CELLS:
            if time.perf_counter() - began_all > a.until:
                print(f"not begun, the time is up: {cell}", flush=True)
                continue
            began = time.perf_counter()
            try:
                row = measured(cell, a)
            except Exception as error:
                row = dict(cell=cell, failed=f"{type(error).__name__}: {error}".splitlines()[0][:200])
            table.writerow(row)
            file.flush()
            print(f"{time.perf_counter() - began:6.1f} s", {k: row[k] for k in row if k in
                  ("cell", "step_s", "joules_per_step", "peak_allocated_bytes", "peak_reserved_bytes", "failed")}, flush=True)
            torch._dynamo.reset()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
