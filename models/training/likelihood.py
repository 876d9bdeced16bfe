"""Says how likely a base finds the abstract behind each summary of it, to rank summaries by.

    likelihood.py BASE.gguf TRAIN.jsonl.gz RATED.jsonl DRAWS.jsonl...

Each line of DRAWS, as `cargo run --example draws` writes them, gets `likelihood`: the base, without an
adapter, reads the Chinese paragraph and then the English abstract, and what counts is how far the
tokens of the abstract fall below -2 nats, on average. Zero is the best. What the paragraph tells
makes the abstract likely; what it leaves out, turns around or makes up does not. So only summaries of
one paper can be compared.

A noisy channel, as translations have long been ranked by. ../README.md says what it was held against.
"""

import argparse
import functools
import json

import numpy as np
import torch

from cleaning import joined, read_clean
from model import Model
from tokenizer import Tokenizer
from train import batches_of, padded

LEAST = -2.0  # nats; a likelier token was expected anyway


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("train", help="the papers, as for prepare.py")
    parser.add_argument("out")
    parser.add_argument("draws", nargs="+")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tokens-a-batch", type=int, default=1536)
    return parser.parse_args()


def main():
    args = parse_arguments()
    tokenizer = Tokenizer(args.base)
    model = Model(args.base, 1, range(tokenizer.vocab_size), device=args.device)
    records = {record["id"]: record for record in read_clean(args.train)[0]}
    draws = []
    for path in args.draws:
        with open(path, encoding="utf8") as lines:
            draws += map(json.loads, lines)
    sequences = []
    for draw in draws:
        record = functools.reduce(joined, map(records.get, draw["id"].split("+")))
        sequences.append(sequence(tokenizer, draw["zh_abstract"], record["abstract"]))
    rated = 0
    length = lambda at: len(sequences[at][0])
    for batch in batches_of(range(len(sequences)), args.tokens_a_batch, length):
        for at, value in zip(batch, likelihoods(model, [sequences[at] for at in batch])):
            draws[at]["likelihood"] = round(value, 4)
        rated += len(batch)
        print(f"{rated} of {len(draws)}", flush=True)
    with open(args.out, "w", encoding="utf8") as out:
        for draw in draws:
            out.write(json.dumps(draw, ensure_ascii=False) + "\n")


def sequence(tokenizer, paragraph, abstract):
    """Tokens of both, and where those of the abstract begin."""
    begin = [tokenizer.bos] if tokenizer.expects_bos else []
    before = begin + tokenizer.encode(f"中文：{paragraph}\n\nEnglish:")
    return before + tokenizer.encode(f" {abstract}"), len(before)


def likelihoods(model, sequences):
    longest = padded(max(len(tokens) for tokens, _ in sequences) - 1)
    ids = torch.zeros(len(sequences), longest, dtype=torch.int64)
    rows, labels = [], []
    for row, (tokens, begin) in enumerate(sequences):
        ids[row, :len(tokens) - 1] = torch.tensor(tokens[:-1])
        rows.append(row * longest + begin - 1 + np.arange(len(tokens) - begin))
        labels.append(tokens[begin:])
    join = lambda parts: torch.from_numpy(np.concatenate(parts)).to(model.device)
    with torch.no_grad():
        none = torch.zeros(0, dtype=torch.int64, device=model.device)
        losses = model.row_losses(ids.to(model.device), join(rows), join(labels), none)
    below = torch.clamp(-losses.cpu() - LEAST, max=0.0)
    return [part.mean().item() for part in below.split([len(part) for part in rows])]


if __name__ == "__main__":
    main()
