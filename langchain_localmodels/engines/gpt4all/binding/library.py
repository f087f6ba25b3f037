"""The library itself: finding it, and keeping it quiet while it looks for its own parts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from langchain_localmodels.errors import EngineNotInstalledError

_NO_WHEEL = "There is no gpt4all for Linux on ARM; LlamaCpp and ChatLlamaCpp run the same files there."
_INSTALL = "pip install 'langchain-localmodels[gpt4all]'"

try:
    from gpt4all import _pyllmodel as lib
except (ImportError, OSError, RuntimeError) as error:  # its C library may need a newer system, or another Python
    on_arm = sys.platform == "linux" and platform.machine() != "x86_64"
    raise EngineNotInstalledError(
        f"The GPT4All engine needs gpt4all, which cannot be imported: {error}", hint=_NO_WHEEL if on_arm else _INSTALL
    ) from error

__all__ = ["lib", "library_path", "llmodel", "prepare", "private_api_is_known"]

llmodel = lib.llmodel

for _name, _count in (("get_state_size", 1), ("save_state_data", 2), ("restore_state_data", 2)):
    _function = getattr(llmodel, f"llmodel_{_name}")
    _function.restype = ctypes.c_uint64
    _function.argtypes = [ctypes.c_void_p] * _count

_KNOWN_VERSION = "2.8.2"
_NEEDED_BY_CUDA = "libcudart.so.11.0"
_lock = threading.Lock()
_prepared = False


def library_path() -> Path:
    """The folder that its libraries lie in."""
    return Path(str(lib.MODEL_LIB_PATH))


def private_api_is_known() -> bool:
    """Whether this is the release whose private functions and structures were looked at."""
    return version("gpt4all") == _KNOWN_VERSION


@contextlib.contextmanager
def prepare(*, verbose: bool) -> Iterator[None]:
    """Let the library look for its parts, which it does once, when the first model is made in the `with` block.

    Without CUDA's libraries it would print on stderr, from C, that it cannot load the parts for CUDA; it is shown a
    folder without those. Nobody's output is redirected for that.

    Args:
        verbose: Let it print that.
    """
    global _prepared  # noqa: PLW0603 - this is the state of the process
    with _lock:
        if _prepared or verbose or _has_cuda():
            yield
        else:
            with _folder_without_cuda() as folder:
                llmodel.llmodel_set_implementation_search_path(os.fsencode(folder))
                try:
                    yield
                finally:
                    llmodel.llmodel_set_implementation_search_path(os.fsencode(library_path()))
        _prepared = True


def _has_cuda() -> bool:
    if lib.cuda_found or sys.platform == "darwin":
        return True
    try:
        ctypes.CDLL(_NEEDED_BY_CUDA if sys.platform == "linux" else "cudart64_110.dll")
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _folder_without_cuda() -> Iterator[Path]:
    """A folder of links to all parts but those for CUDA; where links cannot be made, the folder of all parts."""
    with tempfile.TemporaryDirectory(prefix="localmodels-gpt4all-") as name:
        folder = Path(name)
        try:
            for part in library_path().iterdir():
                if "-cuda" not in part.name:
                    (folder / part.name).symlink_to(part)
        except OSError:
            folder = library_path()
        yield folder
