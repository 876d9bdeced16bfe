#!/usr/bin/env python3
"""Summarises a whole archive on the machines of a Ray cluster: a task a shard, each with a store of
its own, put together at the end.

usage: examples/archive/archive.py INPUT WORK DIGEST --shards N [option...] [-- option of digest...]

INPUT, WORK and the program must be at the same paths on all machines; WORK, a folder, gets the
records of each shard. Run it again after a break: shards whose records are there, and younger than
INPUT, are not run again, and the others go on from their stores.
needs: pip install ray; `wenzhai models fetch` on every machine, or a WENZHAI_HOME that all see
"""
import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ray

# Exit statuses of `wenzhai digest`; its --help says what they mean.
INCOMPLETE, TRY_LATER = 2, 75

# How often a shard is tried on a cluster whose machines come and go, and the pause before.
TRIES = 20
PAUSE_S = 5


class TryAgain(Exception):
    """A shard ended early, for a reason that may pass."""


def main():
    whole = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=whole)
    add = parser.add_argument
    add("input", type=Path)
    add("work", type=Path)
    add("digest", type=Path)
    add("--shards", type=int, required=True, help="how many; an hour's work each is a good size")
    add("--threads", type=int, default=1, help="CPUs that a shard takes")
    add("--stores", type=Path, help="folder on each machine's own disk [default: WORK]")
    add("--wenzhai", default="wenzhai", help="the program")
    add("--address", default="auto", help="of the cluster; local starts one on this machine")
    parser.epilog = "What stands behind -- are options of wenzhai digest."
    typed = sys.argv[1:]
    end = typed.index("--") if "--" in typed else len(typed)
    asked, options = parser.parse_args(typed[:end]), typed[end + 1:]
    ray.init(address=asked.address, log_to_driver=False)
    where = (asked.input, asked.work, asked.digest)
    run(asked.wenzhai, *where, asked.shards, asked.threads, asked.stores, options)


def run(wenzhai, papers, work, digest, shards, threads=1, stores=None, options=()):
    """Runs all shards and writes the digest of them all. Ray is connected already."""
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    # What `wenzhai` refuses it would refuse on every machine: it is asked once, here.
    check = [wenzhai, "digest", papers, "--shard", f"1/{shards}", "--limit", "1", "--dry-run"]
    checked = subprocess.run([*check, *options], stdout=subprocess.DEVNULL)
    # 2 is that a paper could not be read, which the shard tells that it is in.
    if checked.returncode not in (0, 2):
        sys.exit(f"{wenzhai} would not do it: status {checked.returncode}")
    task = ray.remote(summarise).options(
        num_cpus=threads, max_retries=TRIES, retry_exceptions=[TryAgain]
    )
    common = (shards, str(work), str(stores or work), threads, list(options))
    waiting = {
        task.remote(wenzhai, str(papers.resolve()), number, *common): number
        for number in range(1, shards + 1)
    }
    while waiting:
        [done], _ = ray.wait(list(waiting))
        print(f"shard {waiting.pop(done)}/{shards}: {ray.get(done)}", flush=True)
    records = [records_of(work, number, shards) for number in range(1, shards + 1)]
    subprocess.run([wenzhai, "render", *records, "-o", digest], check=True)


def records_of(work, number, shards):
    return Path(work, f"{number}-of-{shards}.jsonl")


def store_of(stores, number, shards):
    return Path(stores, f"{number}-of-{shards}.sqlite")


def summarise(wenzhai, papers, number, shards, work, stores, threads, options):
    """One shard, on whichever machine; answers with the account of the run."""
    records = records_of(work, number, shards)
    # `wenzhai` writes records whole or not at all; what INPUT has since is not in them.
    if records.exists() and records.stat().st_mtime >= Path(papers).stat().st_mtime:
        return "done before"
    Path(stores).mkdir(parents=True, exist_ok=True)
    command = [wenzhai, "digest", papers, "--shard", f"{number}/{shards}"]
    command += ["--threads", str(threads), "--store", str(store_of(stores, number, shards))]
    command += ["-o", str(records), *options]
    # Papers that failed are tried once more; what fails twice is in the digest with its reason.
    for is_last in [False, True]:
        ended = subprocess.run(
            command, stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent
        )
        if ended.returncode != INCOMPLETE or is_last:
            break
    said = ended.stderr.strip().splitlines() or [""]
    if ended.returncode in (0, INCOMPLETE):
        return said[-1]
    # A signal has a negative number here.
    if ended.returncode in (TRY_LATER, 130, 143) or ended.returncode < 0:
        time.sleep(PAUSE_S)
        raise TryAgain(said[-1])
    raise RuntimeError(f"shard {number}/{shards}: status {ended.returncode}: {ended.stderr}")


def end_with_parent():
    """Lets the program end when Ray's worker does, so that a shard is never run twice at a time on
    one machine (Linux: PR_SET_PDEATHSIG, prctl(2))."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    main()
