"""Writes small GGUF models with other memories than a plain KV cache: recurrent, hybrid, and with a sliding window.

Their weights are random, and large enough that what they write depends on all that they read. They write only whole
words with a space before them: what they wrote is then read back as the very same tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from langchain_localmodels.demo import model_path
from tests.models import add_vocabulary, finish

SHARPNESS = 8.0
"""Standard deviation of the scores of the words; far more than what rounding changes in them."""
_WIDTH = 64
_FEED_FORWARD = 128
_HEADS = 4
_HEAD = _WIDTH // _HEADS


def write_mamba(path: Path, *, layers: int = 3, window: int = 2048, seed: int = 0) -> Path:
    """Write a recurrent model: a sequence is one state, whatever its length.

    Args:
        path: The file to write.
        layers: How many layers.
        window: Context window that the file tells.
        seed: Which random weights.

    Returns:
        The path.
    """
    inner, state, rank, kernel = 2 * _WIDTH, 8, 4, 4
    writer = _begin(path, "mamba", layers, window)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    random = np.random.default_rng(seed)
    matrices: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        block = f"blk.{layer}."
        matrices |= {
            f"{block}ssm_in.weight": (2 * inner, _WIDTH),
            f"{block}ssm_conv1d.weight": (inner, kernel),
            f"{block}ssm_x.weight": (rank + 2 * state, inner),
            f"{block}ssm_dt.weight": (inner, rank),
            f"{block}ssm_out.weight": (_WIDTH, inner),
        }
        # How fast the state fades: slowly enough that the beginning of a prompt still counts at its end.
        fading = -np.broadcast_to(np.arange(1, state + 1, dtype=np.float32) / (4 * state), (inner, state))
        writer.add_tensor(f"{block}ssm_a", np.ascontiguousarray(fading))
        writer.add_tensor(f"{block}ssm_dt.bias", random.uniform(-4, -2, inner).astype(np.float32))
        writer.add_tensor(f"{block}ssm_conv1d.bias", np.zeros(inner, np.float32))
        writer.add_tensor(f"{block}ssm_d", np.ones(inner, np.float32))
        _add_norms(writer, {f"{block}attn_norm.weight": _WIDTH})
    _end(writer, matrices, "output_norm.weight", random)
    return path


def write_lfm2(path: Path, *, window: int = 2048, seed: int = 0) -> Path:
    """Write a hybrid model: layers with a short convolution, whose state is one per sequence, between attention layers.

    Args:
        path: The file to write.
        window: Context window that the file tells.
        seed: Which random weights.

    Returns:
        The path.
    """
    key_value_heads, kernel = (0, 2, 0, 2), 3
    layers = len(key_value_heads)
    writer = _begin(path, "lfm2", layers, window)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(list(key_value_heads))
    writer.add_rope_freq_base(10_000.0)
    writer.add_shortconv_l_cache(kernel)
    matrices: dict[str, tuple[int, ...]] = {}
    norms: dict[str, int] = {}
    for layer, heads in enumerate(key_value_heads):
        block = f"blk.{layer}."
        matrices |= _feed_forward(block)
        norms |= {f"{block}attn_norm.weight": _WIDTH, f"{block}ffn_norm.weight": _WIDTH}
        if heads:
            matrices |= _attention(block, heads)
            norms |= {f"{block}attn_q_norm.weight": _HEAD, f"{block}attn_k_norm.weight": _HEAD}
        else:
            matrices |= {
                f"{block}shortconv.in_proj.weight": (3 * _WIDTH, _WIDTH),
                f"{block}shortconv.conv.weight": (_WIDTH, kernel),
                f"{block}shortconv.out_proj.weight": (_WIDTH, _WIDTH),
            }
    _add_norms(writer, norms)
    _end(writer, matrices, "token_embd_norm.weight", np.random.default_rng(seed))
    return path


def write_gemma3(path: Path, *, sliding_window: int = 32, window: int = 2048, seed: int = 0) -> Path:
    """Write a model with a sliding window: five layers see only the latest tokens, and the sixth sees all of them.

    Args:
        path: The file to write.
        sliding_window: How many tokens those layers see.
        window: Context window that the file tells.
        seed: Which random weights.

    Returns:
        The path.
    """
    layers, heads = 6, 2
    writer = _begin(path, "gemma3", layers, window)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(heads)
    writer.add_key_length(_HEAD)
    writer.add_value_length(_HEAD)
    writer.add_sliding_window(sliding_window)
    writer.add_rope_freq_base(10_000.0)
    matrices: dict[str, tuple[int, ...]] = {}
    norms: dict[str, int] = {}
    for layer in range(layers):
        block = f"blk.{layer}."
        matrices |= _attention(block, heads) | _feed_forward(block)
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            norms[f"{block}{name}.weight"] = _WIDTH
        norms |= {f"{block}attn_q_norm.weight": _HEAD, f"{block}attn_k_norm.weight": _HEAD}
    _add_norms(writer, norms)
    _end(writer, matrices, "output_norm.weight", np.random.default_rng(seed))
    return path


def words() -> list[str]:
    """The words that these models write, each with the space before it."""
    return [text for text in _token_texts() if _is_word(text)]


def _begin(path: Path, architecture: str, layers: int, window: int) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, architecture)
    add_vocabulary(writer)
    writer.add_context_length(window)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(layers)
    writer.add_layer_norm_rms_eps(1e-5)
    return writer


def _attention(block: str, key_value_heads: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{block}attn_q.weight": (_HEADS * _HEAD, _WIDTH),
        f"{block}attn_k.weight": (key_value_heads * _HEAD, _WIDTH),
        f"{block}attn_v.weight": (key_value_heads * _HEAD, _WIDTH),
        f"{block}attn_output.weight": (_WIDTH, _HEADS * _HEAD),
    }


def _feed_forward(block: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{block}ffn_gate.weight": (_FEED_FORWARD, _WIDTH),
        f"{block}ffn_up.weight": (_FEED_FORWARD, _WIDTH),
        f"{block}ffn_down.weight": (_WIDTH, _FEED_FORWARD),
    }


def _add_norms(writer: gguf.GGUFWriter, norms: Mapping[str, int]) -> None:
    for name, length in norms.items():
        # Queries are long, so that attention picks out tokens instead of averaging them all away.
        writer.add_tensor(name, np.full(length, 4.0 if "attn_q_norm" in name else 1.0, np.float32))


def _end(
    writer: gguf.GGUFWriter, matrices: Mapping[str, tuple[int, ...]], last_norm: str, random: np.random.Generator
) -> None:
    for name, shape in matrices.items():
        # Scaled so that a layer's output is as large as its input.
        writer.add_tensor(name, (random.standard_normal(shape) * 1.5 / math.sqrt(shape[-1])).astype(np.float32))
    writable = np.array([_is_word(text) for text in _token_texts()])
    shape = (len(writable), _WIDTH)
    # Not the same matrix twice: a model that scores words by their likeness to the latest one repeats it.
    writer.add_tensor("token_embd.weight", random.standard_normal(shape).astype(np.float32) * 0.2)
    scores = random.standard_normal(shape) * SHARPNESS / math.sqrt(_WIDTH)
    writer.add_tensor("output.weight", (scores * writable[:, None]).astype(np.float32))
    _add_norms(writer, {last_norm: _WIDTH})
    finish(writer)


def _token_texts() -> list[str]:
    tokens: list[str] = gguf.GGUFReader(model_path).fields["tokenizer.ggml.tokens"].contents()
    return [token.replace("Ġ", " ") for token in tokens]


def _is_word(text: str) -> bool:
    return re.fullmatch(" [a-z]{3,}", text) is not None
