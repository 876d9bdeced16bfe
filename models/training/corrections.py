"""Makes pairs of a summary as the model wrote it and the same one as a reader corrected it.

    corrections.py BASE.gguf PROMPT.toml PAPERS.jsonl PAIRS.npz --draws DRAWS.jsonl... \
        --edits EDITS.jsonl... [--terms TERMS.tsv]
    corrections.py BASE.gguf PROMPT.toml PAPERS.jsonl DATA.npz --alone ...

DRAWS has one summary of each paper of PAPERS, as `cargo run --example draws` writes them; EDITS has a
line for each paper that was read: `id`, and `edits`, a list of `field` (zh_title, zh_abstract or
zh_tldr), `from` and `to`. `from` has to stand in that field just once, and edits do not overlap. What
a reader left as it was teaches nothing, and is left out.

PAIRS.npz is as pairs.py's: the corrected summary is the better one. The two of such a pair differ in
what was wrong and in nothing else, so that learning to prefer one is learning that.

DATA.npz of --alone is for train.py and has the corrected summaries only, some of them to measure on.
Its array `edited` says of each token whether the reader put it there. (Where something was only left
out, it is the token behind the gap.)
"""

import argparse
import difflib
import json
import random

import numpy as np

from cleaning import FIELDS
from form import Form
from glossary import read_table, terms_in
from prepare import packed, told
from tokenizer import Tokenizer


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base")
    parser.add_argument("prompt", help="the prompt's file, such as ../../prompts/NAME/1.toml")
    parser.add_argument("papers", help="id, title and abstract a line, as the draws were made from")
    parser.add_argument("out")
    parser.add_argument("--draws", nargs="+", required=True)
    parser.add_argument("--edits", nargs="+", required=True)
    parser.add_argument("--terms", help="table of glossary.py")
    parser.add_argument("--most-terms", type=int, default=16, help="of a paper")
    parser.add_argument("--max-tokens", type=int, default=1100)
    parser.add_argument("--alone", action="store_true", help="the corrected ones, for train.py")
    parser.add_argument("--held-out", type=int, default=24, help="of those alone, to measure on")
    parser.add_argument("--seed", type=int, default=0, help="of the order of those alone")
    return parser.parse_args()


def main():
    args = parse_arguments()
    form = Form(args.prompt, Tokenizer(args.base))
    table = read_table(args.terms) if args.terms else {}
    papers, draws = by_id([args.papers]), by_id(args.draws)
    pairs, corrected = [], 0
    for reading in by_id(args.edits).values():
        paper, draw = papers[reading["id"]], draws[reading["id"]]
        if not reading["edits"]:
            continue
        found = terms_in(f"{paper['title']}\n{paper['abstract']}", table, args.most_terms)
        pair = [form.sequence(paper | summary, *told(paper, found))
                for summary in (edited(draw, reading["edits"]), draw)]
        if max(len(tokens) for tokens, *_ in pair) <= args.max_tokens:
            pairs.append(pair)
            corrected += len(reading["edits"])
    arrays = alone(pairs, args) if args.alone else {
        **packed([sequence for pair in pairs for sequence in pair], ""),
        "order": np.arange(len(pairs), dtype=np.int32)}
    np.savez_compressed(args.out, **arrays)
    print(f"{len(pairs)} pairs, {corrected} edits, {len(arrays['tokens'])} tokens")


def alone(pairs, args):
    """Arrays of the better ones of `pairs`."""
    random.Random(args.seed).shuffle(pairs)
    if len(pairs) <= args.held_out:
        raise SystemExit(f"corrections.py: {len(pairs)} summaries were corrected; hold fewer than "
                         f"{args.held_out} back with --held-out")
    held_out, pairs = pairs[:args.held_out], pairs[args.held_out:]
    marks = [added(worse, better) for (better, *_), (worse, *_) in pairs]
    return {**packed([better for better, _ in pairs], ""),
            **packed([better for better, _ in held_out], "dev_"),
            "edited": np.concatenate(marks), "order": np.arange(len(pairs), dtype=np.int32)}


def added(before, after):
    """Of each token of `after`, whether it is not of `before`, or follows what was left out of it."""
    marks = np.zeros(len(after), bool)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind != "equal":
            marks[start:max(end, start + 1)] = True
    return marks


def by_id(paths):
    records = {}
    for path in paths:
        with open(path, encoding="utf8") as lines:
            records |= {record["id"]: record for record in map(json.loads, lines)}
    return records


def edited(summary, edits):
    """`summary` with `edits`; ValueError where one of them does not fit."""
    summary = dict(summary)
    for field in FIELDS:
        text, pieces, at = summary[field], [], 0
        spans = sorted((place_of(edit, summary), edit["to"]) for edit in edits
                       if edit["field"] == field)
        for (start, end), to in spans:
            if start < at:
                raise ValueError(f"{summary['id']}: two edits of {field} overlap: {text[start:end]}")
            pieces += text[at:start], to
            at = end
        summary[field] = "".join([*pieces, text[at:]])
    return summary


def place_of(edit, summary):
    text, wrong = summary[edit["field"]], edit["from"]
    if not wrong or text.count(wrong) != 1:
        raise ValueError(f"{summary['id']}: stands {text.count(wrong)} times in {edit['field']}: {wrong}")
    start = text.index(wrong)
    return start, start + len(wrong)


if __name__ == "__main__":
    main()
