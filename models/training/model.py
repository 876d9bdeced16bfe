"""A decoder for training: frozen weights of a GGUF file, and low-rank factors beside them.

What the decoder is like is read from the file: Gemma 3, Qwen2, Qwen3 and Llama. The weights stay
as the program has them, dequantized; of a matrix W an input x gives W x + scale · B (A x), and only
A and B are learned. Query, key and value are one matrix, and so are gate and up.

Going back, a product with a matrix is only taken with respect to its input. Of each layer the
inputs of its products, norms and attention are kept, which is some 2.4 MB a token in bfloat16 for a
model of 1.5 billion parameters; nothing is computed twice.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from gguf import GGUFReader
from gguf.quants import dequantize

from adapter import read_factors

# Matrices that share an input, and are multiplied as one.
GROUPS = (("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",))
ARCHITECTURES = ("gemma3", "qwen2", "qwen3", "llama")
FACTOR_SCALE = 32  # times 1 / rank
CPU = Path("/proc/cpuinfo")


class Description:
    """What a GGUF file says of its decoder, and what its architecture takes for granted."""

    def __init__(self, fields, tensors):
        self.name = fields["general.name"].contents() if "general.name" in fields else ""
        self.architecture = fields["general.architecture"].contents()
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"the architecture `{self.architecture}` is not one of "
                             f"{', '.join(ARCHITECTURES)}")

        def read(key, default=None):
            field = fields.get(f"{self.architecture}.{key}")
            if field is None and default is None:
                raise ValueError(f"the file lacks {self.architecture}.{key}")
            return default if field is None else field.contents()

        if any(".rope.scaling." in key for key in fields) or "rope_freqs.weight" in tensors:
            raise ValueError("the file scales its rotary positions, which is not trained here")
        self.layers, self.width = read("block_count"), read("embedding_length")
        self.heads = read("attention.head_count")
        self.key_heads = read("attention.head_count_kv", self.heads)
        self.head_width = read("attention.key_length", self.width // self.heads)
        self.epsilon = read("attention.layer_norm_rms_epsilon")
        theta = read("rope.freq_base", 1e6 if self.architecture == "gemma3" else 1e4)
        self.rope = [theta] * self.layers
        self.window = [None] * self.layers
        is_gemma = self.architecture == "gemma3"
        self.embedding_scale = math.sqrt(self.width) if is_gemma else 1.0
        self.is_gelu = is_gemma
        self.pairs_are_neighbours = self.architecture == "llama"
        if is_gemma:  # five layers with a sliding window, then one without
            for layer in range(self.layers):
                if (layer + 1) % 6:
                    self.rope[layer], self.window[layer] = 1e4, read("attention.sliding_window")


class Linear(torch.autograd.Function):
    """Matrices with one input, each with factors beside it; gradients go to the input and the
    factors. `weight` has the matrices below each other, and `a` their factors A."""

    @staticmethod
    def forward(ctx, x, weight, scale, a, *bs):
        ctx.save_for_backward(x, weight, a, *bs)
        ctx.scale = scale
        y = x @ weight.t()
        for out, u, b in zip(y.split([b.shape[0] for b in bs], 1), inner(x, a, bs), bs):
            out.addmm_(u, b.t(), alpha=scale)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, weight, a, *bs = ctx.saved_tensors
        parts = grad.split([b.shape[0] for b in bs], 1)
        grad_bs = [(part.t() @ u).mul_(ctx.scale) for part, u in zip(parts, inner(x, a, bs))]
        grad_inner = torch.cat([part @ b for part, b in zip(parts, bs)], 1).mul_(ctx.scale)
        grad_x = (grad @ weight).addmm_(grad_inner, a) if ctx.needs_input_grad[0] else None
        return grad_x, None, None, grad_inner.t() @ x, *grad_bs


def inner(x, a, bs):
    return (x @ a.t()).split(a.shape[0] // len(bs), 1)


class Gated(torch.autograd.Function):
    """The activation of the gate times the other half."""

    @staticmethod
    def forward(ctx, both, is_gelu):
        ctx.save_for_backward(both)
        ctx.is_gelu = is_gelu
        gate, up = both.chunk(2, 1)
        return (F.gelu(gate, approximate="tanh") if is_gelu else F.silu(gate)).mul_(up)

    @staticmethod
    def backward(ctx, grad):
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, 1)
        result = torch.empty_like(both)
        grad_gate, grad_up = result.chunk(2, 1)
        if ctx.is_gelu:
            torch.mul(F.gelu(gate, approximate="tanh"), grad, out=grad_up)
            grad_gate.copy_(torch.ops.aten.gelu_backward(grad * up, gate, approximate="tanh"))
        else:
            torch.mul(F.silu(gate), grad, out=grad_up)
            grad_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return result, None


class Model:
    """`params` are the adapter's factors, f32, under the names that the program reads."""

    def __init__(self, gguf_path, rank, vocabulary, warm=None, device="cpu", dtype=None):
        reader = GGUFReader(gguf_path)
        tensors = {t.name: t for t in reader.tensors}
        self.device, self.dtype = torch.device(device), dtype or best_dtype(device)
        self.about = about = Description(reader.fields, tensors)
        self.scale = FACTOR_SCALE / rank
        old = self.begun_with(warm, rank) if warm else {}

        def read(name, dtype=torch.float32):
            tensor = tensors[name]
            values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
            return values.to(self.device, dtype)

        norm = lambda i, name: read(f"blk.{i}.{name}.weight", self.dtype) \
            if f"blk.{i}.{name}.weight" in tensors else None
        self.embedding = read("token_embd.weight", self.dtype)
        self.all_outputs = read("output.weight", self.dtype) if "output.weight" in tensors \
            else self.embedding
        self.head = self.all_outputs[torch.tensor(vocabulary, device=self.device)]
        self.out_norm = read("output_norm.weight", self.dtype)
        self.base, self.params, self.norms, self.biases = [], {}, [], []
        generator = torch.Generator().manual_seed(0)
        for i in range(about.layers):
            self.norms.append({name: norm(i, name) for name in (
                "attn_norm", "attn_q_norm", "attn_k_norm", "post_attention_norm", "ffn_norm",
                "post_ffw_norm")})
            for names in GROUPS:
                found = [f"blk.{i}.{name}.bias" in tensors for name in names]
                if any(found) and (not all(found) or names != GROUPS[0]):
                    raise ValueError(f"layer {i} has biases that are not known here")
                self.base.append(torch.cat([read(f"blk.{i}.{name}.weight", self.dtype)
                                            for name in names]))
                if names == GROUPS[0]:
                    self.biases.append(torch.cat([read(f"blk.{i}.{name}.bias", self.dtype)
                                                  for name in names]) if all(found) else None)
                for name in names:
                    inputs, outputs = map(int, tensors[f"blk.{i}.{name}.weight"].shape)
                    a, b = (f"blk.{i}.{name}.lora_{which}" for which in "ab")
                    self.params[a] = old[a] if warm else \
                        torch.randn(rank, inputs, generator=generator) / math.sqrt(inputs)
                    self.params[b] = old[b] if warm else torch.zeros(outputs, rank)
        self.params = {name: value.to(self.device) for name, value in self.params.items()}
        self.angles = {theta: self.rope_tables(theta) for theta in set(about.rope)}
        self.take_over()

    def begun_with(self, path, rank):
        """The factors of an adapter, in the scale of this model."""
        factors, metadata = read_factors(path)
        if int(metadata["rank"]) != rank:
            raise ValueError(f"{path} has the rank {metadata['rank']}, not {rank}")
        ratio = float(metadata["scale"]) / self.scale
        return {name: value * ratio if name.endswith("_b") else value
                for name, value in factors.items()}

    def rope_tables(self, theta, positions=4096):
        width = self.about.head_width
        frequencies = theta ** (-torch.arange(0, width, 2, device=self.device).float() / width)
        angles = torch.outer(torch.arange(positions, device=self.device).float(), frequencies)
        return angles.cos(), angles.sin()

    def take_over(self):
        """Takes over the current parameters, in the type that is computed in."""
        self.factors = []
        for layer in range(self.about.layers):
            for names in GROUPS:
                factor = lambda name, which: self.params[f"blk.{layer}.{name}.lora_{which}"]
                a = torch.cat([factor(name, "a") for name in names]).to(self.dtype)
                bs = [factor(name, "b").to(self.dtype, copy=True) for name in names]
                self.factors.append([value.requires_grad_() for value in (a, *bs)])

    def leaves(self):
        """What to take gradients of, in the order that `gradients` expects."""
        return [leaf for group in self.factors for leaf in group]

    def gradients(self, found):
        """Gradients of `leaves` as gradients of `params`, by name."""
        result, found = {}, iter(found)
        for layer in range(self.about.layers):
            for names in GROUPS:
                for name, a in zip(names, next(found).chunk(len(names))):
                    result[f"blk.{layer}.{name}.lora_a"] = a
                for name in names:
                    result[f"blk.{layer}.{name}.lora_b"] = next(found)
        return result

    def linear(self, x, layer, group):
        at = layer * len(GROUPS) + group
        return Linear.apply(x, self.base[at], self.scale, *self.factors[at])

    def norm(self, x, weight):
        if weight is None:
            return x
        return F.rms_norm(x, (x.shape[-1],), weight, self.about.epsilon)

    def rotate(self, x, theta, positions):
        """x: batch × heads × time × width of a head; positions: batch × time."""
        cos, sin = (table[positions].unsqueeze(1) for table in self.angles[theta])
        wide = x.float()
        if self.about.pairs_are_neighbours:
            one, two = wide[..., ::2], wide[..., 1::2]
            pairs = torch.stack([one * cos - two * sin, two * cos + one * sin], -1).flatten(-2)
        else:
            one, two = wide.chunk(2, -1)
            pairs = torch.cat([one * cos - two * sin, two * cos + one * sin], -1)
        return pairs.to(x.dtype)

    def attend(self, x, positions, visible, layer):
        """x: (batch · time) × width, behind the norm. Gives (batch · time) × (heads · width)."""
        about, norms = self.about, self.norms[layer]
        batch, time = positions.shape
        qkv = self.linear(x, layer, 0)
        if self.biases[layer] is not None:
            qkv = qkv + self.biases[layer]
        widths = [heads * about.head_width
                  for heads in (about.heads, about.key_heads, about.key_heads)]
        q, k, v = (part.reshape(batch, time, -1, about.head_width).transpose(1, 2)
                   for part in qkv.split(widths, 1))
        q = self.rotate(self.norm(q, norms["attn_q_norm"]), about.rope[layer], positions)
        k = self.rotate(self.norm(k, norms["attn_k_norm"]), about.rope[layer], positions)
        group, mask, window = about.heads // about.key_heads, None, about.window[layer]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        if visible is not None:
            mask = visible.unsqueeze(1)
        if window is not None and time > window:
            distance = (positions[:, :, None] - positions[:, None]).unsqueeze(1)
            mask = (distance >= 0) & (distance < window) & (True if mask is None else mask)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return out.transpose(1, 2).reshape(batch * time, -1)

    def loss(self, ids, rows, labels, weights, extra):
        """Weighted sum of the losses of `rows`."""
        return (self.row_losses(ids, rows, labels, extra) * weights).sum()

    def row_losses(self, ids, rows, labels, extra, positions=None, visible=None):
        """Loss of each row in nats. `ids`: batch × time; `rows`: indices into batch · time whose
        next token counts; `labels`: that token's index in the output vocabulary, to which the
        tokens `extra` are added. Where a sequence is not simply one text, `positions` (batch ×
        time) has the places of its tokens, and `visible` (batch × time × time) which of the others
        each of them sees."""
        batch, time = ids.shape
        if positions is None:
            positions = torch.arange(time, device=ids.device).expand(batch, time)
        x = self.embedding[ids.view(-1)] * self.about.embedding_scale
        for layer in range(self.about.layers):
            norms = self.norms[layer]
            out = self.attend(self.norm(x, norms["attn_norm"]), positions, visible, layer)
            if layer == self.about.layers - 1:  # the other rows have nothing more to tell
                x, out = x[rows], out[rows]
            x = x + self.norm(self.linear(out, layer, 1), norms["post_attention_norm"])
            both = self.linear(self.norm(x, norms["ffn_norm"]), layer, 2)
            down = self.linear(Gated.apply(both, self.about.is_gelu), layer, 3)
            x = x + self.norm(down, norms["post_ffw_norm"])
        head = torch.cat([self.head, self.all_outputs[extra]])
        logits = F.linear(self.norm(x, self.out_norm), head).float()
        return F.cross_entropy(logits, labels, reduction="none")


def best_dtype(device):
    """bfloat16 where the device multiplies it faster than f32."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16
    if not CPU.exists():
        return torch.float32
    with open(CPU, encoding="utf8") as lines:
        flags = next((line.split() for line in lines if line.startswith("flags")), ())
    return torch.bfloat16 if {"amx_bf16", "avx512_bf16"} & set(flags) else torch.float32
