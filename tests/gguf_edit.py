"""Copies of the demo model with other metadata: files that are well-formed and yet wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFValueType, GGUFWriter

from langchain_localmodels.demo import model_path


def write_changed(path: Path, changes: dict[str, Any]) -> None:
    """Write the demo model with other values for some of its metadata."""
    source = GGUFReader(model_path)
    target = GGUFWriter(path, "llama")
    for entry in source.fields.values():
        if entry.name.startswith("GGUF.") or entry.name == "general.architecture":
            continue
        kind = entry.types[0]
        of = entry.types[-1] if kind == GGUFValueType.ARRAY else None
        target.add_key_value(entry.name, changes.get(entry.name, entry.contents()), kind, sub_type=of)
    for tensor in source.tensors:
        target.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    target.write_header_to_file()
    target.write_kv_data_to_file()
    target.write_tensors_to_file()
    target.close()
