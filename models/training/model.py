"""Gemma 3 for training on a CPU: frozen weights, and a low-rank adapter that is merged into them.

The merged matrices W + scale · B · A are computed once a step, so that a token costs one product
and not three going forward. Going back, a product of a matrix is only taken with respect to its
input; the factors' gradients come from their thin products alone. Query, key and value are one
matrix, and so are gate and up.

Attention is written out in blocks of queries: a block needs no key after it nor, where a layer has
a sliding window, long before it. All four query heads share the one key head, so a block's queries
of all heads are one matrix. This is twice as fast as PyTorch's own on this kind of machine.

Everything runs in bfloat16; norms, softmax and the loss count in f32 inside.
"""

import math

import torch
import torch._dynamo
import torch.nn.functional as F
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file

WIDTH, HEADS, HEAD_WIDTH, LAYERS, WINDOW = 640, 4, 256, 18, 512
EPSILON, ROPE_LOCAL, ROPE_GLOBAL, GLOBAL_EVERY = 1e-6, 1e4, 1e6, 6
QUERY_BLOCK = 128
BF16 = torch.bfloat16

# Matrices that share an input, and are multiplied as one.
GROUPS = (("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",))
NORMS = ("attn_norm", "attn_q_norm", "attn_k_norm", "post_attention_norm", "ffn_norm",
         "post_ffw_norm")


class Merged(torch.autograd.Function):
    """x times a merged matrix; its gradient goes to x and to the factors, not to the matrix."""

    @staticmethod
    def forward(ctx, x, weight, a, *bs):
        ctx.save_for_backward(x, weight, a, *bs)
        return x @ weight.t()

    @staticmethod
    def backward(ctx, grad):
        x, weight, a, *bs = ctx.saved_tensors
        rank = a.shape[0] // len(bs)
        parts = grad.split([b.shape[0] for b in bs], 1)
        inner = (x @ a.t()).split(rank, 1)
        grad_inner = torch.cat([part @ b for part, b in zip(parts, bs)], 1)
        grad_bs = [part.t() @ u for part, u in zip(parts, inner)]
        return grad @ weight, None, grad_inner.t() @ x, *grad_bs


class Attention(torch.autograd.Function):
    """Causal. q: batch × (time · heads) × width; k, v: batch × time × width. Gives (batch · time) ×
    (heads · width)."""

    @staticmethod
    def blocks(time, window):
        for start in range(0, time, QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, time)
            yield slice(start * HEADS, end * HEADS), slice(max(0, start - window + 1), end), start

    @staticmethod
    def mask(queries, keys, start, window):
        query = torch.arange(start, start + (queries.stop - queries.start) // HEADS)
        distance = query[:, None] - torch.arange(keys.start, keys.stop)
        hidden = (distance < 0) | (distance >= window)
        mask = torch.zeros(distance.shape, dtype=BF16).masked_fill_(hidden, float("-inf"))
        return mask.repeat_interleave(HEADS, 0)

    @staticmethod
    def forward(ctx, q, k, v, window, scale):
        batch, time, width = k.shape
        result, kept = q.new_empty(batch * time, HEADS * width), []
        out = result.view(batch, time * HEADS, width)
        for queries, keys, start in Attention.blocks(k.shape[1], window):
            mask = Attention.mask(queries, keys, start, window)
            key = k[:, keys].transpose(1, 2)
            scores = torch.baddbmm(mask, q[:, queries], key, alpha=scale)
            kept.append(torch.softmax(scores, -1))
            out[:, queries] = kept[-1] @ v[:, keys]
        ctx.save_for_backward(q, k, v, *kept)
        ctx.window, ctx.scale = window, scale
        return result

    @staticmethod
    def backward(ctx, grad):
        q, k, v, *kept = ctx.saved_tensors
        grad = grad.reshape(q.shape)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (queries, keys, _), p in zip(Attention.blocks(k.shape[1], ctx.window), kept):
            g = grad[:, queries]
            dv[:, keys] += p.transpose(1, 2) @ g
            dp = g @ v[:, keys].transpose(1, 2)
            ds = torch._softmax_backward_data(dp, p, -1, BF16)
            dq[:, queries] = ds @ k[:, keys]
            dk[:, keys] += ds.transpose(1, 2) @ q[:, queries]
        return dq.mul_(ctx.scale), dk.mul_(ctx.scale), dv, None, None


def norm(x, weight):
    x = x.float()
    return (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight).to(BF16)


def rotate(x, cos, sin):
    half = HEAD_WIDTH // 2
    x = x.float()
    return (x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin).to(BF16)


def project(x, batch, norms, cos, sin, weight, a, bs):
    """x: rows × width. Queries, keys and values, in the form that Attention takes."""
    time = x.shape[0] // batch
    qkv = Merged.apply(norm(x, norms[0]), weight, a, *bs)
    q, k, v = qkv.view(batch, time, -1).split([HEADS * HEAD_WIDTH, HEAD_WIDTH, HEAD_WIDTH], 2)
    q = norm(q.reshape(batch, time, HEADS, HEAD_WIDTH), norms[1])
    q = rotate(q, cos[:, None], sin[:, None]).view(batch, time * HEADS, HEAD_WIDTH)
    return q, rotate(norm(k, norms[2]), cos, sin), v.contiguous()


def feed(x, out, norms, o_group, up_group, down_group):
    """x, out: rows × width of the residual stream and of attention. The rest of a layer."""
    apply = lambda y, group: Merged.apply(y, group[0], group[1], *group[2])
    x = x + norm(apply(out, o_group), norms[3])
    gate, up = apply(norm(x, norms[4]), up_group).chunk(2, 1)
    hidden = F.gelu(gate.float(), approximate="tanh") * up.float()
    return x + norm(apply(hidden.to(BF16), down_group), norms[5])


def losses(x, out_norm, head, labels):
    """Loss of every row in nats."""
    logits = F.linear(norm(x, out_norm), head).float()
    return F.cross_entropy(logits, labels, reduction="none")


class Model:
    """`params` are the adapter's factors, f32, under the names that the program reads."""

    def __init__(self, gguf_path, rank, vocabulary, warm=None, compile=True):
        tensors = {t.name: t for t in GGUFReader(gguf_path).tensors}
        read = lambda name: torch.from_numpy(dequantize(tensors[name].data,
                                                        tensors[name].tensor_type).copy())
        self.scale = 32 / rank
        self.embedding = read("token_embd.weight").to(BF16)
        self.out_norm = read("output_norm.weight").float()
        self.head = self.embedding[torch.tensor(vocabulary)]
        self.base, self.params, self.norms = [], {}, []
        old = load_file(warm) if warm else {}
        for i in range(LAYERS):
            self.norms.append([read(f"blk.{i}.{n}.weight").float() for n in NORMS])
            for names in GROUPS:
                matrices = [read(f"blk.{i}.{name}.weight").float() for name in names]
                self.base.append(torch.cat(matrices))
                for name, matrix in zip(names, matrices):
                    outputs, inputs = matrix.shape
                    a, b = (f"blk.{i}.{name}.lora_{which}" for which in "ab")
                    self.params[a] = old[a].float() if warm else \
                        torch.randn(rank, inputs) / math.sqrt(inputs)
                    self.params[b] = old[b].float() if warm else torch.zeros(outputs, rank)
        self.rope = {theta: rope_tables(theta) for theta in (ROPE_LOCAL, ROPE_GLOBAL)}
        torch._dynamo.config.recompile_limit = 32  # with and without gradients, views or not
        fused = torch.compile(dynamic=True) if compile else (lambda function: function)
        self.project, self.feed, self.losses = fused(project), fused(feed), fused(losses)
        self.groups = [None] * len(self.base)

    def merge(self, index):
        """Takes over the current parameters of one group of matrices (of LAYERS · len(GROUPS))."""
        layer, group = divmod(index, len(GROUPS))
        names = [f"blk.{layer}.{name}" for name in GROUPS[group]]
        pairs = [(self.params[n + ".lora_a"], self.params[n + ".lora_b"]) for n in names]
        delta = torch.cat([b @ a for a, b in pairs])
        weight = torch.add(self.base[index], delta, alpha=self.scale).to(BF16)
        a = torch.cat([a for a, _ in pairs]).to(BF16).requires_grad_()
        bs = [b.to(BF16).requires_grad_() for _, b in pairs]
        self.groups[index] = (weight, a, bs)

    def leaves(self):
        """What to take gradients of, in the order that `gradients` expects."""
        return [leaf for _, a, bs in self.groups for leaf in (a, *bs)]

    def gradients(self, found):
        """Gradients of `leaves` as gradients of `params`: f32, by name."""
        result, found = {}, iter(found)
        for layer in range(LAYERS):
            for names in GROUPS:
                grad_a = next(found).float().chunk(len(names))
                for name, a in zip(names, grad_a):
                    result[f"blk.{layer}.{name}.lora_a"] = a * self.scale
                for name in names:
                    result[f"blk.{layer}.{name}.lora_b"] = next(found).float() * self.scale
        return result

    def loss(self, ids, rows, labels, weights, extra):
        """Weighted sum of the losses of `rows`."""
        return (self.row_losses(ids, rows, labels, extra) * weights).sum()

    def row_losses(self, ids, rows, labels, extra):
        """Loss of each row in nats. `ids`: batch × time; `rows`: indices into batch · time whose
        next token counts; `labels`: that token's index in the output vocabulary, to which the
        tokens `extra` are added."""
        batch, time = ids.shape
        x = self.embedding[ids.view(-1)] * torch.tensor(math.sqrt(WIDTH), dtype=BF16)
        for layer in range(LAYERS):
            qkv, o, up, down = self.groups[layer * len(GROUPS):(layer + 1) * len(GROUPS)]
            is_global = (layer + 1) % GLOBAL_EVERY == 0
            cos, sin = self.rope[ROPE_GLOBAL if is_global else ROPE_LOCAL]
            q, k, v = self.project(x, batch, self.norms[layer], cos[:time], sin[:time], *qkv)
            out = Attention.apply(q, k, v, time if is_global else WINDOW, HEAD_WIDTH ** -0.5)
            if layer == LAYERS - 1:  # the other rows have nothing more to tell
                x, out = x[rows], out[rows]
            x = self.feed(x, out, self.norms[layer], o, up, down)
        head = torch.cat([self.head, self.embedding[extra]])
        return self.losses(x, self.out_norm, head, labels)


def rope_tables(theta, positions=2048):
    frequencies = theta ** (-torch.arange(0, HEAD_WIDTH, 2).float() / HEAD_WIDTH)
    angles = torch.outer(torch.arange(positions).float(), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()
