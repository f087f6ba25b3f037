"""The library itself: finding it, its log, what its build can do."""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from langchain_localmodels.errors import EngineNotInstalledError

try:
    import llama_cpp.llama_cpp as lib
    import numpy as np
except ImportError as error:
    raise EngineNotInstalledError(
        f"The llama.cpp engine needs llama-cpp-python, which cannot be imported: {error}",
        hint="pip install 'langchain-localmodels[llamacpp]'",
    ) from error

__all__ = ["has_gpu_support", "lib", "library_log", "np", "package_version", "said", "uses_amx"]

_ERROR, _CONTINUE = 4, 5
_WARNING = 3


class _Log(threading.local):
    """What llama.cpp said on this thread: it logs from the thread that calls it."""

    def __init__(self) -> None:
        self.show = False
        self.level = 0
        self.troubles: deque[str] = deque(maxlen=6)


_log = _Log()


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _user_data: object) -> None:
    if level != _CONTINUE:
        _log.level = level
    line = text.decode("utf-8", "replace")
    if _log.level in (_WARNING, _ERROR) and line.strip():
        _log.troubles.append(line.strip())
    if _log.show and _log.level != 1:  # 1 is debug
        sys.stderr.write(line)


# Importing llama_cpp installs a callback that prints from any thread. Ours lives as long as this module: llama.cpp
# calling a collected callback would end the process.
lib.llama_log_set(_on_log, None)
lib.llama_backend_init()


@contextmanager
def library_log(show: bool) -> Iterator[deque[str]]:
    """Show, or keep quiet, what llama.cpp logs on this thread; gives its latest warnings and errors."""
    before = _log.show
    _log.show = show
    _log.troubles.clear()
    try:
        yield _log.troubles
    finally:
        _log.show = before


def uses_amx() -> bool:
    """Whether this build would compute with Intel's AMX on this processor, in this process."""
    return b"AMX_INT8 = 1" in lib.llama_print_system_info() and _may_use_amx()


def _may_use_amx() -> bool:
    """Ask Linux for AMX's registers, as llama.cpp does: some containers and virtual machines do not give them."""
    if not (sys.platform == "linux" and platform.machine() == "x86_64"):
        return True
    arch_prctl, arch_req_xcomp_perm, xtiledata = 158, 0x1023, 18
    return bool(ctypes.CDLL(None).syscall(arch_prctl, arch_req_xcomp_perm, xtiledata) == 0)


def said(troubles: deque[str]) -> str:
    """Put what `library_log` collected into words for an error message."""
    return f" llama.cpp said: {' / '.join(troubles)}" if troubles else ""


def package_version() -> str:
    """Version of the installed llama-cpp-python."""
    return version("llama-cpp-python")


def has_gpu_support() -> bool:
    """Whether the installed build of llama.cpp can put layers on a GPU."""
    return bool(lib.llama_supports_gpu_offload())


def latest_troubles() -> deque[str]:
    """Give the latest warnings and errors of this thread, and begin to collect anew."""
    troubles = deque(_log.troubles)
    _log.troubles.clear()
    return troubles
