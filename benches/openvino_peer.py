#!/usr/bin/env python3
"""Writes a given number of tokens after each of many prompts with OpenVINO GenAI, and times it.

usage: openvino_peer.py MODEL.gguf WORKLOAD.json --parallel P --tokens N [--threads T]
needs: pip install openvino-genai

The workload is {"prefix": [ids], "prompts": [[ids], ...]}; every prompt begins with the prefix.
OpenVINO GenAI reads GGUF files of Llama, Qwen2 and Qwen3. Its own continuous batching is used, with
pieces of prompts in the same steps as sequences that write, and a cache of common prefixes. What is
timed is what `wenzhai bench` times of its own engine: from the prefix to the last token, without
loading. One line of JSON goes to standard output.
"""
import argparse
import importlib.metadata
import json
import resource
import time

import numpy
import openvino
import openvino_genai

# Rows of one step.
ROWS = 512
# Positions in a block of its KV cache on a CPU.
BLOCK = 32


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("workload")
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    with open(arguments.workload, encoding="utf8") as file:
        prompts = json.load(file)["prompts"]
    parallel = min(arguments.parallel, len(prompts))
    longest = max(map(len, prompts)) + arguments.tokens

    started = time.perf_counter()
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_seqs = parallel
    scheduler.max_num_batched_tokens = ROWS
    scheduler.dynamic_split_fuse = True
    scheduler.enable_prefix_caching = True
    scheduler.num_kv_blocks = (parallel + 1) * (longest // BLOCK + 2)
    properties = {"INFERENCE_NUM_THREADS": arguments.threads}
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        arguments.model, scheduler, "CPU", properties
    )
    loaded = time.perf_counter()

    generation = openvino_genai.GenerationConfig()
    generation.max_new_tokens = generation.min_new_tokens = arguments.tokens
    generation.ignore_eos = True
    generation.do_sample = False
    handles = [
        pipeline.add_request(number, openvino.Tensor(numpy.array([prompt], numpy.int64)), generation)
        for number, prompt in enumerate(prompts)
    ]
    steps = 0
    while pipeline.has_non_finished_requests():
        pipeline.step()
        steps += 1
    ended = time.perf_counter()

    for handle in handles:
        [output] = handle.read_all()
        assert len(output.generated_ids) == arguments.tokens, len(output.generated_ids)
    print(json.dumps({
        "program": "openvino-genai " + importlib.metadata.version("openvino-genai"),
        "load_s": loaded - started,
        "wall_s": ended - loaded,
        "steps": steps,
        # In KiB on Linux.
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))


main()
