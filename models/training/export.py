"""Writes an adapter in the form in which the program loads it (adapter.py).

    export.py RUN/checkpoint.pt... ADAPTER.safetensors [--average] [--weights WEIGHT...] [--rank R]
        [--warm ADAPTER.safetensors]
    export.py OLD.safetensors ADAPTER.safetensors [--rank R]

Of several checkpoints it is the mean of their factors, or what --weights make of them; a weight
can be negative. Factors can be added only where they mean the same: in checkpoints of which each
went on from another, or from the same one, and in the adapter that a run was given by --warm, which
here gets what the weights leave of 1. (The checkpoint that the adapter was exported from has other
factors of the same products.) An adapter is written anew, its sizes of channels taken along.

The product B · A of a matrix is made of other factors first: by a singular value decomposition,
the largest values first, the root of each in either factor. So a row of A and a column of B have
one size, which suits 8 bits, and --rank cuts off what matters least.
"""

import argparse

import torch

from adapter import read_factors, read_tensors, rounded, write


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="+", help="checkpoints, or one adapter")
    parser.add_argument("out")
    parser.add_argument("--average", action="store_true",
                        help="the running average of the parameters instead of the last ones")
    parser.add_argument("--weights", nargs="+", type=float,
                        help="one a checkpoint, 1 in all but for --warm")
    parser.add_argument("--warm", help="the adapter that the runs began with")
    parser.add_argument("--rank", type=int, help="at most (default: as it is)")
    parser.add_argument("--base", help="name of the model that it is for (default: as it says)")
    args = parser.parse_args()
    if args.sources[0].endswith(".safetensors"):
        if len(args.sources) > 1 or args.average or args.weights or args.warm:
            parser.error("an adapter is written anew by itself")
        factors, metadata = read_factors(args.sources[0])
        others = {name: value for name, value in read_tensors(args.sources[0])[0].items()
                  if ".lora_" not in name}
    else:
        weights = args.weights or [1 / len(args.sources)] * len(args.sources)
        rest = 1 - sum(weights)
        if len(weights) != len(args.sources) or abs(rest) > 1e-6 and not args.warm:
            parser.error("there is a weight for each checkpoint, and without --warm they sum to 1")
        factors, metadata = mean_of(args.sources, weights, "average" if args.average else "params")
        if args.warm:
            add_warm(factors, rest, args.warm, float(metadata["scale"]))
        others = {}
    if args.base:
        metadata["base"] = args.base
    tensors, rank, error = stored(factors, args.rank)
    print(f"rank {rank}, relative error {error:.5f}")
    write(args.out, tensors | others, metadata | {"rank": str(rank)})


def mean_of(paths, weights, kind):
    """The factors of checkpoints and what the file is to say of them."""
    states = [torch.load(path, weights_only=True, map_location="cpu") for path in paths]
    if len({state["of"].get("warm") for state in states if "of" in state}) > 1:
        raise SystemExit("export.py: the runs began with different adapters, so their factors mean different things")
    for state in states:
        print(f"step {state['step']}, {state['position']} papers, {state['tokens']} tokens")
    factors = {name: sum(weight * state[kind][name] for weight, state in zip(weights, states))
               for name in states[0][kind]}
    return factors, {"scale": str(states[0]["scale"]), "base": states[0].get("base", "")}


def add_warm(factors, weight, path, scale):
    """Adds the factors of an adapter, as a run of that scale began with them."""
    began, metadata = read_factors(path)
    for name, value in began.items():
        ratio = float(metadata["scale"]) / scale if name.endswith("_b") else 1.0
        factors[name] = factors[name] + weight * ratio * value


def stored(factors, rank):
    """Tensors to write, their rank, and by how much they differ from the products of `factors`, by
    the Frobenius norm over all matrices."""
    tensors, lost, total = {}, 0.0, 0.0
    for name in factors:
        if name.endswith(".lora_a"):
            place = name.removesuffix("a")
            a, b = factors[place + "a"].double(), factors[place + "b"].double()
            new_a, new_b, worth = rounded(*refactored(a, b, rank))
            tensors |= {place + "a": new_a, place + "b": new_b, place + "scale": worth}
            total += square(a, b)
            lost += square(torch.cat([a, new_a * worth.double()[:, None]]),
                           torch.cat([b, -new_b.double()], 1))
    return tensors, len(worth), (lost / total) ** 0.5


def refactored(a, b, rank):
    """Factors of the product b · a, or of the nearest product of that rank: orthogonal columns in b
    and rows in a, a pair of equal size, the largest first."""
    (q_a, r_a), (q_b, r_b) = torch.linalg.qr(a.t()), torch.linalg.qr(b)
    left, values, right = torch.linalg.svd(r_b @ r_a.t(), full_matrices=False)
    roots = values[:rank].sqrt()
    return (right[:rank] @ q_a.t()) * roots[:, None], (q_b @ left[:, :rank]) * roots


def square(a, b):
    """The square of the Frobenius norm of b · a."""
    return ((b.t() @ b) * (a @ a.t())).sum().item()


if __name__ == "__main__":
    main()
