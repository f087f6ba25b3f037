"""Writes GGUF models with random weights, on the demo model's vocabulary: for what takes another size or network.

They write nonsense, always the same for the same arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from langchain_localmodels.demo import model_path


def write_llama(
    path: Path,
    *,
    width: int = 64,
    layers: int = 2,
    feed_forward: int = 128,
    window: int = 2048,
    quantization: str = "F32",
    tokens: list[bytes] | None = None,
    seed: int = 0,
) -> Path:
    """Write a model of llama's architecture, with heads of 64 (or `width`, if that is less).

    Args:
        path: The file to write.
        width: Length of a token's vector; a multiple of 64, or less than that.
        layers: How many layers.
        feed_forward: Width inside of a layer.
        window: Context window that the file tells.
        quantization: How the matrices are kept, such as `Q4_0`.
        tokens: Another vocabulary than the demo model's, byte for byte.
        seed: Which random weights.

    Returns:
        The path.
    """
    head = min(width, 64)
    writer = gguf.GGUFWriter(path, "llama")
    size = add_vocabulary(writer, tokens)
    writer.add_context_length(window)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(width // head)
    writer.add_head_count_kv(width // head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    shapes = {"token_embd.weight": (size, width)}
    for layer in range(layers):
        for name, shape in {
            "attn_q": (width, width),
            "attn_k": (width, width),
            "attn_v": (width, width),
            "attn_output": (width, width),
            "ffn_gate": (feed_forward, width),
            "ffn_up": (feed_forward, width),
            "ffn_down": (width, feed_forward),
        }.items():
            shapes[f"blk.{layer}.{name}.weight"] = shape
    norms = [f"blk.{layer}.{name}.weight" for layer in range(layers) for name in ("attn_norm", "ffn_norm")]
    add_weights(writer, shapes, dict.fromkeys([*norms, "output_norm.weight"], width), quantization, seed)
    finish(writer)
    return path


def write_demo_unquantized(path: Path) -> Path:
    """Write the demo model with its weights in 32 bits.

    With quantized weights, llama.cpp rounds what it multiplies them with to 8 bits, so that a sum which is added up in
    another order, as happens when the KV cache is in another order, may change a logit by 0.4. Here it is 0.03.
    """
    reader = gguf.GGUFReader(model_path)
    writer = gguf.GGUFWriter(path, "llama")
    skipped = ("general.architecture", "general.file_type", "llama.vocab_size")  # these are written below, or by gguf
    for name, field in reader.fields.items():
        if name.startswith(("GGUF.", "tokenizer.")) or name in skipped:
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, field.types[1] if len(field.types) > 1 else None)
    add_vocabulary(writer)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    finish(writer)
    return path


def add_vocabulary(writer: gguf.GGUFWriter, tokens: list[bytes] | None = None) -> int:
    """Add the demo model's tokenizer, or one with other tokens; gives the number of tokens."""
    fields = gguf.GGUFReader(model_path).fields
    found: dict[str, Any] = {name: field.contents() for name, field in fields.items() if name.startswith("tokenizer.")}
    own = found["tokenizer.ggml.tokens"]
    writer.add_tokenizer_model(found["tokenizer.ggml.model"])
    writer.add_tokenizer_pre(found["tokenizer.ggml.pre"])
    writer.add_token_list(own if tokens is None else tokens)
    writer.add_token_types(found["tokenizer.ggml.token_type"] if tokens is None else [1] * len(tokens))
    writer.add_token_merges(found["tokenizer.ggml.merges"])
    writer.add_eos_token_id(found["tokenizer.ggml.eos_token_id"] if tokens is None else 0)
    writer.add_add_bos_token(False)
    if tokens is None:
        writer.add_chat_template(found["tokenizer.chat_template"])
    size = len(own if tokens is None else tokens)
    writer.add_vocab_size(size)
    return size


def add_weights(
    writer: gguf.GGUFWriter,
    shapes: Mapping[str, tuple[int, ...]],
    norms: Mapping[str, int],
    quantization: str = "F32",
    seed: int = 0,
) -> None:
    """Add random matrices of these shapes, and norms of these lengths that change nothing."""
    kind = gguf.GGMLQuantizationType[quantization]
    random = np.random.default_rng(seed)
    for name, shape in shapes.items():
        weights = random.standard_normal(shape).astype(np.float32) * 0.02
        writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)
    for name, length in norms.items():
        writer.add_tensor(name, np.ones(length, np.float32))


def finish(writer: gguf.GGUFWriter) -> None:
    """Write the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
