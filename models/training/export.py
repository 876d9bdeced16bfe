"""Writes the adapter of a checkpoint in the form in which the program loads it.

    export.py RUN/checkpoint.pt... ADAPTER.safetensors [--average] [--weights WEIGHT...]

Of several checkpoints it is the mean, or what --weights make of them; a weight can be negative.

For a matrix W called `blk.3.attn_q` the file has `blk.3.attn_q.lora_a` (rank × inputs) and
`blk.3.attn_q.lora_b` (outputs × rank) in f16, and the metadata `scale`: the program makes
W + scale · B · A of them.
"""

import argparse
import hashlib
import os

import torch
from safetensors.torch import save_file

MAX_BYTES = 35 << 20  # the adapter is compiled into the program


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("out")
    parser.add_argument("--average", action="store_true",
                        help="the running average of the parameters instead of the last ones")
    parser.add_argument("--weights", nargs="+", type=float, help="one a checkpoint, 1 in all")
    args = parser.parse_args()
    weights = args.weights or [1 / len(args.checkpoints)] * len(args.checkpoints)
    if len(weights) != len(args.checkpoints) or abs(sum(weights) - 1) > 1e-6:
        parser.error("there is a weight for each checkpoint, and they sum to 1")
    states = [torch.load(path, weights_only=True) for path in args.checkpoints]
    state, kind = states[0], "average" if args.average else "params"
    factors = {name: sum(weight * other[kind][name] for weight, other in zip(weights, states))
               .to(torch.float16).contiguous() for name in state[kind]}
    for name, value in factors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} has values that f16 cannot hold")
    rank = next(iter(factors.values())).shape[0]
    save_file(factors, args.out, metadata={
        "scale": str(state["scale"]), "rank": str(rank), "base": "gemma-3-270m-q4_k_m"})
    size = os.path.getsize(args.out)
    if size > MAX_BYTES:
        raise ValueError(f"{args.out} has {size} bytes, more than {MAX_BYTES}")
    with open(args.out, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    for state in states:
        print(f"step {state['step']}, {state['position']} papers, {state['tokens']} tokens")
    print(f"bytes = {size}\nsha256 = \"{digest}\"")


if __name__ == "__main__":
    main()
