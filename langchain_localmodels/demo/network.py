"""The network of the demo model: the llama architecture in PyTorch, and the optimizer it learns by.

Owns the shape of the model (`Shape`), its forward pass and the Muon optimizer. The layers bear the
names that `export.py` maps to GGUF; everything else about files, text and batches lies elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; Q8_0 wants every width to be a multiple of 32.

    Attributes:
        vocabulary: Number of tokens.
        width: Width of the residual stream.
        layers: Number of blocks.
        heads: Number of attention heads.
        hidden: Width inside the feed-forward part.
        rope_base: Base of the rotary position frequencies.
        norm_eps: Added to the variance in every norm.
    """

    vocabulary: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    hidden: int = 512
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


class Norm(nn.Module):  # type: ignore[misc]
    """Root-mean-square norm with a learnt scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Scale every vector to unit mean square."""
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn neighbouring pairs of `x` by their position's angles (llama.cpp's "normal" RoPE)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a gated feed-forward part, each behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, shape.hidden
        self.heads, self.head_width = shape.heads, shape.head_width
        self.attn_norm = Norm(width, shape.norm_eps)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, width, bias=False)
        self.attn_v = nn.Linear(width, width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = Norm(width, shape.norm_eps)
        self.ffn_gate = nn.Linear(width, hidden, bias=False)
        self.ffn_up = nn.Linear(width, hidden, bias=False)
        self.ffn_down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Run the block on `x` of shape (batch, time, width)."""
        batch, time, width = x.shape
        split = (batch, time, self.heads, self.head_width)
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(split).transpose(1, 2), cos, sin)
        k = rotate(self.attn_k(h).view(split).transpose(1, 2), cos, sin)
        v = self.attn_v(h).view(split).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, time, width))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Network(nn.Module):  # type: ignore[misc]
    """Token ids in, scores of the next token out; the embedding is also the output matrix."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, window: int) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width, shape.norm_eps)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        half = torch.arange(0, shape.head_width, 2) / shape.head_width
        angles = torch.outer(torch.arange(window).float(), shape.rope_base**-half)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Score the next token at every position of `ids`, shape (batch, time)."""
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, cos, sin)
        return F.linear(self.output_norm(x), self.token_embd.weight)

    def matrices(self) -> list[nn.Parameter]:
        """The weights Muon trains: every matrix but the embedding."""
        return [p for p in self.blk.parameters() if p.dim() == 2]

    def others(self) -> list[nn.Parameter]:
        """The weights AdamW trains: the embedding and the norms."""
        ours = {id(p) for p in self.matrices()}
        return [p for p in self.parameters() if id(p) not in ours]


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Momentum made orthogonal by five Newton-Schulz steps (Jordan et al., 2024).

    Every direction of a matrix learns at the same speed, so copying appears after a fraction of
    the tokens that AdamW needs. The constants are those of the paper.
    """

    def __init__(self, params: Any, lr: float = 0.02, momentum: float = 0.95, decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    def step(self, closure: Any = None) -> None:
        """Move every matrix by its orthogonal momentum."""
        for group in self.param_groups:
            for weight in group["params"]:
                with torch.no_grad():
                    self._move(weight, group["lr"], group["momentum"], group["decay"])

    def _move(self, weight: Tensor, lr: float, momentum: float, decay: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        mean = state["momentum"].mul_(momentum).add_(weight.grad)
        update = orthogonal(weight.grad.add(mean, alpha=momentum))
        rows, columns = weight.shape
        weight.mul_(1 - lr * decay)
        weight.add_(update, alpha=-lr * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to `matrix`, to within what five cheap steps give."""
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
