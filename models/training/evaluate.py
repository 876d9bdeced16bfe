"""Has the program summarise papers with an adapter, and compares with references.

    evaluate.py WENZHAI ADAPTER.safetensors DEV.jsonl [--papers 300]

Prints one JSON object. `chrf_*` is sacrebleu's chrF2 against the references, 0 to 100. `numbers`
and `names` are the shares of the abstract's numbers, and of its acronyms and CamelCase names, that
the paragraph has; `invented` is the share of summaries with a number that the abstract lacks;
`looped` the share in which twelve characters come three times. All of them are for comparing
adapters: a paragraph can score well and be wrong.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

from sacrebleu.metrics import CHRF

from cleaning import FIELDS, NAME, NUMBER


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("adapter")
    parser.add_argument("dev")
    parser.add_argument("--papers", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="file to keep the summaries in")
    args = parser.parse_args()
    with open(args.dev, encoding="utf8") as lines:
        references = [json.loads(line) for line, _ in zip(lines, range(args.papers))]
    written, account = summarised(args, references)
    print(json.dumps(scores(written, references) | {"account": account}, ensure_ascii=False))


def summarised(args, references):
    """Records by id, and the program's last line on standard error."""
    with tempfile.TemporaryDirectory() as folder:
        papers, out = Path(folder, "papers.jsonl"), args.keep or Path(folder, "out.jsonl")
        papers.write_text("".join(
            json.dumps({key: record[key] for key in ("id", "title", "abstract")}) + "\n"
            for record in references), encoding="utf8")
        ran = subprocess.run(
            [args.program, "digest", "--no-store", "--adapter", args.adapter, "--format", "jsonl",
             "-o", out, papers], stderr=subprocess.PIPE, text=True)
        if ran.returncode not in (0, 2):
            raise RuntimeError(ran.stderr)
        with open(out, encoding="utf8") as lines:
            return {r["id"]: r for r in map(json.loads, lines)}, ran.stderr.strip().split("\n")[-1]


def scores(written, references):
    texts = {field: [(written.get(r["id"]) or {}).get(field) or "" for r in references]
             for field in FIELDS}
    result = {"papers": len(references)}
    for field in FIELDS:
        chrf = CHRF(word_order=0).corpus_score(texts[field], [[r[field] for r in references]])
        result["chrf_" + field.removeprefix("zh_")] = round(chrf.score, 2)
    paragraphs, one_liners = texts["zh_abstract"], texts["zh_tldr"]
    result["numbers"] = kept(NUMBER, references, paragraphs)
    result["names"] = kept(NAME, references, paragraphs)
    share = lambda found: round(sum(found) / len(references), 4)
    result["invented"] = share(
        bool(set(NUMBER.findall(plain(p + " " + o))) - set(re.findall(r"\d+(?:\.\d+)*", source)))
        for p, o, source in zip(paragraphs, one_liners, (plain(r["abstract"] + " " + r["title"])
                                                         for r in references)))
    result["looped"] = share(looped(p) or looped(o) for p, o in zip(paragraphs, one_liners))
    result["complete"] = share(bool(t and p and o) for t, p, o in zip(*texts.values()))
    return result


def plain(text):
    return re.sub(r"(?<=\d),(?=\d)", "", text)


def kept(pattern, references, paragraphs):
    found = total = 0
    for record, paragraph in zip(references, paragraphs):
        wanted = set(pattern.findall(plain(record["abstract"])))
        total += len(wanted)
        found += sum(item in plain(paragraph) for item in wanted)
    return round(found / max(1, total), 4)


def looped(text):
    return any(text.count(text[i:i + 12]) >= 3 for i in range(0, max(0, len(text) - 12), 4))


if __name__ == "__main__":
    main()
