r"""Trains an adapter to prefer the better summary of each pair of pairs.py.

    prefer.py BASE.gguf PAIRS.npz RUN/ --shortlist SHORTLIST --warm ADAPTER.safetensors

The loss is that of direct preference optimization (Rafailov et al., 2023, arXiv:2305.18290) with
the adapter it begins with as the reference, plus the mean loss of the better summary's tokens, which
keeps it likely by itself (Pang et al., 2024, arXiv:2404.19733). RUN/ is as train.py's, and a killed
run goes on from its checkpoint.
"""

import random
import time

import torch
import torch.nn.functional as F

import train


def parse_arguments():
    parser = train.parser_of(__doc__, rate=1e-4, warmup=5, average=0.9)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--likelihood", type=float, default=1.0,
                        help="weight of the better summary's own loss")
    parser.add_argument("--pairs-a-step", type=int, default=16)
    parser.add_argument("--pairs-a-batch", type=int, default=2)
    parser.add_argument("--held-out", type=int, default=32, help="pairs to measure on")
    parser.add_argument("--epochs", type=float, default=1.0)
    args = parser.parse_args()
    if not args.warm:
        parser.error("--warm is needed: it is the reference as well")
    args.one_liner_weight = args.kept_weight = 1.0
    return args


class Trainer(train.Trainer):
    """Of pairs. `state["margins"]` is how much likelier the reference finds the better one of each,
    in nats."""

    def __init__(self, args):
        super().__init__(args)
        pairs = list(map(int, self.data.order))
        random.Random(args.seed).shuffle(pairs)
        self.held_out, pairs = pairs[:args.held_out], pairs[args.held_out:]
        self.data.order = [2 * pair + which for pair in pairs for which in (0, 1)]  # for compile
        pool = 16 * args.pairs_a_step
        self.plan = []
        for start in range(0, len(pairs), pool):
            some = sorted(pairs[start:start + pool], key=self.length)
            batches = [some[i:i + args.pairs_a_batch]
                       for i in range(0, len(some), args.pairs_a_batch)]
            random.Random(start).shuffle(batches)
            size = args.pairs_a_step // args.pairs_a_batch
            self.plan += [batches[i:i + size] for i in range(0, len(batches), size)]
        self.total_steps = int(args.epochs * len(self.plan))

    def length(self, pair):
        return max(len(self.data.sequence(2 * pair + which)) for which in (0, 1))

    def progress(self):
        return self.state["step"] / max(1, self.total_steps)

    def sums(self, pairs):
        """Summed losses of better and worse summaries, and the numbers of tokens of the better."""
        papers = [2 * pair + which for pair in pairs for which in (0, 1)]
        (ids, rows, labels, _, extra), _ = self.data.batch(papers, weighted=False)
        counts = [len(self.data.sequence(at)) - int(self.data.arrays["prompts"][at])
                  for at in papers]
        rows = self.model.row_losses(ids, rows, labels, extra)
        sums = torch.stack([part.sum() for part in rows.split(counts)])
        return sums[::2], sums[1::2], torch.tensor(counts[::2])

    def measure(self, pairs):
        """Margins of `pairs` by the current parameters, and their losses a token."""
        pairs = sorted(pairs, key=self.length)
        size = self.args.pairs_a_batch
        batches = [pairs[i:i + size] for i in range(0, len(pairs), size)]

        def work(batch):
            with torch.no_grad():
                better, worse, counts = self.sums(batch)
                return worse - better, better / counts

        found = list(self.threads.map(work, batches))
        margins = torch.cat([margins for margins, _ in found])
        return dict(zip(pairs, margins.tolist())), torch.cat([n for _, n in found]).mean().item()

    def pair_step(self, batches):
        """Takes one step; returns the loss, the share of pairs whose margin has grown, by how much on
        average, and the better summaries' nats a token."""
        total = sum(map(len, batches))
        leaves = self.model.leaves()
        args = self.args

        def work(batch):
            better, worse, counts = self.sums(batch)
            margins = worse - better - torch.tensor([self.state["margins"][pair] for pair in batch])
            loss = (-F.logsigmoid(args.beta * margins) + args.likelihood * better / counts).sum()
            loss = loss / total
            report = loss.item(), margins.detach(), (better / counts).detach()
            return report, torch.autograd.grad(loss, leaves)

        losses, margins, nats = zip(*self.descend(work, batches))
        margins = torch.cat(margins)
        return (sum(losses), (margins > 0).float().mean().item(), margins.mean().item(),
                torch.cat(nats).mean().item())

    def refer(self):
        """Keeps the margins by the adapter that the run begins with."""
        planned = [pair for step in self.plan[:self.total_steps] for batch in step for pair in batch]
        self.state["margins"], nats = self.measure(self.held_out + planned)
        self.save()
        self.report(step=0, pairs=len(self.state["margins"]), nats=round(nats, 4))

    def report_held_out(self):
        margins, nats = self.measure(self.held_out)
        grown = [margins[pair] - self.state["margins"][pair] for pair in self.held_out]
        self.report(step=self.state["step"], held_out_right=round(sum(g > 0 for g in grown)
                    / len(grown), 3), held_out_margin=round(sum(grown) / len(grown), 3),
                    held_out_nats=round(nats, 4))

    def run(self):
        args, state = self.args, self.state
        self.merge()
        self.compile()
        if "margins" not in state:
            self.refer()
        saved, means = time.time(), None
        while state["step"] < self.total_steps:
            batches = self.plan[state["step"] % len(self.plan)]
            found = self.pair_step(batches)
            state["position"] += 2 * sum(map(len, batches))
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
        self.report_held_out()


if __name__ == "__main__":
    train.start(Trainer, parse_arguments())
