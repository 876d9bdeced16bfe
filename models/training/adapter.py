"""Adapter files: what the program merges into a model when it loads it.

For a matrix W called `blk.3.attn_q` the file has, in 8 bits, `blk.3.attn_q.lora_a` (rank × inputs)
and `blk.3.attn_q.lora_b` (outputs × rank), and in f32 `blk.3.attn_q.lora_scale` (rank): what a row
of A times the column of B that it meets is worth. The metadata have the number `scale`, and the
program makes W + scale · B · diag(lora_scale) · A. Factors without `lora_scale`, in f16, are read
as well.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

MAX_BYTES = 30 << 20  # all adapters are compiled into the program, 40 MB together


def read_tensors(path):
    """The tensors of a file as they are stored, and its metadata."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def read_factors(path):
    """The factors of a file in f32, the worth of both being shared evenly, and its metadata."""
    tensors, metadata = read_tensors(path)
    factors = {name: value.float() for name, value in tensors.items()
               if name.endswith((".lora_a", ".lora_b"))}
    for name, worth in tensors.items():
        if name.endswith(".lora_scale"):
            place = name.removesuffix("scale")
            factors[place + "a"] *= worth.sqrt()[:, None]
            factors[place + "b"] *= worth.sqrt()
    return factors, metadata


def rounded(a, b):
    """Factors in 8 bits, and what they are worth together."""
    sizes = [(values.abs().amax(dim) / 127).clamp_min(1e-15)
             for values, dim in ((a, 1), (b, 0))]
    a, b = a / sizes[0][:, None], b / sizes[1]
    return (a.round().to(torch.int8), b.round().to(torch.int8), (sizes[0] * sizes[1]).float())


def write(path, tensors, metadata):
    """Writes a file and prints what the model's card says of it."""
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{name} has values that its type cannot hold")
    content = save({name: value.contiguous() for name, value in tensors.items()}, metadata)
    # The library writes its header in any order; sorted, the same adapter is the same bytes.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), ensure_ascii=False, sort_keys=True,
                        separators=(",", ":"))
    content = content[:8] + header.encode().ljust(end - 8) + content[end:]
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} has {len(content)} bytes, more than {MAX_BYTES}")
    Path(path).write_bytes(content)
    print(f"bytes = {len(content)}\nsha256 = \"{hashlib.sha256(content).hexdigest()}\"")
