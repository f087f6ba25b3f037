"""The network of the demo embedding model: BERT in PyTorch, pooled by the mean.

Owns the shape of the model and its forward pass. The layers bear the names that llama.cpp gives them in a GGUF file;
tokens, training and the file lie elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class BertShape:
    """Sizes of the model; Q8_0 wants every width to be a multiple of 32.

    Attributes:
        vocabulary: Number of tokens.
        width: Length of a token's vector and of the embedding.
        layers: Number of blocks.
        heads: Number of attention heads.
        hidden: Width inside the feed-forward part.
        window: Tokens that have a position.
        norm_eps: Added to the variance in every norm.
    """

    vocabulary: int
    width: int = 192
    layers: int = 4
    heads: int = 6
    hidden: int = 768
    window: int = 512
    norm_eps: float = 1e-12


class BertBlock(nn.Module):  # type: ignore[misc]
    """Attention to both sides and a feed-forward part, each with a norm behind it."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.attn_q = nn.Linear(width, width)
        self.attn_k = nn.Linear(width, width)
        self.attn_v = nn.Linear(width, width)
        self.attn_output = nn.Linear(width, width)
        self.attn_output_norm = nn.LayerNorm(width, shape.norm_eps)
        self.ffn_up = nn.Linear(width, shape.hidden)
        self.ffn_down = nn.Linear(shape.hidden, width)
        self.layer_output_norm = nn.LayerNorm(width, shape.norm_eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Run the block on `x` of shape (batch, time, width); `mask` is true where there is a token."""
        batch, time, width = x.shape
        split = (batch, time, self.heads, width // self.heads)
        q, k, v = (layer(x).view(split).transpose(1, 2) for layer in (self.attn_q, self.attn_k, self.attn_v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = self.attn_output_norm(x + self.attn_output(mixed.transpose(1, 2).reshape(batch, time, width)))
        # llama.cpp computes GELU by the tanh formula.
        return self.layer_output_norm(x + self.ffn_down(F.gelu(self.ffn_up(x), approximate="tanh")))


class Bert(nn.Module):  # type: ignore[misc]
    """Token ids in, one vector of length 1 for each text out."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.position_embd = nn.Embedding(shape.window, shape.width)
        self.token_types = nn.Embedding(2, shape.width)
        self.token_embd_norm = nn.LayerNorm(shape.width, shape.norm_eps)
        self.blk = nn.ModuleList(BertBlock(shape) for _ in range(shape.layers))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor, mask: Tensor, offset: int = 0) -> Tensor:
        """Embed texts.

        Args:
            ids: Tokens, shape (batch, time).
            mask: True where there is a token and not padding.
            offset: Position of the first token; engines always start at 0.

        Returns:
            Vectors of length 1, shape (batch, width).
        """
        positions = torch.arange(offset, offset + ids.shape[1])
        x = self.token_embd_norm(self.token_embd(ids) + self.position_embd(positions) + self.token_types.weight[0])
        for block in self.blk:
            x = block(x, mask)
        weights = mask.float()[:, :, None]
        mean = (x.float() * weights).sum(1) / weights.sum(1)
        return F.normalize(mean, dim=-1)

    def matrices(self) -> list[nn.Parameter]:
        """The weights Muon trains: every matrix of the blocks."""
        return [p for p in self.blk.parameters() if p.dim() == 2]

    def others(self) -> list[nn.Parameter]:
        """The weights AdamW trains: embeddings, norms and biases."""
        ours = {id(p) for p in self.matrices()}
        return [p for p in self.parameters() if id(p) not in ours]
