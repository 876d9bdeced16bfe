"""Chooses papers to draw summaries of, with titles and abstracts as in training.

    papers.py TRAIN.jsonl.gz PAPERS.jsonl [--seen PAPERS.jsonl...]

Papers have several numbers, most of which the published paragraph keeps; those from --recent on come
first, then older ones, either in any order. Those of the files --seen are left out: the adapter is
to be seen at papers that it has not been corrected on.
"""

import argparse
import json
import random

from cleaning import NUMBER, is_recent, plain, read_clean, share_kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("train")
    parser.add_argument("out")
    parser.add_argument("--seen", nargs="*", default=[])
    parser.add_argument("--papers", type=int, default=1200)
    parser.add_argument("--numbers", type=int, default=2, help="at least, in the abstract")
    parser.add_argument("--kept", type=float, default=0.6, help="share of them, at least")
    parser.add_argument("--recent", default="2405", help="year and month (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    seen = set()
    for path in args.seen:
        with open(path, encoding="utf8") as lines:
            seen.update(json.loads(line)["id"] for line in lines)
    fit = [record for record in read_clean(args.train)[0]
           if record["id"] not in seen and share_kept(NUMBER, record) >= args.kept
           and len(set(NUMBER.findall(plain(record["abstract"])))) >= args.numbers]
    random.Random(args.seed).shuffle(fit)
    is_old = lambda record: not is_recent(record, args.recent)
    chosen = sorted(fit, key=is_old)[:args.papers]
    with open(args.out, "w", encoding="utf8") as out:
        for record in chosen:
            line = {key: record[key] for key in ("id", "title", "abstract")}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{len(chosen)} papers of {len(fit)}, {sum(map(is_old, chosen))} of them older")


if __name__ == "__main__":
    main()
