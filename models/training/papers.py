"""Chooses papers to draw summaries of, with titles and abstracts as in training.

    papers.py TRAIN.jsonl.gz PAPERS.jsonl [--seen PAPERS.jsonl...] [--joined COUNT]

Papers have several numbers, most of which the published paragraph keeps; those from --recent on come
first, then older ones, either in any order. Those of the files --seen are left out: the adapter is
to be seen at papers that it has not been corrected on. --joined adds papers that are made of two
like each other, as long as whole abstracts are.
"""

import argparse
import collections
import json
import math
import random
import re

from cleaning import NUMBER, is_recent, joined, plain, read_clean, share_kept

JOINED_CHARS = range(1250, 1850)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("train")
    parser.add_argument("out")
    parser.add_argument("--seen", nargs="*", default=[])
    parser.add_argument("--papers", type=int, default=1200)
    parser.add_argument("--numbers", type=int, default=2, help="at least, in the abstract")
    parser.add_argument("--kept", type=float, default=0.6, help="share of them, at least")
    parser.add_argument("--recent", default="2405", help="year and month (default: %(default)s)")
    parser.add_argument("--joined", type=int, default=0)
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    seen = set()
    for path in args.seen:
        with open(path, encoding="utf8") as lines:
            for line in lines:
                seen.update(json.loads(line)["id"].split("+"))
    new = [record for record in read_clean(args.train)[0] if record["id"] not in seen]
    fit = [record for record in new if share_kept(NUMBER, record) >= args.kept
           and numbers(record) >= args.numbers]
    random.Random(args.seed).shuffle(fit)
    is_old = lambda record: not is_recent(record, args.recent)
    chosen = sorted(fit, key=is_old)[:args.papers]
    print(f"{len(chosen)} papers of {len(fit)}, {sum(map(is_old, chosen))} of them older")
    if args.joined:
        chosen += pairs_alike(new, chosen, args)
    with open(args.out, "w", encoding="utf8") as out:
        for record in chosen:
            line = {key: record[key] for key in ("id", "title", "abstract")}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def numbers(record):
    return len(set(NUMBER.findall(plain(record["abstract"]))))


def pairs_alike(records, chosen, args):
    """Papers made of two, the second of which is the most like the first of all that fit behind it
    and are not taken yet."""
    taken = {record["id"] for record in chosen}
    fit = [record for record in records if record["id"] not in taken and numbers(record)
           and share_kept(NUMBER, record) >= args.kept]
    words = {record["id"]: set(re.findall(r"[a-z]{4,}", record["abstract"].lower()))
             for record in fit}
    papers_with = collections.Counter(word for of_one in words.values() for word in of_one)
    weight = {word: math.log(len(fit) / count) for word, count in papers_with.items()}
    random.Random(args.seed).shuffle(fit)
    made = []
    for first in fit:
        if len(made) == args.joined:
            break
        if first["id"] in taken or not first["abstract"].endswith("."):
            continue
        seconds = [second for second in fit if second["id"] not in taken | {first["id"]}
                   and len(first["abstract"]) + len(second["abstract"]) in JOINED_CHARS
                   and numbers(first) + numbers(second) >= args.numbers]
        alike = lambda second: (sum(map(weight.get, words[first["id"]] & words[second["id"]]))
                                / math.sqrt(len(words[second["id"]])))
        second = max(seconds, key=alike, default=None)
        if second:
            taken |= {first["id"], second["id"]}
            made.append(joined(first, second))
    print(f"{len(made)} papers of two")
    return made


if __name__ == "__main__":
    main()
