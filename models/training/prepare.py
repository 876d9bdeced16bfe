"""Makes the data file of a training run: cleaned, rated, tokenized, in the order of training.

    prepare.py BASE.gguf TRAIN.jsonl.gz DATA.npz [--dev DEV.jsonl] [--terms TERMS.tsv]

Papers from --recent on (a year and month as in arXiv's ids) have summaries in the style that is
wanted: they make up --recent-share of every stretch of the order, and come again when all were
seen. The rest is filled up with older papers, the best rated first, each once.

With --terms, the prompt tells the terms of the table of glossary.py that a paper has, as the program
does. In training nearly all of them are those that the summary uses, so that the model learns to
follow what it is told; now and then one is a name that stays as it is, and sometimes there is none.

DATA.npz holds the sequences end to end (`tokens`; `starts` has a sequence's first index, and the
end of the last), where the prompt ends and where the one-liner begins in each (`prompts`,
`one_liners`, both relative), and `order`. With --dev, `dev_tokens` and so on hold papers to measure
the loss on; their summaries are taken as they are.
"""

import argparse
import json
import random

import numpy as np

from cleaning import FIELDS, NAME, read_clean
from glossary import read_table, terms_in
from tokenizer import Tokenizer


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("train")
    parser.add_argument("out")
    parser.add_argument("--dev")
    parser.add_argument("--dev-papers", type=int, default=48)
    parser.add_argument("--recent", default="2405", help="year and month (default: %(default)s)")
    parser.add_argument("--recent-share", type=float, default=0.85)
    parser.add_argument("--min-rating", type=float, default=0.7)
    parser.add_argument("--papers", type=int, default=16000, help="length of the order")
    parser.add_argument("--max-tokens", type=int, default=640)
    parser.add_argument("--terms", help="table of glossary.py")
    parser.add_argument("--most-terms", type=int, default=8, help="of a paper")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    args = parse_arguments()
    rng = random.Random(args.seed)
    tokenizer = Tokenizer(args.base)
    records, faults = read_clean(args.train)
    print(f"{len(records)} papers, left out: {dict(faults)}", flush=True)

    order = order_of(records, args, rng)
    used = sorted(set(order))  # papers that are never reached are not stored
    place = {index: at for at, index in enumerate(used)}
    table = read_table(args.terms) if args.terms else {}
    found = lambda record: terms_in(f"{record['title']}\n{record['abstract']}", table,
                                    args.most_terms)
    sequences = [sequence(tokenizer, record, terms_to_learn(record, found(record), rng))
                 for record in (records[index] for index in used)]
    short = [len(tokens) <= args.max_tokens for tokens, *_ in sequences]
    order = [place[index] for index in order if short[place[index]]]
    arrays = packed(sequences, "") | {"order": np.array(order, np.int32)}
    if args.dev:
        with open(args.dev, encoding="utf8") as lines:
            dev = [json.loads(line) for line, _ in zip(lines, range(args.dev_papers))]
        arrays |= packed([sequence(tokenizer, record, [pair[:2] for pair in found(record)])
                          for record in dev], "dev_")
    np.savez_compressed(args.out, **arrays)
    total = sum(len(sequences[at][0]) for at in order)
    print(f"{len(order)} papers in the order, {len(used)} different, "
          f"{total / len(order):.0f} tokens each; {short.count(False)} too long")


def order_of(records, args, rng):
    """Indices of records in the order of training."""
    recent_indices, older = [], []
    for index, record in enumerate(records):
        if record["rating"] >= args.min_rating:
            is_recent = record["id"][:4].isdigit() and record["id"][:4] >= args.recent
            (recent_indices if is_recent else older).append(index)
    # Ties are many at full recall; among them chance decides.
    older.sort(key=lambda index: (-round(records[index]["rating"], 2), rng.random()))
    print(f"{len(recent_indices)} recent papers rated well enough, {len(older)} older", flush=True)
    older.reverse()
    recent, order = [], []
    while len(order) < args.papers:
        if older and rng.random() >= args.recent_share:
            order.append(older.pop())
            continue
        if not recent:
            recent = recent_indices.copy()
            rng.shuffle(recent)
        order.append(recent.pop())
    return order


def terms_to_learn(record, found, rng):
    """(term, translation) pairs for the prompt of `record`, of those that were `found` in it."""
    if rng.random() < 0.1:
        return []
    summary = "\n".join(record[field] for field in FIELDS)
    share = lambda translation: 0.9 if translation in summary else 0.05
    terms = [(term, translation) for term, translation, _ in found
             if rng.random() < share(translation)]
    names = sorted(name for name in set(NAME.findall(record["abstract"]))
                   if name in record["zh_abstract"])
    if names and rng.random() < 0.15:
        name = rng.choice(names)
        terms.insert(rng.randrange(len(terms) + 1), (name, name))
    return terms


def sequence(tokenizer, record, terms):
    """Ids of prompt and target, where the prompt ends, and where the one-liner's label begins.

    Prompt, labels and fields are tokenized one by one, as the program does."""
    ids = [tokenizer.bos]
    told = "；".join(f"{term}={translation}" for term, translation in terms)
    told = f"\nTerms: {told}" if terms else ""
    ids += tokenizer.encode(
        f"Title: {record['title']}\nAbstract: {record['abstract']}{told}\n标题：")
    prompt = len(ids)
    ids += tokenizer.encode(record["zh_title"])
    ids += tokenizer.encode("\n摘要：") + tokenizer.encode(record["zh_abstract"])
    one_liner = len(ids)
    ids += tokenizer.encode("\n一句话：") + tokenizer.encode(record["zh_tldr"] + "\n")
    return ids + [tokenizer.eos], prompt, one_liner


def packed(sequences, prefix):
    lengths = [len(ids) for ids, *_ in sequences]
    return {
        prefix + "tokens": np.array([i for ids, *_ in sequences for i in ids], np.int32),
        prefix + "starts": np.cumsum([0, *lengths]).astype(np.int64),
        prefix + "prompts": np.array([prompt for _, prompt, _ in sequences], np.int32),
        prefix + "one_liners": np.array([start for *_, start in sequences], np.int32),
    }


if __name__ == "__main__":
    main()
