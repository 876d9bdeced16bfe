"""Runs the recipe on two tiny models with random weights, and checks what comes of it.

    smoke_test.py [--device cuda]

Every program from prepare.py on is called as from a shell, but for papers.py, which asks for no model.
It takes a minute on a CPU.
"""

import argparse
import gzip
import json
import runpy
import sys
import tempfile
import types
from pathlib import Path

import jinja2.sandbox
import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFWriter, TokenType
from tokenizers.pre_tokenizers import ByteLevel

from adapter import read_factors, read_tensors
from form import Form, framed
from glossary import read_table, terms_in
from model import Gated, Linear, inner
from prepare import told
from tokenizer import Tokenizer
from train import Trainer

HERE = Path(__file__).parent
PROMPTS = {"qwen2": "qwen2.5-coder-1.5b-zh/1.toml", "gemma3": "gemma3-270m-zh/2.toml"}
LAYERS, WIDTH, HEADS, KEY_HEADS, HIDDEN, RANK = 2, 64, 4, 2, 96, 4
HEAD_WIDTH = WIDTH // HEADS
MATRICES = {
    "attn_q": (WIDTH, WIDTH), "attn_k": (KEY_HEADS * HEAD_WIDTH, WIDTH),
    "attn_v": (KEY_HEADS * HEAD_WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN),
}  # outputs, inputs
CHANNELS = {"attn_norm": WIDTH, "attn_output": KEY_HEADS * HEAD_WIDTH, "ffn_norm": WIDTH,
            "ffn_down": HIDDEN}  # their number
CHAT = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
ANIMALS = ("sheep", "cows", "geese", "goats", "ducks", "bees", "hens", "bats", "owls", "cats",
           "dogs", "deer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    check_told()
    check_template()
    with tempfile.TemporaryDirectory() as folder:
        check_meanings(Path(folder))
    check_functions(device)
    for architecture in PROMPTS:
        with tempfile.TemporaryDirectory() as folder:
            check_recipe(architecture, Path(folder), device)
        print(f"{architecture}: all is well", flush=True)


def check_functions(device):
    """The gradients of our own functions against those that PyTorch finds by itself."""
    torch.manual_seed(0)
    leaf = lambda *shape: torch.randn(*shape, device=device).requires_grad_()
    x, a, bs = leaf(9, 12), leaf(8, 12), [leaf(5, 4), leaf(7, 4)]
    weight = torch.randn(12, 12, device=device)
    plain = x @ weight.t() + 0.5 * torch.cat([u @ b.t() for u, b in zip(inner(x, a, bs), bs)], 1)
    same_gradients(Linear.apply(x, weight, 0.5, a, *bs), plain, [x, a, *bs])
    for is_gelu in (True, False):
        gate, up = x.chunk(2, 1)
        gate = F.gelu(gate, approximate="tanh") if is_gelu else F.silu(gate)
        same_gradients(Gated.apply(x, is_gelu), gate * up, [x])


def check_template():
    """A chat template is somebody's file, and runs nothing."""
    tokenizer = types.SimpleNamespace(
        control={}, bos=None, eos=None,
        chat_template="{{ cycler.__init__.__globals__.os.getcwd() }}" + CHAT)
    try:
        framed(tokenizer, ["user"])
    except jinja2.sandbox.SecurityError:
        return
    raise AssertionError("the template ran")


def check_told():
    """What prompts tell is what the program tells: the papers are those of its own tests
    (src/prompt/told.rs)."""
    text = "DeepSeek and LLMs reach 63.4% on 1,024 LLMs (BLEU-4), from 3B to 0.5 in GPT4o."
    kept = ["DeepSeek", "LLMs", "63.4", "1,024", "BLEU-4", "3", "0.5", "GPT4o"]
    assert told({"abstract": text}, []) == ([], kept)
    found = [("RAG", "检索增强生成", 1), ("sheep dog", "sheep dog", 1)]
    terms, kept = told({"abstract": "RAG finds 12 sheep dogs for LLMs."}, found)
    assert (terms, kept) == ([("RAG", "检索增强生成")], ["sheep dog", "12", "LLMs"])
    terms, kept = told({"abstract": "３ million, and 4 million"}, [])
    assert terms == [("4 million", "400万")] and kept == ["３"]


def check_meanings(folder):
    """A term of several meanings has the one that it has in the program: the texts are those of its own
    tests (src/glossary/mod.rs)."""
    path = folder / "terms.tsv"
    path.write_text("edge\t边缘\t9\tdevice, server\nedge\t边\t9\tnode, subgraph, degree\n"
                    "bank\t银行\t9\nbank\t组\t9\tfilter\nedge weight\t边权\t9\n", encoding="utf8")
    table = read_table(path)
    for text, expected in [
        ("Edges between nodes.", ["边"]), ("An edge on edge devices", ["边缘"]),
        ("The edge of a device whose subgraphs have nodes", ["边"]), ("cutting edge", []),
        ("A bank of filters", ["组"]), ("A bank", ["银行"]), ("edge weights at edges", ["边权"]),
    ]:
        assert [translation for _, translation, *_ in terms_in(text, table, 16)] == expected, text


def same_gradients(ours, plain, leaves):
    torch.testing.assert_close(ours, plain)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(torch.autograd.grad(ours, leaves, grad),
                               torch.autograd.grad(plain, leaves, grad), rtol=1e-3, atol=1e-4)


def check_recipe(architecture, folder, device):
    base, shortlist, run = folder / "base.gguf", folder / "shortlist", folder / "run"
    write_model(base, architecture)
    shortlist.write_bytes(b"wzshort\1".ljust(12, b"\0") + (200).to_bytes(4, "little") + bytes(200))
    write_papers(folder)
    prompt = HERE.parent.parent / "prompts" / PROMPTS[architecture]
    call("prepare.py", base, prompt, folder / "train.jsonl.gz", folder / "data.npz", "--dev",
         folder / "dev.jsonl", "--recent-share", 1, "--demanding-share", 1, "--papers",
         len(ANIMALS), "--max-tokens", 2000)
    check_rewritten(base, prompt, folder)
    options = ["--shortlist", shortlist, "--rank", RANK, "--device", device, "--threads", 2,
               "--tokens-a-batch", 1500]
    for steps in (2, 3):  # the second goes on from the first's checkpoint
        arguments = call("train.py", base, folder / "data.npz", run, *options, "--steps", steps,
                         "--until", "2100-01-01", "--papers-a-step", 4)
    check_training(runpy.run_path(str(HERE / "train.py"))["parse_arguments"], arguments)
    for average in (["--average"], []):
        call("export.py", run / "checkpoint.pt", folder / "factors.safetensors", *average)
    check_export(folder / "factors.safetensors", run / "checkpoint.pt")
    call("channels.py", base, folder / "data.npz", folder / "factors.safetensors",
         folder / "adapter.safetensors", "--papers", 2, "--device", device)
    call("export.py", folder / "adapter.safetensors", folder / "small.safetensors", "--rank", 2)
    check_channels(folder)
    call("likelihood.py", base, folder / "train.jsonl.gz", folder / "rated.jsonl",
         folder / "draws.jsonl", "--device", device)
    check_likelihood(folder)
    call("pairs.py", base, prompt, folder / "train.jsonl.gz", folder / "pairs.npz",
         folder / "rated.jsonl", "--max-tokens", 2000)
    for epochs in (1, 2):
        arguments = call("prefer.py", base, folder / "pairs.npz", folder / "preferred", *options,
                         "--warm", folder / "adapter.safetensors", "--pairs-a-step", 2, "--held-out", 1,
                         "--epochs", epochs)
    state = torch.load(folder / "preferred" / "checkpoint.pt", weights_only=True, map_location="cpu")
    assert state["step"] == len(ANIMALS) and len(state["margins"]) == len(ANIMALS), state["step"]
    call("export.py", folder / "preferred" / "checkpoint.pt", folder / "half.safetensors", "--warm",
         folder / "adapter.safetensors", "--weights", 0.5)
    check_half(folder, state["params"])
    check_pairs(runpy.run_path(str(HERE / "prefer.py")), arguments)
    check_corrections(base, prompt, folder)


def check_rewritten(base, prompt, folder):
    """Papers whose summaries were written anew come last, as often as was asked for, and no more as they were."""
    with gzip.open(folder / "train.jsonl.gz", "rt", encoding="utf8") as lines:
        first, second = [json.loads(line) for line, _ in zip(lines, range(2))]
    new = [{"id": paper["id"], "chars": 40, "zh_title": "牛羊", "zh_abstract": "数牛数羊。", "zh_tldr": "数。"}
           for paper in (first, second)]
    with gzip.open(folder / "rewritten.jsonl.gz", "wt", encoding="utf8") as lines:
        lines.writelines(json.dumps(summary) + "\n" for summary in new)
    for alone in ([], ["--rewritten-alone"]):
        call("prepare.py", base, prompt, folder / "train.jsonl.gz", folder / "rewritten.npz", "--papers", 0,
             "--max-tokens", 2000, "--rewritten", folder / "rewritten.jsonl.gz", "--rewritten-times", 3, *alone)
        data = np.load(folder / "rewritten.npz")
        tokens, prompt_tokens, _ = Form(prompt, Tokenizer(base)).sequence(first | new[0], [], [])
        starts, prompts = data["starts"], data["prompts"]
        kinds = [data["tokens"][starts[at] + prompts[at]:starts[at + 1]].tolist() == tokens[prompt_tokens:]
                 for at in data["order"]]
        before = 0 if alone else len(ANIMALS) - len(new)
        assert kinds == before * [False] + 3 * len(new) * [True], kinds


def call(program, *arguments):
    arguments = list(map(str, arguments))
    sys.argv = [program, *arguments]
    runpy.run_path(str(HERE / program), run_name="__main__")
    return arguments


def check_training(parse, arguments):
    """A run that goes on once more: it begins where it ended, and learns what comes again."""
    sys.argv = ["train.py", *arguments, "--rate", "1e-2"]
    trainer = Trainer(parse())
    assert trainer.state["step"] == 3 and trainer.state["position"] == 12, trainer.state["step"]
    batches = [list(range(4))]
    losses = [trainer.step(batches)[0] for _ in range(8)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.05, losses


def check_export(path, checkpoint):
    tensors, metadata = read_tensors(path)
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    expected = {}
    for layer in range(LAYERS):
        for name, (outputs, inputs) in MATRICES.items():
            place = f"blk.{layer}.{name}.lora_"
            expected |= {place + "a": (torch.int8, (RANK, inputs)),
                         place + "b": (torch.int8, (outputs, RANK)),
                         place + "scale": (torch.float32, (RANK,))}
    assert {n: (t.dtype, tuple(t.shape)) for n, t in tensors.items()} == expected, tensors
    assert metadata == {"scale": str(32 / RANK), "rank": str(RANK), "base": "Tiny"}, metadata
    factors, _ = read_factors(path)
    for name in factors:
        if name.endswith("_a"):
            product, exact = (of[name.removesuffix("a") + "b"] @ of[name]
                              for of in (factors, state["params"]))
            assert (product - exact).norm() < 0.03 * exact.norm(), name


def check_channels(folder):
    tensors, _ = read_tensors(folder / "adapter.safetensors")
    small, metadata = read_tensors(folder / "small.safetensors")
    assert metadata["rank"] == "2" and len(small) == len(tensors)
    for layer in range(LAYERS):
        for name, size in CHANNELS.items():
            rms = tensors[f"blk.{layer}.{name}.rms"]
            assert rms.shape == (size,) and rms.dtype == torch.float16 and (rms > 0).all(), name
            assert torch.equal(rms, small[f"blk.{layer}.{name}.rms"])


def check_likelihood(folder):
    """Every draw is there, rated by itself: the same summary of the same paper the same."""
    drawn, rated = ([json.loads(line) for line in (folder / name).open(encoding="utf8")]
                    for name in ("draws.jsonl", "rated.jsonl"))
    values = [draw.pop("likelihood") for draw in rated]
    assert rated == drawn and all(-20 < value < 0 for value in values), values
    assert len(set(values)) > len(ANIMALS), values


def check_pairs(prefer, arguments):
    """Losses of the two summaries of a pair, packed as one sequence, are those of either alone; in f32,
    as on most CPUs, also to what a wrong mask or position would change."""
    sys.argv = ["prefer.py", *arguments]
    trainer = prefer["Trainer"](prefer["parse_arguments"]())
    pairs = [0, 1, 2]
    *sums, counts = trainer.sums(pairs)
    # The tokens that are scored are those of all, as they are there.
    data = trainer.data
    index, extra = data.outputs([data.sequence(2 * pair + which) for pair in pairs for which in (0, 1)])
    for at, pair in enumerate(pairs):
        for which, name in enumerate(("better", "worse")):
            (ids, rows, labels, *_), count = data.batch([2 * pair + which], weighted=False)
            tokens = data.sequence(2 * pair + which)
            labels[:int(count)] = torch.from_numpy(index[tokens[len(tokens) - int(count):]])
            batch = trainer.on_device([ids, rows, labels, torch.from_numpy(extra)])
            alone = trainer.model.row_losses(*batch)[:int(count)].sum()
            # In bfloat16 nothing finer could be told, and nothing wrong is as large.
            rtol = 1e-5 if trainer.model.dtype == torch.float32 else 1e-2
            torch.testing.assert_close(sums[which][at], alone, rtol=rtol, atol=0, msg=name)
            assert which or counts[at] == count, (counts, count)


def check_half(folder, params):
    """Half the way from the adapter that a run began with to what it ended with."""
    half, _ = read_factors(folder / "half.safetensors")
    began, _ = read_factors(folder / "adapter.safetensors")
    for a in (name for name in began if name.endswith("_a")):
        b = a.removesuffix("a") + "b"
        expected = (began[b] + params[b]) @ (began[a] + params[a]) / 4
        assert (half[b] @ half[a] - expected).norm() < 0.03 * expected.norm(), a


def check_corrections(base, prompt, folder):
    """Edits go where they belong, papers without one are left out, and one that does not fit is told."""
    lean = [json.loads(line) for line in (folder / "draws.jsonl").open(encoding="utf8")][1::2]
    edit = {"field": "zh_abstract", "from": "论文在", "to": "论文用FARM模型在"}
    last = {"field": "zh_abstract", "from": "清点动物。", "to": "清点。"}
    readings = [{"id": draw["id"], "edits": [last, edit] if number else []}
                for number, draw in enumerate(lean)]
    write_lines(folder / "edits.jsonl", readings)
    arguments = ["corrections.py", base, prompt, folder / "dev.jsonl", folder / "corrected.npz",
                 "--max-tokens", 2000, "--draws", folder / "draws.jsonl", "--edits",
                 folder / "edits.jsonl"]
    write_lines(folder / "dev.jsonl", lean)
    call(*arguments)
    pairs = np.load(folder / "corrected.npz")
    corrected = lean[1] | {"zh_abstract": "黄昏时清点动物很慢。论文用FARM模型在农场清点。"}
    form, tells = Form(prompt, Tokenizer(base)), told(lean[1], [])
    assert len(pairs["order"]) == len(lean) - 1
    for at, summary in enumerate((corrected, lean[1])):
        tokens = pairs["tokens"][pairs["starts"][at]:pairs["starts"][at + 1]]
        assert tokens.tolist() == form.sequence(summary, *tells)[0], summary
    check_alone(arguments, form, folder / "corrected.npz")
    write_lines(folder / "edits.jsonl", [{"id": lean[0]["id"], "edits": [edit | {"from": "动物"}]}])
    try:
        call(*arguments)
    except ValueError as error:
        assert "stands 2 times" in str(error), error
    else:
        raise AssertionError("an edit that fits twice was taken")


def check_alone(arguments, form, path):
    """Corrected summaries by themselves, and which tokens of theirs are the reader's."""
    call(*arguments, "--alone", "--held-out", 1)
    data = np.load(path)
    papers = len(data["order"])
    assert papers == len(data["starts"]) - 1 > 0 and len(data["dev_prompts"]) == 1
    # The last word was left out: what stands behind it now is marked as well.
    expected = form.tokenizer.encode("用FARM模型") + form.tokenizer.encode("。")[:1]
    for at in range(papers):
        here = slice(data["starts"][at], data["starts"][at + 1])
        assert data["tokens"][here][data["edited"][here]].tolist() == expected, at


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf8")


def write_papers(folder):
    papers = [{
        "id": f"2411.{number:05}", "title": f"Counting {animal} with a camera",
        "abstract": f"Counting {animal} at dusk is slow. We count {animal} on {number + 12} farms "
                    f"with the model FARM and lose {number + 3}.5% of them. The method is cheap.",
        "zh_title": "用相机清点农场里的动物",
        "zh_abstract": f"黄昏时清点动物很慢。论文用FARM模型在{number + 12}个农场清点，"
                       f"漏数{number + 3}.5%。",
        "zh_tldr": f"用相机和FARM模型在{number + 12}个农场清点动物，漏数{number + 3}.5%。",
    } for number, animal in enumerate(ANIMALS)]
    lines = [json.dumps(paper, ensure_ascii=False) + "\n" for paper in papers]
    with gzip.open(folder / "train.jsonl.gz", "wt", encoding="utf8") as file:
        file.writelines(lines)
    (folder / "dev.jsonl").write_text("".join(lines[:4]), encoding="utf8")
    lean = {"zh_abstract": "黄昏时清点动物很慢。论文在农场清点动物。"}
    draws = [json.dumps(paper | change) + "\n" for paper in papers for change in ({}, lean)]
    (folder / "draws.jsonl").write_text("".join(draws), encoding="utf8")


def write_model(path, architecture):
    writer, random = GGUFWriter(path, architecture), np.random.default_rng(0)
    writer.add_name("Tiny")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_key_length(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_sliding_window(48)
    size = (add_bytes if architecture == "qwen2" else add_pieces)(writer)
    noise = lambda *shape: random.normal(0, 0.1, shape).astype(np.float32)
    norms = ["attn_norm", "ffn_norm"]
    heads = []
    if architecture == "gemma3":
        norms += ["post_attention_norm", "post_ffw_norm"]
        heads = ["attn_q_norm", "attn_k_norm"]
    writer.add_tensor("token_embd.weight", noise(size, WIDTH))
    writer.add_tensor("output_norm.weight", 1 + noise(WIDTH))
    for layer in range(LAYERS):
        place = f"blk.{layer}."
        for name, shape in MATRICES.items():
            writer.add_tensor(f"{place}{name}.weight", noise(*shape))
        for name in norms:
            writer.add_tensor(f"{place}{name}.weight", 1 + noise(WIDTH))
        for name in heads:
            writer.add_tensor(f"{place}{name}.weight", 1 + noise(HEAD_WIDTH))
        for name in ("attn_q", "attn_k", "attn_v") if architecture == "qwen2" else ():
            writer.add_tensor(f"{place}{name}.bias", noise(MATRICES[name][0]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_bytes(writer):
    """A vocabulary of bytes, some merges and the control tokens of a chat."""
    merges = ["Ġ t", "Ġt h", "i n", "in g", "Ġ a", "e r", "Ġ f", "a r"]
    tokens = sorted(ByteLevel.alphabet()) + [merge.replace(" ", "") for merge in merges]
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    kinds = [TokenType.NORMAL] * len(tokens) + [TokenType.CONTROL] * len(control)
    tokens += control
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_chat_template(CHAT)
    return len(tokens)


def add_pieces(writer):
    """A vocabulary of pieces with scores, of bytes, and of a line break."""
    pieces = [*"▁abcdefghijklmnopqrstuvwxyz0123456789.%:", "▁t", "▁th", "in", "ing", "▁a"]
    tokens = ["<pad>", "<eos>", "<bos>", "\n", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kinds = [TokenType.CONTROL] * 3 + [TokenType.USER_DEFINED] + [TokenType.BYTE] * 256
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds + [TokenType.NORMAL] * len(pieces))
    writer.add_token_scores([-float(at) for at in range(len(tokens))])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_add_space_prefix(False)
    return len(tokens)


if __name__ == "__main__":
    main()
