#!/usr/bin/env python3
"""Lets a digest of many papers run to its end, and tells whether it takes as much memory and as long a
paper at the end as at the beginning.

usage: scripts/soak.py WENZHAI INPUT PAPERS MODEL REPORT [OPTION...]
       options go to `wenzhai digest`, such as --batch 32

INPUT is a feed or records, in any form that is read. Where it has fewer papers than PAPERS, more are
invented from them: sentences of their abstracts in other orders, of one length each, under titles and
ids of their own. REPORT is a file of JSON: memory by the number of finished papers, papers an hour of
each tenth. Afterwards the exit status is 1 where papers are missing, or memory has grown by more than
5 % from the second tenth of the papers to the last one.

Papers are written about in the order of the lengths of their abstracts, the longest first. So tenths
can be compared where papers are invented; those of a feed get faster.

needs: Linux, the model's weights; nothing but Python's standard library
"""
import json
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE_EVERY_S = 5
TENTHS = 10
MAX_GROWTH = 0.05
MIB = 1 << 20


def main(wenzhai, paper_source, count, model, report_path, *options):
    count = int(count)
    if count < 10 * TENTHS:
        sys.exit(f"give {10 * TENTHS} papers or more: of fewer nothing can be told")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        given = papers_of(wenzhai, paper_source)
        papers = given[:count] if len(given) >= count else invented(given, count)
        records = folder / "papers.jsonl"
        lines = (json.dumps(paper, ensure_ascii=False) + "\n" for paper in papers)
        records.write_text("".join(lines), encoding="utf-8")
        store, digest = folder / "store.sqlite", folder / "digest.md"
        command = [wenzhai, "digest", str(records), "--model", model, "--config", "none", *options]
        command += ["--quiet", "--announce", "all", "--store", str(store), "-o", str(digest)]
        began = time.time()
        run = subprocess.Popen(command)
        samples = watch(run, store, began, count)
        took_s = time.time() - began
        times, marked, retries = finished(store)
        rows = sum(line.startswith("| [^") for line in digest.read_text("utf-8").splitlines()) \
            if digest.exists() else 0
    report = {
        "command": command,
        "papers": count,
        "invented": len(given) < count,
        "status": run.returncode,
        "seconds": round(took_s),
        "summarised": len(times),
        "rows_of_digest": rows,
        "marked": marked,
        "tried_again": retries,
        "papers_per_hour": round(3600 * len(times) / took_s),
        "papers_per_hour_of_tenths": rates(times, began),
        "memory": memory(samples, count),
        "samples": samples,
    }
    Path(report_path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    tell(report)
    sys.exit(fault(report))


def papers_of(wenzhai, paper_source):
    """The papers of a feed or of records, as records without summaries."""
    command = [wenzhai, "digest", paper_source, "--dry-run", "--config", "none", "--announce", "all"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    papers = [json.loads(line) for line in listed.decode("utf-8").splitlines()]
    papers = [paper for paper in papers if paper["abstract"].strip()]
    if not papers:
        sys.exit(f"{paper_source} has no paper with an abstract")
    return papers


def invented(given, count):
    """So many papers, each with an abstract of about as many characters as half of those given have
    at least."""
    length = round(statistics.median(len(plain(paper["abstract"])) for paper in given))
    sentences = [re.split(r"(?<=[.?!]) +", plain(paper["abstract"])) for paper in given]
    papers = []
    for number in range(count):
        of, turn = number % len(given), number // len(given)
        order = random.Random(number)
        text = ""
        # Where one paper's sentences are not enough, another one's follow.
        for other in range(len(given)):
            texts = sentences[(of + other) % len(given)]
            text = " ".join([text, *order.sample(texts, len(texts))]).strip()
            if len(text) > length:
                break
        cut = text[:length].rsplit(" ", 1)[0].rstrip(" ,;:.") + "."
        title = re.sub(r"\s+", " ", given[of]["title"])
        # Of a month that does not exist; five digits are enough for 100,000 papers.
        name = f"2699.{number % 100_000:05}"
        papers.append({
            "id": name,
            "link": f"https://arxiv.org/abs/{name}",
            "title": f"{title} (Study {turn + 1})" if turn else title,
            "abstract": cut,
            "categories": given[of].get("categories", []),
        })
    return papers


def plain(abstract):
    """An abstract without what feeds put before it, on one line."""
    text = re.sub(r"\s+", " ", abstract).strip()
    return re.sub(r"^arXiv:\S+ Announce Type: \S+ +Abstract: ", "", text)


def watch(run, store, began, count):
    """Looks at the program's memory until it ends: seconds, finished papers, and bytes."""
    samples = []
    while True:
        try:
            run.wait(timeout=SAMPLE_EVERY_S)
            return samples
        except subprocess.TimeoutExpired:
            pass
        try:
            status = Path(f"/proc/{run.pid}/status").read_text()
        except OSError:
            continue
        of = {name: int(kb) << 10 for name, kb in re.findall(r"(\w+):\s+(\d+) kB", status)}
        if "VmRSS" not in of:
            continue
        sample = {"s": round(time.time() - began), "finished": number_of_finished(store)}
        for name in ["VmRSS", "VmHWM", "RssAnon", "RssFile"]:
            sample[name] = of.get(name, 0)
        samples.append(sample)
        if len(samples) % 60 == 0:
            print(f"{sample['s']} s: {sample['finished']} of {count} papers, "
                  f"{sample['VmRSS'] / MIB:.0f} MiB", flush=True)


def number_of_finished(store):
    if not store.exists():
        return 0
    connection = sqlite3.connect(store, timeout=60)
    try:
        return connection.execute("SELECT count(*) FROM summary").fetchone()[0]
    except sqlite3.Error:
        # There is no table yet.
        return 0
    finally:
        connection.close()


def finished(store):
    """When each paper was finished, in seconds since 1970; how many are marked, and were tried
    again."""
    if not store.exists():
        return [], 0, 0
    connection = sqlite3.connect(store, timeout=60)
    try:
        rows = connection.execute("SELECT created, flags, retries FROM summary").fetchall()
    except sqlite3.Error:
        rows = []
    connection.close()
    times = sorted(created for created, _, _ in rows)
    return times, sum(flags != "[]" for _, flags, _ in rows), sum(tries > 0 for *_, tries in rows)


def rates(times, began):
    """Papers an hour of each tenth; the first one's time includes that of loading the model."""
    found, before = [], began
    for tenth in range(1, TENTHS + 1):
        ended = len(times) * tenth // TENTHS
        number = ended - len(times) * (tenth - 1) // TENTHS
        if not number:
            continue
        found.append(round(3600 * number / max(1, times[ended - 1] - before)))
        before = times[ended - 1]
    return found


def memory(samples, count):
    """The median of what was resident while the second tenth of the papers was written, and the last
    one; and the most up to the end of these."""
    def within(first, last):
        return [s for s in samples if first * count <= TENTHS * s["finished"] <= last * count]

    early, late = within(1, 2), within(TENTHS - 1, TENTHS)
    if not early or not late:
        return None
    figures = {}
    for name in ["VmRSS", "RssAnon", "RssFile"]:
        figures[name] = [statistics.median(s[name] for s in part) for part in (early, late)]
    figures["VmHWM"] = [max(s["VmHWM"] for s in part) for part in (early, late)]
    figures["growth"] = {name: round(late / early - 1, 4) if early else 0.0
                         for name, (early, late) in figures.items()}
    return figures


def tell(report):
    print(f"{report['summarised']} of {report['papers']} papers in {report['seconds']} s, "
          f"{report['papers_per_hour']} an hour, {report['marked']} marked, "
          f"{report['tried_again']} tried again; status {report['status']}")
    tenths = report["papers_per_hour_of_tenths"]
    if tenths:
        print(f"papers an hour, by tenths: {', '.join(map(str, tenths))}; "
              f"the last is {tenths[-1] / tenths[0]:.2f} times the first")
    if report["memory"]:
        for name in ["VmRSS", "RssAnon", "RssFile", "VmHWM"]:
            early, late = report["memory"][name]
            print(f"{name}: {early / MIB:.0f} MiB in the second tenth, {late / MIB:.0f} MiB in the last: "
                  f"{100 * report['memory']['growth'][name]:+.1f} %")


def fault(report):
    """What is wrong, or nothing."""
    if report["status"] not in (0, 2):
        return f"the run ended with status {report['status']}"
    if report["rows_of_digest"] != report["papers"]:
        return f"the digest has {report['rows_of_digest']} rows"
    if report["summarised"] < report["papers"]:
        print(f"{report['papers'] - report['summarised']} papers have no summary")
    if report["memory"] is None:
        return "the run was too short for its memory to be looked at in each tenth; give more papers"
    grown = [name for name in ("VmRSS", "VmHWM") if report["memory"]["growth"][name] > MAX_GROWTH]
    if grown:
        return f"{' and '.join(grown)} grew by more than {MAX_GROWTH:.0%}"
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
