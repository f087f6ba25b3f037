"""Writes small GGUF files for tests: a LoRA adapter, for now.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import struct
from pathlib import Path

_ALIGNMENT = 32
_FLOAT, _STRING = 6, 8


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def write_lora(path: Path, *, tensor: str, inputs: int, outputs: int, value: float) -> None:
    """Write an adapter of rank 1 that adds `value` to every weight of one matrix, at scale 1."""
    metadata: dict[str, str | float] = {
        "general.type": "adapter",
        "general.architecture": "llama",
        "adapter.type": "lora",
        "adapter.lora.alpha": 1.0,
    }
    tensors = {
        f"{tensor}.lora_a": ((inputs, 1), [value] * inputs),
        f"{tensor}.lora_b": ((1, outputs), [1.0] * outputs),
    }
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, entry in metadata.items():
        head += _text(key)
        if isinstance(entry, str):
            head += struct.pack("<I", _STRING) + _text(entry)
        else:
            head += struct.pack("<If", _FLOAT, entry)
    data = b""
    for name, (shape, numbers) in tensors.items():
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        data += bytes(-len(data) % _ALIGNMENT)
    path.write_bytes(head + bytes(-len(head) % _ALIGNMENT) + data)
