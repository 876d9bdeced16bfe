"""Adds to an adapter how large the channels of the merged model are.

    channels.py BASE.gguf DATA.npz ADAPTER.safetensors OUT.safetensors [--papers 64]

The program equalises channels with it while it merges the adapter, so that rounding in blocks costs
less. Sizes are root mean squares over what some papers of the training data, prompts and summaries,
put into each product: `blk.3.attn_norm.rms` (query, key and value), `blk.3.attn_output.rms` (of all
query heads together, since they share the values), `blk.3.ffn_norm.rms` (gate and up) and
`blk.3.ffn_down.rms`, in f16.
"""

import argparse
import hashlib
import math

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from model import (BF16, GLOBAL_EVERY, GROUPS, HEAD_WIDTH, HEADS, LAYERS, ROPE_GLOBAL, ROPE_LOCAL,
                   WIDTH, WINDOW, Attention, Model, norm, project)


class Sizes:
    """Sums of squares of the channels of each place."""

    def __init__(self):
        self.squares, self.rows = {}, {}

    def add(self, layer, name, x):
        key = f"blk.{layer}.{name}.rms"
        self.squares[key] = self.squares.get(key, 0) + x.double().pow(2).sum(0)
        self.rows[key] = self.rows.get(key, 0) + len(x)

    def tensors(self):
        return {key: (squares / self.rows[key]).sqrt().to(torch.float16)
                for key, squares in self.squares.items()}


def read(model, ids, sizes):
    """Takes one sequence through the model and adds what goes into its products."""
    time = len(ids)
    x = model.embedding[ids] * torch.tensor(math.sqrt(WIDTH), dtype=BF16)
    for layer in range(LAYERS):
        groups = model.groups[layer * len(GROUPS):(layer + 1) * len(GROUPS)]
        qkv, (o, *_), (up, *_), (down, *_) = groups
        norms = model.norms[layer]
        is_global = (layer + 1) % GLOBAL_EVERY == 0
        cos, sin = model.rope[ROPE_GLOBAL if is_global else ROPE_LOCAL]
        sizes.add(layer, "attn_norm", norm(x, norms[0]))
        q, k, v = project(x, 1, norms, cos[:time], sin[:time], *qkv)
        out = Attention.apply(q, k, v, time if is_global else WINDOW, HEAD_WIDTH ** -0.5)
        sizes.add(layer, "attn_output", out.view(time * HEADS, HEAD_WIDTH))
        x = x + norm(out @ o.t(), norms[3])
        h = norm(x, norms[4])
        sizes.add(layer, "ffn_norm", h)
        gate, value = (h @ up.t()).chunk(2, 1)
        h = F.gelu(gate.float(), approximate="tanh") * value.float()
        sizes.add(layer, "ffn_down", h)
        x = x + norm(h.to(BF16) @ down.t(), norms[5])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("data")
    parser.add_argument("adapter")
    parser.add_argument("out")
    parser.add_argument("--papers", type=int, default=64)
    args = parser.parse_args()
    with safe_open(args.adapter, "pt") as file:
        metadata = file.metadata()
        factors = {name: file.get_tensor(name) for name in file.keys() if ".lora_" in name}
    model = Model(args.base, int(metadata["rank"]), [0], args.adapter, compile=False)
    data, sizes = np.load(args.data), Sizes()
    with torch.no_grad():
        for group in range(len(model.base)):
            model.merge(group)
        for at in data["order"][:args.papers]:
            start, end = data["starts"][at:at + 2]
            read(model, torch.from_numpy(data["tokens"][start:end].astype(np.int64)), sizes)
    save_file(factors | sizes.tensors(), args.out, metadata=metadata)
    with open(args.out, "rb") as file:
        content = file.read()
    print(f"bytes = {len(content)}\nsha256 = \"{hashlib.sha256(content).hexdigest()}\"")


if __name__ == "__main__":
    main()
