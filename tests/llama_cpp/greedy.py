#!/usr/bin/env python3
"""Writes what llama.cpp says, greedily, for the first papers of a file, as token ids.

usage: greedy.py MODEL.gguf PAPERS.jsonl OUT.jsonl [--papers 50] [--tokens 320]
needs: pip install llama-cpp-python

PAPERS.jsonl has title and abstract a line. OUT.jsonl gets {"prompt": [ids], "written": [ids]} a
line; the engine's own first choices along the same ids are compared with it by the test
`first_choices_along_llama_cpp` (tests/it/real_model.rs).
"""
import argparse
import json

from llama_cpp import Llama


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("papers")
    parser.add_argument("out")
    parser.add_argument("--papers", type=int, default=50, dest="count")
    parser.add_argument("--tokens", type=int, default=320)
    arguments = parser.parse_args()

    model = Llama(arguments.model, n_ctx=2048, n_threads=2, verbose=False)
    with open(arguments.papers, encoding="utf8") as lines:
        papers = [json.loads(line) for line, _ in zip(lines, range(arguments.count))]
    with open(arguments.out, "w", encoding="utf8") as out:
        for paper in papers:
            text = f"Title: {paper['title']}\nAbstract: {paper['abstract']}\n标题："
            prompt = [model.token_bos()] + model.tokenize(text.encode(), add_bos=False, special=False)
            written = []
            model.reset()
            for token in model.generate(prompt, temp=0.0, top_k=1, repeat_penalty=1.0):
                if token == model.token_eos() or len(written) == arguments.tokens:
                    break
                written.append(token)
            print(json.dumps({"prompt": prompt, "written": written}), file=out, flush=True)


main()
