"""Keeps every side of a benchmark on the same kernels: off those for Intel's AMX, which fault in llama.cpp 0.3.36.

Neither `llama_cpp.Llama` nor langchain-community has an argument for it, and llama-server only one that gives up more:
without repacked weights it runs at less than half its speed. So the system is told to refuse AMX to this process and
to all that it starts, at which llama.cpp takes the kernels that it would take on a processor without AMX.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

from langchain_localmodels.engines.llamacpp.binding.library import uses_amx

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_X86_64 = 0xC000003E
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM = 158, 0x1023
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # the latter gives EPERM


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def forbid_amx() -> bool:
    """Forbid AMX to this thread, and to threads and processes that it starts from now on; says if there was need.

    Raises:
        OSError: The system does not let it.
    """
    if not uses_amx():
        return False
    if not (sys.platform == "linux" and platform.machine() == "x86_64"):
        raise OSError("AMX can be forbidden on Linux only")
    # Of struct seccomp_data: the call's number at 0, the architecture at 4, the first argument at 16.
    instructions = b"".join(
        struct.pack("<HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, 4),
            (_IF_EQUAL, 0, 5, _X86_64),
            (_LOAD, 0, 0, 0),
            (_IF_EQUAL, 0, 3, _ARCH_PRCTL),
            (_LOAD, 0, 0, 16),
            (_IF_EQUAL, 0, 1, _ARCH_REQ_XCOMP_PERM),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0)):
        if prctl(*arguments):
            raise OSError(ctypes.get_errno(), "AMX could not be forbidden")
    if uses_amx():
        raise OSError("AMX was forbidden, and is allowed all the same")
    return True
