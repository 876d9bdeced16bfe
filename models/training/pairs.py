"""Makes pairs of summaries to prefer one over the other, from several that the model wrote itself.

    pairs.py BASE.gguf PROMPT.toml TRAIN.jsonl.gz PAIRS.npz DRAWS.jsonl... [--terms TERMS.tsv]

DRAWS has several summaries of each paper, as `cargo run --example draws` writes them. Of a paper's
summaries the best and the worst are a pair where they are far enough apart; but the better one may
have no more of any fault, or one fault would be unlearnt at the price of another. What is good is
likeness to the reference (chrF, precision and recall counted alike) less fines for what a reader
would miss or see twice: numbers and names of the abstract that the paragraph lacks, numbers that
come more often than in the abstract, and text that repeats itself. Draws that likelihood.py has rated
are worth more the likelier they make the abstract, which alone of all this sees meaning.

PAIRS.npz is as prepare.py's file, sequence 2i being the better and 2i + 1 the worse of pair i, under
the prompt that both were written for.
"""

import argparse
import collections
import functools
import json
import operator
import re

import numpy as np
from sacrebleu.metrics import CHRF

from cleaning import FIELDS, NAME, NUMBER, joined, plain, read_clean, written_numbers
from form import Form
from glossary import read_table, terms_in
from prepare import packed, told
from tokenizer import Tokenizer

LIKENESS = {"zh_title": 0.2, "zh_abstract": 1.0, "zh_tldr": 0.4}
LOST_NUMBER, LOST_NAME, AGAIN, REPEATED = 12.0, 8.0, 5.0, 1.0
# Of a nat. Two summaries of a paper differ by 0.08 nats, and by some five points of chrF.
LIKELIHOOD = 100.0
RUN = 7  # characters that hardly come twice by chance


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("prompt", help="the prompt's file, such as ../../prompts/NAME/1.toml")
    parser.add_argument("train")
    parser.add_argument("out")
    parser.add_argument("draws", nargs="+")
    parser.add_argument("--terms", help="table of glossary.py")
    parser.add_argument("--most-terms", type=int, default=16, help="of a paper")
    parser.add_argument("--min-gap", type=float, default=7.0, help="between the two of a pair")
    parser.add_argument("--most-pairs", type=int, default=1 << 30, help="those furthest apart")
    parser.add_argument("--max-tokens", type=int, default=1000)
    return parser.parse_args()


def value(record, summary, chrf):
    likeness = sum(weight * chrf.sentence_score(summary[field], [record[field]]).score
                   for field, weight in LIKENESS.items())
    likely = LIKELIHOOD * summary.get("likelihood", 0.0)
    return likeness + likely - fines(record, summary)


def fines(record, summary):
    numbers, names, again, repeated = faults(record, summary)
    return (LOST_NUMBER * min(numbers, 4) + LOST_NAME * min(names, 3) + AGAIN * again
            + REPEATED * repeated)


def numbers_again(record, summary):
    """How often the paragraph states numbers beyond how often the abstract does."""
    there = collections.Counter(NUMBER.findall(plain(record["abstract"])))
    here = collections.Counter(written_numbers(plain(summary["zh_abstract"])))
    return sum(max(0, here[number] - max(1, there[number])) for number in here if len(number) > 1)


def lost(pattern, record, summary):
    """How many of what `pattern` finds in the abstract the paragraph lacks."""
    paragraph = plain(summary["zh_abstract"])
    return sum(item not in paragraph for item in set(pattern.findall(plain(record["abstract"]))))


def repeats(text):
    """How many runs of characters stand in the text before already, names left aside."""
    text = re.sub(r"[0-9A-Za-z ,.、，-]+", " ", text)
    runs = [text[i:i + RUN] for i in range(len(text) - RUN + 1)]
    return len(runs) - len(set(runs))


def main():
    args = parse_arguments()
    form, chrf = Form(args.prompt, Tokenizer(args.base)), CHRF(word_order=0, beta=1)
    table = read_table(args.terms) if args.terms else {}
    written = collections.defaultdict(list)
    for path in args.draws:
        with open(path, encoding="utf8") as lines:
            for summary in map(json.loads, lines):
                if all(summary.get(field) for field in FIELDS):
                    written[summary["id"]].append(summary)
    records = {record["id"]: record for record in read_clean(args.train)[0]}
    pairs = []
    for name, summaries in written.items():
        record = functools.reduce(joined, map(records.get, name.split("+")))
        pair = pair_of(record, summaries, chrf, args)
        if pair:
            found = terms_in(f"{record['title']}\n{record['abstract']}", table, args.most_terms)
            gap, summaries = pair
            sequences = [form.sequence(record | summary, *told(record, found))
                         for summary in summaries]
            if max(len(tokens) for tokens, *_ in sequences) <= args.max_tokens:
                pairs.append((gap, sequences, [lost(NUMBER, record, s) for s in summaries]))
    pairs = sorted(pairs, key=lambda pair: -pair[0])[:args.most_pairs]
    sequences = [one for _, both, _ in pairs for one in both]
    arrays = packed(sequences, "") | {"order": np.arange(len(pairs), dtype=np.int32)}
    np.savez_compressed(args.out, **arrays)
    better, worse = (sum(numbers[which] for *_, numbers in pairs) for which in (0, 1))
    print(f"{len(pairs)} pairs, {np.mean([gap for gap, *_ in pairs]):.1f} apart, "
          f"{len(arrays['tokens'])} tokens; numbers lost by the better {better}, by the worse "
          f"{worse}; tokens of the paragraphs {mean_length(sequences[::2])} and "
          f"{mean_length(sequences[1::2])}")


def pair_of(record, summaries, chrf, args):
    """How far the two of `summaries` are apart that are furthest from each other and of which the
    better has no more of any fault, and the two; None where it is too little."""
    different = {tuple(summary[field] for field in FIELDS): summary for summary in summaries}
    rated = [(value(record, summary, chrf), faults(record, summary), texts)
             for texts, summary in different.items()]
    gaps = [(better[0] - worse[0], better[2], worse[2]) for better in rated for worse in rated
            if all(map(operator.le, better[1], worse[1]))]
    gap, *both = max(gaps, default=(0.0,))
    if gap < args.min_gap:
        return None
    return gap, [dict(zip(FIELDS, texts)) for texts in both]


def faults(record, summary):
    return (lost(NUMBER, record, summary), lost(NAME, record, summary),
            numbers_again(record, summary), repeats(summary["zh_abstract"]))


def mean_length(sequences):
    return round(np.mean([one_liner - prompt for _, prompt, one_liner in sequences]), 1)


if __name__ == "__main__":
    main()
