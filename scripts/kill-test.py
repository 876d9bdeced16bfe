#!/usr/bin/env python3
"""Kills a digest ten times, at a random moment after none, a tenth, two tenths and so on of its
papers are finished, lets it end, and compares it with one that was left alone: the same bytes, and
no paper summarised twice.

usage: scripts/kill-test.py WENZHAI INPUT [OPTION...]     options go to `wenzhai digest`
needs: the model's weights; nothing but Python's standard library
"""
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KILLS = 10


class Digest:
    """A digest of the input with a store of its own."""

    def __init__(self, folder, name, wenzhai, paper_source, *options):
        self.store = folder / f"{name}.sqlite"
        self.document = folder / f"{name}.md"
        self.command = [wenzhai, "digest", paper_source, "--config", "none", *options]
        self.command += ["--store", str(self.store), "-o", str(self.document)]

    def run_to_the_end(self):
        subprocess.run(self.command, check=True)

    def run_until(self, papers, delay_s):
        """Starts a run, kills it `delay_s` after so many papers are finished, and tells whether it
        was still running then."""
        run = subprocess.Popen([*self.command, "--quiet"])
        while run.poll() is None and len(self.finished()) < papers:
            time.sleep(0.05)
        try:
            if run.wait(timeout=delay_s) != 0:
                sys.exit(f"a run ended with status {run.returncode}")
            return False
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            return True

    def finished(self):
        """Finished papers, each with its row and the moment at which it was written: one that is
        written again differs."""
        if not self.store.exists():
            return set()
        store = sqlite3.connect(self.store, timeout=60)
        # A kill may come before there is a table.
        tables = "SELECT 1 FROM sqlite_master WHERE name = 'summary'"
        if store.execute(tables).fetchone() is None:
            return set()
        papers = set(store.execute("SELECT key, created, rowid FROM summary"))
        store.close()
        return papers


def main(arguments):
    with tempfile.TemporaryDirectory() as folder:
        alone = Digest(Path(folder), "alone", *arguments)
        killed = Digest(Path(folder), "killed", *arguments)
        print("left alone:", flush=True)
        start = time.monotonic()
        alone.run_to_the_end()
        whole_s = time.monotonic() - start
        papers = len(alone.finished())
        kills, known = kill_again_and_again(killed, whole_s, papers)
        if not known:
            sys.exit("every kill came before the first paper was finished; give more papers")
        print("to the end:", flush=True)
        killed.run_to_the_end()
        if not known <= killed.finished():
            sys.exit("the last run wrote finished papers again")
        if alone.document.read_bytes() != killed.document.read_bytes():
            sys.exit("the digests differ")
    print(f"ok: {papers} papers, {kills} kills, the same digest byte for byte, none written twice")


def kill_again_and_again(digest, whole_s, papers):
    """Returns how many runs were killed, and the papers that are finished after that."""
    kills, known = 0, set()
    for tenth in range(KILLS):
        first, delay_s = papers * tenth // KILLS, random.uniform(0, whole_s / KILLS)
        was_killed = digest.run_until(first, delay_s)
        kills += was_killed
        now = digest.finished()
        what = f"killed {delay_s:.1f} s after {first}" if was_killed else "ended by itself"
        print(f"run {tenth + 1}: {what}: {len(now)} of {papers} papers finished", flush=True)
        if not known <= now:
            sys.exit("finished papers were lost or written again")
        known = now
    return kills, known


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:])
