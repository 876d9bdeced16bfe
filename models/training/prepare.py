"""Makes the data file of a training run: cleaned, rated, tokenized, in the order of training.

    prepare.py BASE.gguf PROMPT.toml TRAIN.jsonl.gz DATA.npz [--dev DEV.jsonl] [--terms TERMS.tsv]
        [--rewritten SUMMARIES.jsonl.gz]

Papers from --recent on (a year and month as in arXiv's ids) have summaries in the style that is
wanted: they make up --recent-share of every stretch of the order. The rest are older papers, the
best rated first. Of either, --demanding-share have at least two numbers. Papers come again when all
of their kind were seen; those whose paragraph loses a number are left out. At most --joined-share are
made of two papers, as long as whole abstracts are: those to learn from are cut.

The prompt tells which numbers and names of the abstract to keep as they stand and, with --terms, how
the table of glossary.py translates the terms that it has, as the program does. In training all that
is told is what the summary does, so that the model learns to follow; sometimes nothing is.

With --rewritten come papers at the end whose summaries were written anew, as often as --rewritten-times
says; with --rewritten-alone no others. They stand in a file with `id`, `chars` (how much of the abstract
they are of), and the three fields of a summary.

DATA.npz holds the sequences end to end (`tokens`; `starts` has a sequence's first index, and the
end of the last), where the prompt ends and where the one-liner begins in each (`prompts`,
`one_liners`, both relative), and `order`. With --dev, `dev_tokens` and so on hold papers to measure
the loss on; their summaries are taken as they are.
"""

import argparse
import decimal
import gzip
import json
import random
import re

import numpy as np

from cleaning import FIELDS, NAME, NUMBER, is_recent, joined, plain, read_clean, share_kept
from form import Form
from glossary import read_table, terms_in
from tokenizer import Tokenizer

# One scan for both, so that the 4 of BLEU-4 is no number by itself.
KEPT = re.compile(f"{NUMBER.pattern}|{NAME.pattern}")
ENGLISH_TAIL = re.compile(r"-[a-z]{3,}$")
MOST_TO_KEEP = 20  # numbers and names of a paper
# Numbers with a unit that Chinese has not, and those that it has.
SCALED = re.compile(r"\b([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)[\s-]+((?i:thousand|million|billion|trillion))\b")
MOST_SCALED = 8
WORDS = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
UNITS = [("万亿", 10**12), ("亿", 10**8), ("万", 10**4)]
JOINED_CHARS = range(900, 1850)  # of the abstract of a paper that is made of two


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("prompt", help="the prompt's file, such as ../../prompts/NAME/1.toml")
    parser.add_argument("train")
    parser.add_argument("out")
    parser.add_argument("--dev")
    parser.add_argument("--dev-papers", type=int, default=48)
    parser.add_argument("--recent", default="2405", help="year and month (default: %(default)s)")
    parser.add_argument("--recent-share", type=float, default=0.85)
    parser.add_argument("--demanding-share", type=float, default=0.5)
    parser.add_argument("--min-rating", type=float, default=0.7)
    parser.add_argument("--joined-share", type=float, default=0.0)
    parser.add_argument("--papers", type=int, default=16000, help="length of the order; 0: each paper once")
    parser.add_argument("--max-tokens", type=int, default=640)
    parser.add_argument("--terms", help="table of glossary.py")
    parser.add_argument("--most-terms", type=int, default=16, help="of a paper")
    parser.add_argument("--rewritten", help="summaries that were written anew")
    parser.add_argument("--rewritten-times", type=int, default=2, help="how often each of them comes")
    parser.add_argument("--rewritten-alone", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.rewritten_alone and not args.rewritten:
        parser.error("--rewritten-alone needs --rewritten")
    return args


def main():
    args = parse_arguments()
    rng = random.Random(args.seed)
    form = Form(args.prompt, Tokenizer(args.base))
    records, faults = read_clean(args.train)
    print(f"{len(records)} papers, left out: {dict(faults)}", flush=True)

    better = read_rewritten(args.rewritten, args.train) if args.rewritten else []
    seen = {record["id"] for record in better}
    records = [record for record in records if record["id"] not in seen]
    order = [] if args.rewritten_alone else order_of(records, args, rng)
    order = with_joined(order, records, args, rng)
    indices = [*range(len(records), len(records) + len(better))]
    records += better
    for _ in range(args.rewritten_times if better else 0):
        rng.shuffle(indices)
        order += with_joined(indices, records, args, rng)
    used = sorted(set(order))  # papers that are never reached are not stored
    place = {index: at for at, index in enumerate(used)}
    table = read_table(args.terms) if args.terms else {}
    found = lambda record: terms_in(f"{record['title']}\n{record['abstract']}", table,
                                    args.most_terms)
    sequences = [form.sequence(record, *told_to_learn(record, found(record), rng))
                 for record in (records[index] for index in used)]
    short = [len(tokens) <= args.max_tokens for tokens, *_ in sequences]
    order = [place[index] for index in order if short[place[index]]]
    if not order:
        raise SystemExit("prepare.py: every paper is too long for --max-tokens")
    arrays = packed(sequences, "") | {"order": np.array(order, np.int32)}
    if args.dev:
        with open(args.dev, encoding="utf8") as lines:
            dev = [json.loads(line) for line, _ in zip(lines, range(args.dev_papers))]
        arrays |= packed([form.sequence(record, *told(record, found(record)))
                          for record in dev], "dev_")
    np.savez_compressed(args.out, **arrays)
    total = sum(len(sequences[at][0]) for at in order)
    print(f"{len(order)} papers in the order, {len(used)} different, "
          f"{total / len(order):.0f} tokens each; {short.count(False)} too long")


def read_rewritten(path, train):
    """The papers of `train` with the summaries of `path` that are about them."""
    with gzip.open(path, "rt", encoding="utf8") as lines:
        summaries = {summary["id"]: summary for summary in map(json.loads, lines)}
    records = []
    with gzip.open(train, "rt", encoding="utf8") as lines:
        for record in map(json.loads, lines):
            if summary := summaries.get(record["id"]):
                title, abstract = (" ".join(record[field].split()) for field in ("title", "abstract"))
                records.append(summary | {"title": title, "abstract": abstract[:summary["chars"]]})
    print(f"{len(records)} of {len(summaries)} rewritten summaries are of papers that are here", flush=True)
    return records


def order_of(records, args, rng):
    """Indices of records in the order of training."""
    kinds = {(recent, demanding): [] for recent in (False, True) for demanding in (False, True)}
    for index, record in enumerate(records):
        if record["rating"] >= args.min_rating and share_kept(NUMBER, record) == 1:
            is_demanding = len(set(NUMBER.findall(record["abstract"]))) > 1
            kinds[is_recent(record, args.recent), is_demanding].append(index)
    for (recent, demanding), indices in kinds.items():
        print(f"{len(indices)} papers, recent: {recent}, demanding: {demanding}", flush=True)
    if not args.papers:
        order = [index for indices in kinds.values() for index in indices]
        rng.shuffle(order)
        return order
    for share, at, what in ((args.recent_share, 0, "recent"), (args.demanding_share, 1, "demanding")):
        for is_so in [True] * (share > 0) + [False] * (share < 1):
            if not any(indices for kind, indices in kinds.items() if kind[at] == is_so):
                raise SystemExit(f"prepare.py: no paper that is {'' if is_so else 'not '}{what}; choose --{what}-share otherwise")
    chance = lambda kind: (args.recent_share if kind[0] else 1 - args.recent_share) * \
        (args.demanding_share if kind[1] else 1 - args.demanding_share)
    if not any(indices and chance(kind) > 0 for kind, indices in kinds.items()):
        raise SystemExit("prepare.py: no paper is of a kind that the shares leave; choose other ones")
    waiting, order = {kind: [] for kind in kinds}, []
    while len(order) < args.papers:
        kind = (rng.random() < args.recent_share, rng.random() < args.demanding_share)
        if not kinds[kind]:
            continue
        if not waiting[kind]:
            waiting[kind] = shuffled(kinds[kind], records, kind[0], rng)
        order.append(waiting[kind].pop())
    return order


def with_joined(order, records, args, rng):
    """`order`, in which some papers are joined with one that came before; `records` gets them."""
    result, earlier = [], []
    for index in order:
        record = records[index]
        if earlier and rng.random() < args.joined_share and record["abstract"].endswith("."):
            other = records[rng.choice(earlier)]
            if len(record["abstract"]) + len(other["abstract"]) in JOINED_CHARS:
                records.append(joined(record, other))
                index = len(records) - 1
        else:
            earlier.append(index)
        result.append(index)
    return result


def shuffled(indices, records, recent, rng):
    """`indices` in any order, or the best rated last and chance among equals: they are popped."""
    rank = (lambda index: 0) if recent else (lambda index: round(records[index]["rating"], 2))
    return sorted(indices, key=lambda index: (rank(index), rng.random()))


def told(record, found):
    """What the prompt of `record` tells: (term, translation) pairs of those that were `found`, and
    what to keep."""
    terms = [(term, translation) for term, translation, *_ in found if term != translation]
    # What the table says is the same in Chinese is to be kept, before all else.
    same = [term for term, translation, *_ in found if term == translation]
    translated = {term for term, _ in terms}
    # A unit of English is told in Chinese, and its number not to be kept.
    units = [*SCALED.finditer(record["abstract"])]
    spans = [match.span() for match in units]
    keep = same + [item for at, item in to_keep(record["abstract"]) if item not in translated
                   and not any(start <= at < end for start, end in spans)]
    units = dict((" ".join(match[0].split()), in_chinese(match)) for match in units)
    return terms + [*units.items()][:MOST_SCALED], [*dict.fromkeys(keep)][:max(MOST_TO_KEEP, len(same))]


def in_chinese(match):
    """`7亿` for a match of SCALED that is `700 million`."""
    value = decimal.Decimal(match[1].replace(",", "")) * WORDS[match[2].lower()]
    unit, size = next(((unit, size) for unit, size in UNITS if value >= size), ("", 1))
    return f"{(value / size).normalize():f}{unit}"


def told_to_learn(record, found, rng):
    """The same for training: what the summary follows, or sometimes nothing."""
    if rng.random() < 0.05:
        return [], []
    summary = "\n".join(record[field] for field in FIELDS)
    paragraph = plain(record["zh_abstract"])
    terms, keep = told(record, found)
    return ([pair for pair in terms if pair[1] in summary],
            [item for item in keep if plain(item) in paragraph])


def to_keep(text):
    """Numbers, acronyms and CamelCase names of `text` in the order in which they stand, with their
    places; not what Chinese would say otherwise, such as `LLM-based`."""
    found = [(m.start(), m[0]) for m in KEPT.finditer(text)]
    return [(at, item) for at, item in found if not ENGLISH_TAIL.search(item)]


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
