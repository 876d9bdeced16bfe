"""Writes what llama.cpp makes of texts and of a vocabulary, for tests/it/tokens.rs to compare with.

    python tests/llama_cpp/token_ids.py GGUF_DIR OUT_DIR MODEL.gguf...

needs llama-cpp-python. MODEL is a path below GGUF_DIR. OUT_DIR/<model>.jsonl then holds the
vocabulary on its first line and below it, one a line, a text with its ids: `ids` as plain text,
`template_ids` with control tokens recognised. The test finds the files through WENZHAI_GGUF
(GGUF_DIR) and WENZHAI_TOKEN_IDS (OUT_DIR).

Texts: every title, abstract and summary of ../shared/data where it is there, odd ones written
below, and random ones made of what tokenizers stumble over (the seed is fixed).
"""

import ctypes
import gzip
import json
import random
import sys
from pathlib import Path
from unicodedata import category

import llama_cpp

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
FIELDS = ("title", "abstract", "zh_title", "zh_tldr", "zh_abstract")
TRAIN_ROWS = 3000
RANDOM_TEXTS = 3000
ODD_TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "a",
    " a",
    "a ",
    "▁",
    "a▁b ▁ c",
    "<eos>",
    "<bos>x<eos>",
    "<start_of_turn>user\nhi<end_of_turn>\n",
    "<|im_start|>system\nhi<|im_end|>\n",
    "<|endoftext|> <repo_name><reponame>",
    "<unused0><unused99><mask><pad><unk>",
    "<0x0A><0x41>",
    "[multimodal] <table><tr><td>1</td></tr></table>",
    "x < y > z, <b>bold</b> <sub>2</sub>",
    "</s><s>",
    "one</s>two",
    "tabs\t\t\tand\tmore\t \t end\t",
    "lines\n\n\n\nand\r\nreturns\r\r\n \n \n",
    "spaces" + " " * 100 + "end" + " " * 40,
    "\n" * 70 + "x" + "\n" * 33,
    "nul\0inside (\0) and\0\0two",
    "controls \x01\x02\x07\x1b[0m\x7f\x80\x9f",
    "emoji 😀👩‍👩‍👧‍👦🇨🇳🏳️‍🌈 end",
    "\u0301lone \u0301 marks e\u0301 \u20dd",
    "rare 𠀀𪛖𰻞 龘 㐂 ﹏ 〇 々",
    "widths\u00a0\u2003\u3000\u200b\u200d\ufeff\u2028\u2029end",
    "private \ue000\uf8ff\U000f0000 unassigned \u0378\U0003fffd",
    "arithmetic 1234567890 3.14159 1,000,000 x²+y³=½ ٣٤٥ Ⅷ ㊷",
    "it's I'm you'll they've WE'RE he'd 'tis ''s 'ſ",
    "$\\alpha_{i}^{2} \\leq \\frac{1}{2}$ and $O(n \\log n)$, \\emph{so}",
    "https://arxiv.org/abs/2403.02839v1?x=1&y=2#z",
    "def f(x):\n    return x  # comment\n\n\tpass\n",
    "ABCdefGHI camelCase snake_case kebab-case",
    "Ünïcödé Ελληνικά Русский עברית العربية हिन्दी ไทย 日本語 한국어 中文",
    "文" * 500,
    "a" * 2000,
    "ĠĊ letters of the byte alphabet Ń",
]
RANDOM_PARTS = (
    [" ", "  ", "\n", "\n\n", "\t", "\r\n", "▁", "'s", "'LL", "<", ">", "</s", "<eos>", "<b>", "\0"]
    + ["<end_of_turn>", "<|im_end|>", "<0x20>", "the", "The", "ing", "网络", "的", "模型", "，", "。"]
    + [str(n) for n in (0, 7, 12, 345, 2026)]
    + ["é", "e\u0301", "😀", "\u200d", "\u3000", "\u00a0", "½", "𝒳", "—", "…", "$", "\\", "{", "}", "_"]
)
RANDOM_RANGES = [(0x20, 0x7E), (0x00, 0x24F), (0x370, 0x5FF), (0x900, 0xD7FF), (0xE000, 0x1FFFF)]


def main(gguf_dir, out_dir, *models):
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    texts = list(dict.fromkeys([*ODD_TEXTS, *random_texts(), *paper_texts()]))
    for model in models:
        llama = llama_cpp.Llama(str(Path(gguf_dir) / model), vocab_only=True, verbose=False)
        with open(out_dir / f"{Path(model).stem}.jsonl", "w", encoding="utf-8") as out:
            print(json.dumps({"gguf": model, **vocabulary(llama)}), file=out)
            for text in texts:
                ids, template_ids = (
                    llama.tokenize(text.encode(), add_bos=False, special=special)
                    for special in (False, True)
                )
                row = {"text": text, "ids": ids, "template_ids": template_ids}
                print(json.dumps(row, ensure_ascii=False), file=out)
        print(f"{model}: {len(texts)} texts", file=sys.stderr)


def paper_texts():
    """The fields of the papers in the data directory, if there is one."""
    if not DATA.is_dir():
        print(f"no {DATA}: without papers", file=sys.stderr)
        return
    with open(DATA / "dev.jsonl", encoding="utf-8") as dev:
        rows = list(dev)
    with gzip.open(DATA / "train.jsonl.gz", "rt", encoding="utf-8") as train:
        rows += [row for row, _ in zip(train, range(TRAIN_ROWS))]
    for row in rows:
        paper = json.loads(row)
        yield from (paper[field] for field in FIELDS if paper.get(field))


def random_texts():
    """Strings of awkward parts and of characters from everywhere.

    Unassigned characters are left out: newer Unicode tables than llama.cpp's know some as letters.
    """
    source = random.Random(20240101)
    for _ in range(RANDOM_TEXTS):
        parts = []
        for _ in range(source.randint(1, 40)):
            if source.random() < 0.6:
                parts.append(source.choice(RANDOM_PARTS))
            else:
                character = chr(source.randint(*source.choice(RANDOM_RANGES)))
                parts.append(character if category(character) != "Cn" else "")
        yield "".join(parts)


def vocabulary(llama):
    """What llama.cpp knows about the vocabulary; pieces are in hexadecimal."""
    vocab = llama_cpp.llama_model_get_vocab(llama.model)
    ids = range(llama_cpp.llama_vocab_n_tokens(vocab))
    return {
        "bos": llama_cpp.llama_vocab_bos(vocab),
        "eos": llama_cpp.llama_vocab_eos(vocab),
        "add_bos": llama_cpp.llama_vocab_get_add_bos(vocab),
        "end_of_generation": [i for i in ids if llama_cpp.llama_vocab_is_eog(vocab, i)],
        "control": [i for i in ids if llama_cpp.llama_vocab_is_control(vocab, i)],
        "pieces": [piece(vocab, i).hex() for i in ids],
    }


def piece(vocab, token):
    """The bytes of a token; none for control tokens."""
    buffer = ctypes.create_string_buffer(1024)
    length = llama_cpp.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)
    if length < 0:
        raise ValueError(f"token {token} has {-length} bytes, the limit is {len(buffer)}")
    return buffer.raw[:length]


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
