"""Adds to an adapter how large the channels of the merged model are.

    channels.py BASE.gguf DATA.npz ADAPTER.safetensors OUT.safetensors [--papers 64]

The program equalises channels with it while it merges the adapter, so that rounding in blocks costs
less. Sizes are root mean squares over what some papers of the training data, prompts and summaries,
put into each product: `blk.3.attn_norm.rms` (query, key and value), `blk.3.attn_output.rms` (of the
query heads of a KV head together, since they share its values), `blk.3.ffn_norm.rms` (gate and up)
and `blk.3.ffn_down.rms`, in f16.
"""

import argparse

import numpy as np
import torch

from adapter import read_tensors, write
from model import Model

NAMES = ("attn_norm", "attn_output", "ffn_norm", "ffn_down")  # one for each of model.GROUPS


class Measured(Model):
    """A model that adds up the squares of what goes into its products."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.squares, self.rows = {}, 0

    def linear(self, x, layer, group):
        squares = x.float().pow(2).sum(0)
        if NAMES[group] == "attn_output":
            about = self.about
            of_heads = squares.view(about.key_heads, -1, about.head_width)
            squares = of_heads.mean(1).view(-1)
        key = f"blk.{layer}.{NAMES[group]}.rms"
        self.squares[key] = self.squares.get(key, 0) + squares.double()
        return super().linear(x, layer, group)

    def read(self, tokens):
        """Takes in one sequence."""
        ids = torch.from_numpy(tokens.astype(np.int64)).to(self.device)[None]
        rows, nothing = torch.arange(ids.numel(), device=self.device), ids[0, :0]
        with torch.no_grad():
            self.row_losses(ids, rows, torch.zeros_like(rows), nothing)
        self.rows += len(rows)

    def sizes(self):
        return {key: (squares / self.rows).sqrt().to("cpu", torch.float16)
                for key, squares in self.squares.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("data")
    parser.add_argument("adapter")
    parser.add_argument("out")
    parser.add_argument("--papers", type=int, default=64)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    tensors, metadata = read_tensors(args.adapter)
    model = Measured(args.base, int(metadata["rank"]), [0], args.adapter, args.device)
    data = dict(np.load(args.data))  # each would be unpacked again at every use
    for at in data["order"][:args.papers]:
        start, end = data["starts"][at:at + 2]
        model.read(data["tokens"][start:end])
    write(args.out, tensors | model.sizes(), metadata)


if __name__ == "__main__":
    main()
