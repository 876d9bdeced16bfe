#!/usr/bin/env python3
"""Writes a given number of tokens after each of many prompts with llama.cpp, and times it.

usage: llama_cpp_peer.py MODEL.gguf WORKLOAD.json --parallel P --tokens N [--threads T]
needs: pip install llama-cpp-python

The workload is {"prefix": [ids], "prompts": [[ids], ...]}; every prompt begins with the prefix.
Sequences come and go continuously, the prefix is computed once and shared, and everything that is
known to help llama.cpp on a CPU is on: flash attention, one KV cache for all sequences that is no
larger than they need, and the highest logit taken with numpy instead of its sampler, which would
copy the whole vocabulary for every token. What is timed is what `wenzhai bench` times of its own
engine: from the prefix to the last token, without loading. One line of JSON goes to standard
output.
"""
import argparse
import ctypes
import importlib.metadata
import json
import resource
import sys
import time

import llama_cpp
import numpy

# Prompt rows that one step takes in beside the sequences that write.
PREFILL_ROWS = 512


class Runner:
    """A model in memory, and the one batch that is filled anew for every step."""

    def __init__(self, path, parallel, cells, rows, threads):
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        if not self.model:
            sys.exit(f"cannot load {path}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = cells
        settings.n_batch = rows
        settings.n_ubatch = PREFILL_ROWS
        settings.n_seq_max = parallel + 1
        settings.n_threads = settings.n_threads_batch = threads
        settings.kv_unified = True
        settings.flash_attn_type = 1
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        if not self.context:
            sys.exit(f"cannot make a context of {cells} cells for {parallel} sequences")
        self.memory = llama_cpp.llama_get_memory(self.context)
        vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self.batch = llama_cpp.llama_batch_init(rows, 0, 1)

    def clear(self):
        self.batch.n_tokens = 0

    def add(self, tokens, start, sequence, wants_logits):
        """Appends rows of one sequence; returns the index of the last."""
        batch = self.batch
        for offset, token in enumerate(tokens):
            row = batch.n_tokens
            batch.token[row] = token
            batch.pos[row] = start + offset
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = sequence
            batch.logits[row] = 0
            batch.n_tokens = row + 1
        batch.logits[batch.n_tokens - 1] = int(wants_logits)
        return batch.n_tokens - 1

    def step(self):
        status = llama_cpp.llama_decode(self.context, self.batch)
        if status != 0:
            sys.exit(f"llama_decode failed with {status}")

    def best(self, row):
        logits = llama_cpp.llama_get_logits_ith(self.context, row)
        return int(numpy.ctypeslib.as_array(logits, (self.vocabulary_size,)).argmax())

    def share(self, source, target):
        llama_cpp.llama_memory_seq_cp(self.memory, source, target, -1, -1)

    def forget(self, sequence):
        llama_cpp.llama_memory_seq_rm(self.memory, sequence, -1, -1)


def generate(runner, prefix, prompts, parallel, tokens):
    """Returns the number of steps."""
    shared = parallel  # The sequence that holds the prefix.
    if prefix:
        runner.clear()
        runner.add(prefix, 0, shared, False)
        runner.step()
    waiting = [prompt[len(prefix):] for prompt in reversed(prompts)]
    free = list(range(parallel))
    writing = {}  # Sequence -> [its last token, the position of that, tokens still to write]
    steps = 0
    while waiting or writing:
        runner.clear()
        rows = {}
        for sequence, (token, position, _) in writing.items():
            rows[sequence] = runner.add([token], position, sequence, True)
        room = PREFILL_ROWS
        while free and waiting and (room == PREFILL_ROWS or len(waiting[-1]) <= room):
            prompt, sequence = waiting.pop(), free.pop()
            room -= len(prompt)
            if prefix:
                runner.share(shared, sequence)
            rows[sequence] = runner.add(prompt, len(prefix), sequence, True)
            writing[sequence] = [None, len(prefix) + len(prompt) - 1, tokens]
        runner.step()
        steps += 1
        for sequence, row in rows.items():
            state = writing[sequence]
            state[0] = runner.best(row)
            state[1] += 1
            state[2] -= 1
            if state[2] == 0:
                del writing[sequence]
                runner.forget(sequence)
                free.append(sequence)
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("workload")
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    # The reference is kept: llama.cpp calls it as long as the process lives.
    silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silence, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()

    with open(arguments.workload, encoding="utf8") as file:
        workload = json.load(file)
    prefix, prompts = workload["prefix"], workload["prompts"]
    parallel = min(arguments.parallel, len(prompts))
    longest = max(map(len, prompts)) - len(prefix)
    cells = len(prefix) + parallel * (longest + arguments.tokens)
    rows = max(2048, len(prefix), parallel + longest + PREFILL_ROWS)

    started = time.perf_counter()
    padded = (cells + 255) // 256 * 256
    runner = Runner(arguments.model, parallel, padded, rows, arguments.threads)
    loaded = time.perf_counter()
    steps = generate(runner, prefix, prompts, parallel, arguments.tokens)
    ended = time.perf_counter()
    print(json.dumps({
        "program": "llama-cpp-python " + importlib.metadata.version("llama-cpp-python"),
        "load_s": loaded - started,
        "wall_s": ended - loaded,
        "steps": steps,
        # In KiB on Linux.
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))


main()
