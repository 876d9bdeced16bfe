#!/usr/bin/env python3
"""Kills one of two machines in the middle of an archive, and looks whether anything is lost or done
twice: the digest has to be that of one machine, byte for byte. Both machines are processes on this
one.

usage: examples/archive/test.py WENZHAI [PAPERS [SHARDS]]     24 papers in 6 shards
needs: pip install ray; the small model (`wenzhai models fetch small`); some minutes
"""
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Workers import the program from its folder.
HERE = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

import ray
from ray.cluster_utils import Cluster

import archive

SAMPLE = HERE.parent / "cs.CL-sample.xml"
OPTIONS = ["--model", "small", "--batch", "2", "--announce", "all", "--config", "none"]
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}


def main(wenzhai, papers=24, shards=6):
    wenzhai = str(Path(wenzhai).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source = folder / "papers.jsonl"
        make_papers(wenzhai, source, papers)
        begin = time.monotonic()
        alone = [wenzhai, "digest", source, "--threads", "1", "--store", folder / "one.sqlite"]
        subprocess.run([*alone, *OPTIONS, "-o", folder / "one.md"], check=True)
        print(f"one machine: {papers} papers in {time.monotonic() - begin:.0f} s", flush=True)

        head = {**NODE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        second = cluster.add_node(**NODE)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        work = folder / "work"
        killed = {}
        what = (cluster, second, work, shards, papers, killed)
        killer = threading.Thread(target=kill, args=what, daemon=True)
        killer.start()
        begin = time.monotonic()
        try:
            archive.run(wenzhai, source, work, folder / "all.md", shards, options=OPTIONS)
        finally:
            killer.join(timeout=5)
            ray.shutdown()
            cluster.shutdown()
        print(f"two machines, one of them killed: {time.monotonic() - begin:.0f} s", flush=True)
        check(folder, work, papers, shards, killed)


def make_papers(wenzhai, source, papers):
    """The sample's papers, again and again under other ids."""
    listing = [wenzhai, "digest", SAMPLE, "--dry-run", "--announce", "all", "--config", "none"]
    listed = subprocess.run(listing, check=True, stdout=subprocess.PIPE)
    sample = [json.loads(line) for line in listed.stdout.splitlines()]
    with source.open("w") as out:
        for number in range(papers):
            paper = sample[number % len(sample)]
            paper["id"] = f"2699.{number + 1:05}"
            paper["link"] = f"https://arxiv.org/abs/{paper['id']}"
            print(json.dumps(paper), file=out)


def kill(cluster, node, work, shards, papers, killed):
    """Kills a machine once it has a shard under way and a third of all papers are finished."""
    while len(finished(work, shards)) < papers / 3 or not busy(node):
        time.sleep(0.2)
    cluster.remove_node(node, allow_graceful=False)
    killed["finished"] = finished(work, shards)
    numbers = range(1, shards + 1)
    killed["whole"] = sum(archive.records_of(work, number, shards).exists() for number in numbers)
    print(f"killed one machine: {len(killed['finished'])} of {papers} papers were finished, "
          f"{killed['whole']} of {shards} shards whole", flush=True)


def busy(node):
    """Whether a task runs on a node: its CPU is taken then."""
    free = ray._private.state.available_resources_per_node()
    return free.get(node.node_id, {}).get("CPU", 0) == 0


def finished(work, shards):
    """Papers in the stores of shards, each with its row and the moment at which it was written."""
    papers = set()
    for shard in range(1, shards + 1):
        path = archive.store_of(work, shard, shards)
        if not path.exists():
            continue
        store = sqlite3.connect(path, timeout=60)
        try:
            rows = store.execute("SELECT paper, created, rowid FROM summary")
            papers |= {(shard, *row) for row in rows}
        except sqlite3.OperationalError:
            pass  # It has no table yet.
        store.close()
    return papers


def check(folder, work, papers, shards, killed):
    if not killed:
        sys.exit("the run ended before a machine was killed; give more papers")
    if killed["whole"] == shards:
        sys.exit("the machine was killed after the last shard; give more papers")
    now = finished(work, shards)
    if not killed["finished"] <= now:
        sys.exit("finished papers were lost or written again")
    names = [paper for _, paper, *_ in now]
    if len(names) != papers or len(set(names)) != papers:
        sys.exit(f"{len(names)} summaries of {len(set(names))} papers, and there are {papers}")
    if (folder / "one.md").read_bytes() != (folder / "all.md").read_bytes():
        sys.exit("the digests differ")
    print(f"ok: {papers} papers in {shards} shards, nothing lost, nothing written twice, "
          "the same digest byte for byte")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
