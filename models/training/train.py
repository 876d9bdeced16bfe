r"""Trains an adapter on a data file of prepare.py until a given time.

    train.py BASE.gguf DATA.npz RUN/ --shortlist SHORTLIST --until 2026-11-25T10:00 \
        [--warm ADAPTER.safetensors]

RUN/ gets `checkpoint.pt` (parameters, their average, optimizer, position; written anew every few
minutes and never half, and where SIGTERM or Ctrl-C asks for an end), `log.jsonl` (a line a report), and
`pid`. When it was killed and is called again, training goes on from the checkpoint and --warm is ignored.

The learning rate falls linearly with the clock, not with the steps, to a twentieth at the end: on a
machine that has other work to do nobody knows how many steps there will be. A new end can be
written to RUN/until at any time.

It runs on a GPU (`--device cuda`) as on a CPU, in bfloat16 where the processor multiplies that
faster.
Memory is bounded by --tokens-a-batch: a batch has at most so many tokens, padding included, and
lengths and numbers of rows are padded to multiples of 64, so that libraries that keep something for
every new shape (oneDNN does) keep little.
"""

import argparse
import datetime
import hashlib
import json
import math
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from model import Model
from tokenizer import Tokenizer

LAST_RATE = 0.05
BETAS, EPSILON = (0.9, 0.98), 1e-8
POOL = 256  # papers that are shuffled among one another
PADDED = 64  # lengths and numbers of rows are multiples of it


def parser_of(description, rate, warmup, average):
    """The arguments that every trainer takes, with its defaults."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("data")
    parser.add_argument("run", type=Path)
    parser.add_argument("--shortlist", required=True, help="the model's output shortlist")
    parser.add_argument("--warm", help="the adapter to begin with")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--warmup", type=int, default=warmup, help="steps")
    parser.add_argument("--average", type=float, default=average, help="decay a step")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of a CPU")
    parser.add_argument("--tokens-a-batch", type=int, default=1024,
                        help="at most, but for a longer sequence (default: %(default)s; 16384 on a "
                             "GPU of 80 GB)")
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def parse_arguments():
    parser = parser_of(__doc__, rate=1e-3, warmup=15, average=0.97)
    parser.add_argument("--until", required=True, help="UTC, such as 2026-11-25T10:00")
    parser.add_argument("--papers-a-step", type=int, default=16)
    parser.add_argument("--one-liner-weight", type=float, default=1.5)
    parser.add_argument("--kept-weight", type=float, default=1.0,
                        help="of tokens with digits or Latin letters, times the other weight")
    parser.add_argument("--edited-weight", type=float, default=1.0,
                        help="of tokens that a reader put there (corrections.py), times the others")
    parser.add_argument("--dev-minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, default=1 << 30)
    return parser.parse_args()


MOST_LEFT_OUT = 10


class Data:
    """Sequences of a data file, and batches of them."""

    def __init__(self, path, shortlist, vocab_size, one_liner_weight, kept_tokens, kept_weight,
                 edited_weight):
        self.arrays = dict(np.load(path))
        self.edited_weight = edited_weight
        self.one_liner_weight = one_liner_weight
        self.token_weight = np.ones(vocab_size, np.float32)
        self.token_weight[kept_tokens] = kept_weight
        self.order = self.arrays["order"]
        self.vocabulary = read_shortlist(shortlist)
        self.index = np.full(vocab_size, -1)
        self.index[self.vocabulary] = np.arange(len(self.vocabulary))
        self.others = np.flatnonzero(self.index < 0)  # fill for batches

    def dev_papers(self):
        return len(self.arrays.get("dev_prompts", ()))

    def sequence(self, at, prefix=""):
        starts = self.arrays[prefix + "starts"]
        return self.arrays[prefix + "tokens"][starts[at]:starts[at + 1]]

    def batch(self, papers, prefix="", weighted=True):
        """Arguments of Model.loss, and the total weight. Rows that are padded have no weight."""
        sequences = [self.sequence(at, prefix) for at in papers]
        longest = padded(max(map(len, sequences)) - 1)
        ids = np.zeros((len(papers), longest), np.int64)
        index, extra = self.outputs(sequences)
        rows, labels, weights = [], [], []
        for row, (at, tokens) in enumerate(zip(papers, sequences)):
            ids[row, :len(tokens) - 1] = tokens[:-1]
            prompt = self.arrays[prefix + "prompts"][at]
            label = index[tokens[prompt:]]
            weight = np.ones(len(label), np.float32)
            if weighted:
                weight = self.token_weight[tokens[prompt:]]
                weight[self.arrays[prefix + "one_liners"][at] - prompt:] *= self.one_liner_weight
                if "edited" in self.arrays:
                    start = self.arrays["starts"][at]
                    marks = self.arrays["edited"][start + prompt:start + len(tokens)]
                    weight[marks] *= self.edited_weight
            rows.append(row * longest + prompt - 1 + np.arange(len(label)))
            labels.append(label)
            weights.append(weight)
        total = float(sum(weight.sum() for weight in weights))
        missing = padded(sum(map(len, rows))) - sum(map(len, rows))
        for part, fill in ((rows, 0), (labels, 0), (weights, 0.0)):
            part.append(np.full(missing, fill, part[0].dtype))
        join = lambda arrays: torch.from_numpy(np.concatenate(arrays))
        arguments = (torch.from_numpy(ids), join(rows), join(labels), join(weights),
                     torch.from_numpy(extra))
        return arguments, total

    def outputs(self, sequences):
        """The index of each token in the output vocabulary, and the tokens beyond the shortlist that
        are in it. The program scores the tokens of its shortlist and those of the prompt; so do we."""
        extra = np.unique(np.concatenate(sequences))
        extra = extra[self.index[extra] < 0]
        more = self.others[~np.isin(self.others, extra)][:padded(len(extra)) - len(extra)]
        extra = np.concatenate([extra, more])
        index = self.index.copy()
        index[extra] = len(self.vocabulary) + np.arange(len(extra))
        return index, extra

    def steps(self, position, papers_a_step, tokens_a_batch, seed):
        """Yields (position after it, batches of one step) for ever, from `position` on. The papers
        of a step are those of a pool in a random order, so a step has long and short ones."""
        size = max(POOL, papers_a_step) // papers_a_step * papers_a_step
        while True:
            pool, skip = divmod(position, size)
            chosen = [self.order[(pool * size + i) % len(self.order)] for i in range(size)]
            random.Random(seed * 1_000_003 + pool).shuffle(chosen)
            for done in range(skip, size, papers_a_step):
                papers = chosen[done:done + papers_a_step]
                position = pool * size + done + len(papers)
                yield position, batches_of(papers, tokens_a_batch, lambda at: len(self.sequence(at)))


def batches_of(papers, tokens, length):
    """`papers` by `length` in batches of at most so many tokens, padding included."""
    batches, batch = [], []
    for at in sorted(papers, key=length):
        if batch and (len(batch) + 1) * padded(length(at)) > tokens:
            batches.append(batch)
            batch = []
        batch.append(at)
    return [*batches, batch] if batch else batches


def padded(count):
    return -(-count // PADDED) * PADDED


def read_shortlist(path):
    """Token ids of a shortlist file: after 16 bytes of header the gaps between them, LEB128."""
    with open(path, "rb") as file:
        content = file.read()
    ids, next_id, gap, shift = [], 0, 0, 0
    for byte in content[16:]:
        gap |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            ids.append(next_id + gap)
            next_id, gap, shift = ids[-1] + 1, 0, 0
    if content[:7] != b"wzshort" or len(ids) != int.from_bytes(content[12:16], "little"):
        raise ValueError(f"{path} is no shortlist")
    return ids


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Trainer:
    """A run: the model, the optimizer's state, and what is written of them."""

    kind = "train"

    def __init__(self, args):
        self.args = args
        self.is_stopped = False  # by a signal
        self.rate = self.length_of_gradient = 0.0
        self.left_out = 0  # steps in a row
        torch.set_num_threads(args.threads)
        tokenizer = Tokenizer(args.base)
        kept = [i for i, text in tokenizer.texts().items() if re.search("[0-9A-Za-z]", text)]
        self.data = Data(args.data, args.shortlist, tokenizer.vocab_size, args.one_liner_weight,
                         kept, args.kept_weight, args.edited_weight)
        checkpoint = args.run / "checkpoint.pt"
        self.model = Model(args.base, args.rank, self.data.vocabulary,
                           None if checkpoint.exists() else args.warm, args.device)
        params = self.model.params
        self.state = {
            "params": params, "average": {n: p.clone() for n, p in params.items()},
            "first": {n: torch.zeros_like(p) for n, p in params.items()},
            "second": {n: torch.zeros_like(p) for n, p in params.items()},
            "step": 0, "position": 0, "tokens": 0, "began": time.time(), "scale": self.model.scale,
            "base": self.model.about.name,
        }
        of = {"trainer": self.kind, "base": self.model.about.name} | self.more_of_run()
        if not args.warm or Path(args.warm).exists():  # a run that goes on needs it no more
            of["warm"] = sha256(args.warm) if args.warm else ""
        self.state["of"] = of
        if checkpoint.exists():
            self.state = torch.load(checkpoint, weights_only=True, map_location=args.device)
            known = self.state.get("of", of)
            others = [name for name in of if known.get(name) != of[name]]
            if others:
                sys.exit(f"{checkpoint} is of another run: other {', '.join(others)}; name another folder")
            self.model.params, self.model.scale = self.state["params"], self.state["scale"]
            self.model.take_over()
            print(f"going on from step {self.state['step']}")

    def more_of_run(self):
        """What else a checkpoint has to be of; papers may be added to the data of a run."""
        return {}

    def end(self):
        """When to end, in seconds since 1970."""
        until = datetime.datetime.fromisoformat((self.args.run / "until").read_text().strip())
        return until.replace(tzinfo=datetime.timezone.utc).timestamp()

    def progress(self):
        """0 at the beginning, 1 at the end, by the clock."""
        began = self.state["began"]
        return (time.time() - began) / max(1.0, self.end() - began)

    def on_device(self, arguments):
        return [argument.to(self.args.device, non_blocking=True) for argument in arguments]

    def step(self, batches):
        """Takes one step; returns the loss in nats a (weighted) token, and the tokens read."""
        made = [self.data.batch(papers) for papers in batches]
        total = sum(weight for _, weight in made)

        def work(arguments):
            loss = self.model.loss(*self.on_device(arguments)) / total
            return loss.detach(), loss

        losses = self.descend(work, [arguments for arguments, _ in made])
        return sum(loss.item() for loss in losses), sum(a[0].numel() for a, _ in made)

    def descend(self, work, batches):
        """Takes a step along the gradients of all batches; `work` gives something to report of a
        batch, and its loss. Returns what is to be reported."""
        leaves, sums, reports = self.model.leaves(), None, []
        for batch in batches:
            report, loss = work(batch)
            found = [gradient.float() for gradient in torch.autograd.grad(loss, leaves)]
            if sums is None:
                sums = found
            else:
                torch._foreach_add_(sums, found)
            reports.append(report)
        self.update(self.model.gradients(sums))
        self.model.take_over()
        return reports

    def update(self, gradients):
        """AdamW without decay of weights, and the running average of the parameters."""
        state, args = self.state, self.args
        grads = [gradients[name] for name in state["params"]]
        length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        if not math.isfinite(length.item()):
            # It would make numbers of everything that are none, in the checkpoint as well.
            self.left_out += 1
            self.report(step=state["step"], left_out="a gradient that is not finite")
            if self.left_out >= MOST_LEFT_OUT:
                sys.exit(f"{self.left_out} gradients in a row are not finite")
            return
        self.left_out = 0
        state["step"] += 1
        step = state["step"]
        torch._foreach_mul_(grads, min(1.0, 1.0 / (length.item() + 1e-6)))
        params, average, first, second = (list(state[key].values())
                                          for key in ("params", "average", "first", "second"))
        torch._foreach_lerp_(first, grads, 1 - BETAS[0])
        torch._foreach_mul_(second, BETAS[1])
        torch._foreach_addcmul_(second, grads, grads, 1 - BETAS[1])
        rate = args.rate * min(1.0, step / args.warmup) * \
            max(LAST_RATE, 1 - (1 - LAST_RATE) * self.progress())
        roots = torch._foreach_sqrt(second)
        torch._foreach_div_(roots, (1 - BETAS[1] ** step) ** 0.5)
        torch._foreach_add_(roots, EPSILON)
        torch._foreach_addcdiv_(params, first, roots, -rate / (1 - BETAS[0] ** step))
        torch._foreach_lerp_(average, params, 1 - min(args.average, step / (step + 10)))
        self.rate, self.length_of_gradient = rate, length.item()

    def dev_loss(self, params=None):
        """Nats a token on the papers to measure on, with `params` or the current ones."""
        current = self.model.params
        self.model.params = params or current
        self.model.take_over()
        batches = batches_of(range(self.data.dev_papers()), self.args.tokens_a_batch,
                             lambda at: len(self.data.sequence(at, "dev_")))
        made = [self.data.batch(papers, "dev_", weighted=False) for papers in batches]
        with torch.no_grad():
            losses = [self.model.loss(*self.on_device(arguments)).item() for arguments, _ in made]
        self.model.params = current
        self.model.take_over()
        return sum(losses) / sum(weight for _, weight in made)

    def save(self):
        path = self.args.run / "checkpoint.pt"
        torch.save(self.state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def report(self, **what):
        line = {"time": datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M:%S")} | what
        print(json.dumps(line), flush=True)
        with open(self.args.run / "log.jsonl", "a", encoding="utf8") as log:
            log.write(json.dumps(line) + "\n")

    def run(self):
        args, state = self.args, self.state
        # An end that was written there since stands, unless another one is asked for now.
        if args.until != state.get("until") or not (args.run / "until").exists():
            (args.run / "until").write_text(args.until)
        state["until"] = args.until
        if self.end() <= time.time():
            sys.exit(f"the end in {args.run / 'until'} has passed; it is in UTC")
        if self.data.dev_papers() and not state["step"]:
            self.report(step=0, dev_loss=round(self.dev_loss(), 4))
        saved = measured = reported = time.time()
        mean, tokens_before = None, state["tokens"]
        steps = self.data.steps(state["position"], args.papers_a_step, args.tokens_a_batch,
                                args.seed)
        for position, batches in steps:
            if self.progress() >= 1 or state["step"] >= args.steps:
                break
            loss, tokens = self.step(batches)
            state["position"], state["tokens"] = position, state["tokens"] + tokens
            mean = loss if mean is None else 0.9 * mean + 0.1 * loss
            now = time.time()
            if state["step"] % 5 == 0:
                speed = (state["tokens"] - tokens_before) / (now - reported)
                reported, tokens_before = now, state["tokens"]
                self.report(step=state["step"], papers=position, tokens=state["tokens"],
                            loss=round(mean, 4), rate=round(self.rate, 6),
                            gradient=round(self.length_of_gradient, 2),
                            tokens_a_second=round(speed))
            if self.is_stopped:
                self.save()
                return
            if now - saved > args.save_minutes * 60:
                self.save()
                saved = now
            if self.data.dev_papers() and now - measured > args.dev_minutes * 60:
                self.report(step=state["step"], dev_loss=round(self.dev_loss(), 4))
                measured = time.time()
        self.save()
        if self.data.dev_papers():
            self.report(step=state["step"], dev_loss=round(self.dev_loss(), 4),
                        dev_loss_of_average=round(self.dev_loss(state["average"]), 4))


def start(trainer, args):
    """Has a trainer of the class `trainer` do what `args` say."""
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "pid").write_text(f"{os.getpid()}\n")
    running = trainer(args)
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in signals}

    def end_of_handling():
        for number in signals:
            signal.signal(number, before[number])

    def stop(*_):
        """The next step is the last; a second signal ends the program."""
        running.is_stopped = True
        end_of_handling()

    for number in signals:
        signal.signal(number, stop)
    try:
        running.run()
    finally:
        end_of_handling()


if __name__ == "__main__":
    start(Trainer, parse_arguments())
