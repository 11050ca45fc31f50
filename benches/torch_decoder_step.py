#!/usr/bin/env python3
"""One train step of a decoder in PyTorch: the peer that ours is timed against.

`--model gpt2` is GPT-2 small (124M): learned positions, layer norm, GELU by tanh, biases, a tied head. `--model llama` is as
`llama_12x768.yaml` beside it: rotary positions, RMS norm, SwiGLU, 12 heads of which 4 have keys, no biases, a head of its own.
Attention is scaled_dot_product_attention with `is_causal`, the loss a cross-entropy on every position, the optimizer fused AdamW (lr
1e-4, betas 0.9/0.999, eps 1e-6, weight decay 0.01). Random token ids, seed 0.

  --arch dense    as published
  --arch lrt      every linear of the layers is x -> (x E) D + b, inner width --rank or its smaller side, E without a bias
  --arch lora     the linears of the layers are frozen, with everything else, and have a pair of inner width 16 beside them

Prints one JSON object: medians over --steps steps after --warmup, in seconds; `peak_memory_bytes` on a GPU alone.

  python3 torch_decoder_step.py --model gpt2 --seq-len 256 --batch-size 4 --threads 2 --compile
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

LORA_RANK = 16


class LowRank(nn.Module):
    def __init__(self, d_in, d_out, rank, bias):
        super().__init__()
        rank = min(rank, d_in, d_out)
        self.encode, self.decode = nn.Linear(d_in, rank, bias=False), nn.Linear(rank, d_out, bias=bias)

    def forward(self, x):
        return self.decode(self.encode(x))


class Lora(nn.Module):
    def __init__(self, d_in, d_out, bias):
        super().__init__()
        self.base = nn.Linear(d_in, d_out, bias=bias)
        self.a, self.b = nn.Linear(d_in, LORA_RANK, bias=False), nn.Linear(LORA_RANK, d_out, bias=False)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


def linear(args, d_in, d_out, bias):
    if args.arch == "lrt":
        return LowRank(d_in, d_out, args.rank, bias)
    return Lora(d_in, d_out, bias) if args.arch == "lora" else nn.Linear(d_in, d_out, bias=bias)


class Layer(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.args, self.is_llama = args, args.model == "llama"
        d, self.h, self.kv = 768, 12, 4 if self.is_llama else 12
        keys = d // self.h * self.kv
        bias = not self.is_llama
        norm = (lambda: nn.RMSNorm(d, eps=1e-6)) if self.is_llama else (lambda: nn.LayerNorm(d))
        self.norm1, self.norm2 = norm(), norm()
        if args.arch == "lrt" or self.is_llama:
            self.q, self.k, self.v = (linear(args, d, n, bias) for n in (d, keys, keys))
        else:
            self.qkv = linear(args, d, 3 * d, bias)
        self.o = linear(args, d, d, bias)
        d_ff = 2048 if self.is_llama else 3072
        self.up, self.down = linear(args, d, d_ff, bias), linear(args, d_ff, d, bias)
        if self.is_llama:
            self.gate = linear(args, d, d_ff, bias)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        p = self.args.dropout if self.training else 0.0
        y = self.norm1(x)
        q, k, v = self.qkv(y).split(d, 2) if hasattr(self, "qkv") else (self.q(y), self.k(y), self.v(y))
        q, k, v = (z.view(b, t, n, d // self.h).transpose(1, 2) for z, n in ((q, self.h), (k, self.kv), (v, self.kv)))
        if self.is_llama:
            q, k = (z * cos + torch.cat((-z[..., z.shape[-1] // 2:], z[..., :z.shape[-1] // 2]), -1) * sin for z in (q, k))
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True, enable_gqa=self.is_llama)
        x = x + F.dropout(self.o(y.transpose(1, 2).reshape(b, t, d)), p, self.training)
        y = self.norm2(x)
        inner = F.silu(self.gate(y)) * self.up(y) if self.is_llama else F.gelu(self.up(y), approximate="tanh")
        return x + F.dropout(self.down(inner), p, self.training)


class Decoder(nn.Module):
    def __init__(self, args):
        super().__init__()
        d, self.is_llama, self.p = 768, args.model == "llama", args.dropout
        vocab = 32000 if self.is_llama else 50257
        self.tok = nn.Embedding(vocab, d)
        self.pos = None if self.is_llama else nn.Embedding(1024, d)
        self.layers = nn.ModuleList(Layer(args) for _ in range(args.layers))
        self.norm = nn.RMSNorm(d, eps=1e-6) if self.is_llama else nn.LayerNorm(d)
        self.head = nn.Linear(d, vocab, bias=False)
        if not self.is_llama:
            self.head.weight = self.tok.weight
        angles = torch.arange(1024)[:, None] * 10_000.0 ** (-torch.arange(32) / 32)
        self.register_buffer("cos", angles.cos().repeat(1, 2))
        self.register_buffer("sin", angles.sin().repeat(1, 2))

    def forward(self, ids, labels):
        t = ids.shape[1]
        x = self.tok(ids)
        if self.pos is not None:
            x = x + self.pos(torch.arange(t, device=ids.device))
        x = F.dropout(x, self.p, self.training)
        for layer in self.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        return F.cross_entropy(self.head(self.norm(x)).float().flatten(0, 1), labels.flatten())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=["gpt2", "llama"], default="gpt2")
    p.add_argument("--device", default="cpu")
    p.add_argument("--arch", choices=["dense", "lrt", "lora"], default="dense")
    p.add_argument("--rank", type=int, default=256)
    p.add_argument("--layers", type=int, default=12)
    p.add_argument("--seq-len", type=int, default=256)
    p.add_argument("--batch-size", type=int, default=4)
    p.add_argument("--dtype", choices=["f32", "tf32", "bf16"], default="f32", help="bf16: autocast over f32 weights")
    p.add_argument("--dropout", type=float, default=0.0)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--threads", type=int, default=0, help="CPU threads, 0: PyTorch's default")
    p.add_argument("--warmup", type=int, default=3)
    p.add_argument("--steps", type=int, default=9)
    a = p.parse_args()
    torch.manual_seed(0)
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.set_float32_matmul_precision("high" if a.dtype == "tf32" else "highest")
    dev, cuda = torch.device(a.device), a.device.startswith("cuda")
    model = Decoder(a).to(dev).train()
    if a.arch == "lora":
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.endswith((".a.weight", ".b.weight")))
    trained = [w for w in model.parameters() if w.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, eps=1e-6, weight_decay=0.01, fused=True)
    step_model = torch.compile(model) if a.compile else model
    vocab = model.tok.num_embeddings
    ids, labels = (torch.randint(0, vocab, (a.batch_size, a.seq_len), device=dev) for _ in range(2))
    sync = (lambda: torch.cuda.synchronize(dev)) if cuda else (lambda: None)
    cast = torch.autocast(dev.type, torch.bfloat16, enabled=a.dtype == "bf16")
    rows = []
    for i in range(a.warmup + a.steps):
        if cuda and i == a.warmup:
            torch.cuda.reset_peak_memory_stats(dev)
        times = [time.perf_counter()]
        with cast:
            loss = step_model(ids, labels)
        sync()
        times.append(time.perf_counter())
        loss.backward()
        sync()
        times.append(time.perf_counter())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sync()
        times.append(time.perf_counter())
        if i >= a.warmup:
            rows.append([after - before for before, after in zip(times, times[1:])])
    forward, backward, update = (statistics.median(column) for column in zip(*rows))
    steps = [sum(row) for row in rows]
    print(json.dumps(dict(
        peer="pytorch " + torch.__version__ + (" compile" if a.compile else " eager"), model=a.model, arch=a.arch,
        n_params=sum(w.numel() for w in model.parameters()), loss=loss.item(), forward_s=forward, backward_s=backward,
        optimizer_s=update, step_s=statistics.median(steps), steps=steps,
        peak_memory_bytes=torch.cuda.max_memory_allocated(dev) if cuda else None)))


if __name__ == "__main__":
    main()
