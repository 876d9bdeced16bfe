r"""Trains an adapter to prefer the better summary of each pair of pairs.py.

    prefer.py BASE.gguf PAIRS.npz RUN/ --shortlist SHORTLIST --warm ADAPTER.safetensors

The loss is that of direct preference optimization (Rafailov et al., 2023, arXiv:2305.18290) with
the adapter it begins with as the reference, plus the mean loss of the better summary's tokens,
which keeps it likely by itself (Pang et al., 2024, arXiv:2404.19733). RUN/ is as train.py's, and a
killed run goes on from its checkpoint.
"""

import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import train


def parse_arguments():
    parser = train.parser_of(__doc__, rate=1e-4, warmup=5, average=0.9)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--likelihood", type=float, default=1.0,
                        help="weight of the better summary's own loss")
    parser.add_argument("--pairs-a-step", type=int, default=16)
    parser.add_argument("--held-out", type=int, default=32, help="pairs to measure on")
    parser.add_argument("--epochs", type=float, default=1.0)
    args = parser.parse_args()
    if not args.warm:
        parser.error("--warm is needed: it is the reference as well")
    args.one_liner_weight = args.kept_weight = args.edited_weight = 1.0
    return args


class Trainer(train.Trainer):
    """Of pairs. `state["margins"]` is how much likelier the reference finds the better one of each,
    in nats."""

    kind = "prefer"

    def __init__(self, args):
        super().__init__(args)
        pairs = list(map(int, self.data.order))
        random.Random(args.seed).shuffle(pairs)
        self.held_out, pairs = pairs[:args.held_out], pairs[args.held_out:]
        self.plan = [pairs[at:at + args.pairs_a_step]
                     for at in range(0, len(pairs), args.pairs_a_step)]
        self.total_steps = int(args.epochs * len(self.plan))

    def more_of_run(self):
        return {"pairs": train.sha256(self.args.data)}

    def batches(self, pairs):
        length = lambda pair: len(self.packed(pair)[0])
        return train.batches_of(pairs, self.args.tokens_a_batch, length)

    def progress(self):
        return self.state["step"] / max(1, self.total_steps)

    def packed(self, pair):
        """Both summaries of a pair as one sequence: the better one, and behind it the worse one from
        where they part, since what both begin with need not be computed twice. Gives its tokens,
        their positions, the part that the worse one does not see, and rows and labels of each."""
        better, worse = (self.data.sequence(at) for at in (2 * pair, 2 * pair + 1))
        prompt, shorter = int(self.data.arrays["prompts"][2 * pair]), min(len(better), len(worse))
        different = np.flatnonzero(better[:shorter] != worse[:shorter])
        part, end = int(different[0]) if len(different) else shorter - 1, len(better) - 1
        ids = np.concatenate([better[:-1], worse[part:-1]])
        positions = np.concatenate([np.arange(end), np.arange(part, len(worse) - 1)])
        rows = (np.arange(prompt - 1, end),
                np.concatenate([np.arange(prompt - 1, part), np.arange(end, len(ids))]))
        return ids, positions, (part, end), rows, (better[prompt:], worse[prompt:])

    def batch(self, pairs):
        """Arguments of Model.row_losses, and how many rows each summary has; behind them is
        padding."""
        made = [self.packed(pair) for pair in pairs]
        longest = train.padded(max(len(ids) for ids, *_ in made))
        ids, positions = np.zeros((2, len(pairs), longest), np.int64)
        visible = np.tri(longest, dtype=bool)[None].repeat(len(pairs), 0)
        index, extra = self.data.outputs([self.data.sequence(at) for pair in pairs
                                          for at in (2 * pair, 2 * pair + 1)])
        rows, labels = [], []
        for at, (tokens, places, (part, end), of_both, labels_of_both) in enumerate(made):
            ids[at, :len(tokens)], positions[at, :len(tokens)] = tokens, places
            visible[at, end:, part:end] = False
            rows += [at * longest + of_one for of_one in of_both]
            labels += [index[of_one] for of_one in labels_of_both]
        counts = [len(of_one) for of_one in rows]
        missing = np.zeros(train.padded(sum(counts)) - sum(counts), np.int64)
        arrays = (ids, np.concatenate([*rows, missing]), np.concatenate([*labels, missing]), extra,
                  positions, visible)
        return [torch.from_numpy(array) for array in arrays], counts

    def sums(self, pairs):
        """Summed losses of better and worse summaries, and the numbers of tokens of the better."""
        arguments, counts = self.batch(pairs)
        losses = self.model.row_losses(*self.on_device(arguments))
        sums = torch.stack([part.sum() for part in losses[:sum(counts)].split(counts)])
        return sums[::2], sums[1::2], torch.tensor(counts[::2], device=sums.device)

    def measure(self, pairs):
        """Margins of `pairs` by the current parameters, and the better ones' nats a token."""
        margins, nats = {}, []
        for batch in self.batches(pairs):
            with torch.no_grad():
                better, worse, counts = self.sums(batch)
            margins |= zip(batch, (worse - better).tolist())
            nats += (better / counts).tolist()
        return margins, sum(nats) / len(nats)

    def pair_step(self, pairs):
        """Takes one step; returns the loss, the share of pairs whose margin has grown, by how much
        on average, and the better summaries' nats a token."""
        args, reference = self.args, self.state["margins"]

        def work(batch):
            better, worse, counts = self.sums(batch)
            margins = worse - better
            margins = margins - margins.new_tensor([reference[pair] for pair in batch])
            nats = better / counts
            losses = args.likelihood * nats - F.logsigmoid(args.beta * margins)
            return torch.stack([losses, (margins > 0).float(), margins, nats]).detach(), \
                losses.sum() / len(pairs)

        return torch.cat(self.descend(work, self.batches(pairs)), 1).mean(1).tolist()

    def refer(self):
        """Keeps the margins by the adapter that the run begins with; a run that ends in the midst of it goes
        on there."""
        # Of all: the run may go on for more epochs, when this adapter is no longer there.
        planned = sorted({pair for pairs in self.plan for pair in pairs})
        found, saved = self.state.setdefault("margins_so_far", {}), time.time()
        waiting = [pair for pair in self.held_out + planned if pair not in found]
        for batch in self.batches(waiting):
            margins, _ = self.measure(batch)
            found |= margins
            if self.is_stopped or time.time() - saved > self.args.save_minutes * 60:
                self.save()
                saved = time.time()
            if self.is_stopped:
                return
        self.state["margins"] = self.state.pop("margins_so_far")
        self.save()
        self.report(step=0, pairs=len(self.state["margins"]))

    def report_held_out(self):
        if not self.held_out:
            return
        margins, nats = self.measure(self.held_out)
        grown = [margins[pair] - self.state["margins"][pair] for pair in self.held_out]
        self.report(step=self.state["step"],
                    held_out_right=round(sum(g > 0 for g in grown) / len(grown), 3),
                    held_out_margin=round(sum(grown) / len(grown), 3), held_out_nats=round(nats, 4))

    def run(self):
        args, state = self.args, self.state
        if "margins" not in state:
            self.refer()
        saved, means = time.time(), None
        while state["step"] < self.total_steps and not self.is_stopped:
            pairs = self.plan[state["step"] % len(self.plan)]
            found = self.pair_step(pairs)
            state["position"] += 2 * len(pairs)
            means = found if means is None else [0.8 * m + 0.2 * f for m, f in zip(means, found)]
            if state["step"] % 5 == 0:
                loss, right, margin, nats = (round(m, 4) for m in means)
                self.report(step=state["step"], loss=loss, right=right, margin=margin, nats=nats,
                            rate=round(self.rate, 6), gradient=round(self.length_of_gradient, 2))
            if state["step"] % 20 == 0:
                self.report_held_out()
            if time.time() - saved > args.save_minutes * 60:
                self.save()
                saved = time.time()
        self.save()
        if not self.is_stopped:
            self.report_held_out()


if __name__ == "__main__":
    train.start(Trainer, parse_arguments())
