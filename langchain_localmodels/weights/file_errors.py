"""What is wrong with a model file that is missing or is not GGUF, and what to do about it.

Owns the words of these errors and the guesses behind them. It opens nothing: `gguf.py` hands it paths and first bytes.
"""

from __future__ import annotations

import difflib
import os

from langchain_localmodels.errors import ModelFileError, ModelFileNotFoundError

DOWNLOAD_AGAIN = "Download it again, and compare its size with the one its web page gives."
GET_GGUF = (
    "Get the model as a GGUF file (most are on Hugging Face under '<model name> GGUF'), "
    "or convert it with llama.cpp's convert_hf_to_gguf.py."
)

# The magic numbers of the formats before GGUF are integers, so that their letters stand reversed in the file.
_OLD_MAGICS = {b"lmgg": "GGML", b"fmgg": "GGMF", b"tjgg": "GGJT", b"algg": "GGLA (a LoRA adapter)"}
_OLD_MAGICS |= {magic[::-1]: name for magic, name in _OLD_MAGICS.items()}

# (how the file begins, what it is, what to do)
_LOOKALIKES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, a few lines of text that stand for the model file",
        "Run `git lfs install` and `git lfs pull` in the folder that it was cloned to.",
    ),
    (b"PK\x03\x04", "a ZIP archive, as PyTorch checkpoints (.bin, .pt, .pth) are", GET_GGUF),
    (b"\x80\x02", "a Python pickle, as old PyTorch checkpoints are", GET_GGUF),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it first."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "Unpack it first."),
    (b"\x89HDF", "an HDF5 file, as Keras models are", GET_GGUF),
    (b"MZ", "a Windows program or a llamafile", "Start it, and use the Llamafile classes, which talk to it."),
    (b"\x7fELF", "a Linux program or a llamafile", "Start it, and use the Llamafile classes, which talk to it."),
)


def missing_file(path: str) -> ModelFileNotFoundError:
    """The error for a path where nothing is."""
    if os.path.islink(path):
        return ModelFileNotFoundError(
            f"The model file {path!r} is a link to {os.readlink(path)!r}, which does not exist.",
            hint="Download the model again, or mend the link.",
        )
    message = f"There is no model file at {path!r}."
    if path.startswith("~") and os.path.exists(os.path.expanduser(path)):
        return ModelFileNotFoundError(message, hint=f"Write the path in full: {os.path.expanduser(path)!r}.")
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        return ModelFileNotFoundError(message, hint=f"The folder {folder!r} does not exist either.")
    found = gguf_files(folder)
    if near := difflib.get_close_matches(name.lower(), [other.lower() for other in found], n=1, cutoff=0.5):
        nearest = next(other for other in found if other.lower() == near[0])
        return ModelFileNotFoundError(message, hint=f"Did you mean {os.path.join(folder, nearest)!r}?")
    hint = f"The folder holds {_listed(found)}." if found else f"The folder {folder!r} holds no .gguf file."
    return ModelFileNotFoundError(message, hint=hint)


def is_folder(path: str) -> ModelFileError:
    """The error for a folder where a file was expected."""
    found = gguf_files(path)
    hint = f"Name one of the files in it: {_listed(found)}." if found else f"There is no .gguf file in it. {GET_GGUF}"
    return ModelFileError(f"{path!r} is a folder, not a model file.", hint=hint)


def not_gguf(path: str, beginning: bytes) -> ModelFileError:
    """The error for a file that does not begin as GGUF does.

    Args:
        path: The file.
        beginning: Its first bytes, 64 or more where it has them.
    """
    if not beginning:
        return ModelFileError(f"The model file {path!r} is empty.", hint=DOWNLOAD_AGAIN)
    if beginning == b"GGUF"[: len(beginning)]:
        return ModelFileError(
            f"The model file {path!r} is truncated: it has {len(beginning)} bytes.", hint=DOWNLOAD_AGAIN
        )
    if old := _OLD_MAGICS.get(beginning[:4]):
        return _old_format(path, f"{path!r} is in an old GGML format ({old}), not GGUF.")
    if lookalike := _recognised(beginning):
        what, hint = lookalike
        return ModelFileError(f"{path!r} is not a GGUF model file: it is {what}.", hint=hint)
    name = os.path.basename(path).lower()
    if name.endswith(".bin") and ("ggml" in name or "q4" in name or "q5" in name or "q8" in name):
        return _old_format(path, f"{path!r} is not a GGUF file; by its name it is in an old GGML format.")
    return ModelFileError(f"{path!r} is not a GGUF model file: it begins with {beginning[:8]!r}.", hint=GET_GGUF)


def gguf_files(folder: str) -> list[str]:
    """Names of the .gguf files in a folder, sorted; none where it cannot be read."""
    try:
        return sorted(name for name in os.listdir(folder) if name.lower().endswith(".gguf"))
    except OSError:
        return []


def _old_format(path: str, message: str) -> ModelFileError:
    stem = os.path.splitext(os.path.basename(path))[0]
    return ModelFileError(
        message,
        hint=f"llama.cpp dropped the formats before GGUF in August 2023. Look for '{stem} GGUF' on Hugging Face, or "
        "convert this file with convert_llama_ggml_to_gguf.py of llama.cpp.",
    )


def _recognised(beginning: bytes) -> tuple[str, str] | None:
    for start, what, hint in _LOOKALIKES:
        if beginning.startswith(start):
            return what, hint
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<!--")):
        return "an HTML page", f"The link led to a web page, not to the file behind it. {DOWNLOAD_AGAIN}"
    if text.startswith(b"<"):
        return "an XML text, such as a server sends in place of a file it refuses", DOWNLOAD_AGAIN
    if beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") < 1 << 27:
        return "a safetensors file", GET_GGUF
    if text.startswith(b"{"):
        return "a JSON text, such as a configuration or a server's error answer", GET_GGUF
    return None


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
