"""`ChildProcess`: the parent's side of one child, which all engines of one recipe share."""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import IO, Any

from langchain_localmodels.engines.isolation.protocol import Message, Recipe, encode, read_message
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineClosedError, EngineCrashedError, EngineError, LocalModelError

_BEGIN = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"
_CHILD = f"{__package__}.child"
_GRACE = 5.0
"""How long a child is waited for that was told to end, in seconds."""
_MOST_LOG = 2000
"""How much of what native code wrote goes into the error, in bytes."""


class ChildProcess:
    """A process with an engine in it, started at once.

    Args:
        recipe: The engine.
        title: What runs there, for error messages.
        verbose: Let the child write to standard error. Otherwise the end of what it writes is in the error when it
            crashes.
    """

    def __init__(self, recipe: Recipe, *, title: str, verbose: bool) -> None:
        self._title = title
        self._owner = os.getpid()
        # Reentrant: a stream that is collected closes, from wherever the collector happens to run.
        self._lock = threading.RLock()
        self._numbers = count()
        self._waiting: dict[int, WorkerStream[Any] | Future[Any]] = {}
        self._ending = False
        self._end: LocalModelError | None = None
        self._log: IO[bytes] | None = None if verbose else tempfile.TemporaryFile()  # noqa: SIM115 - kept to the end
        self._process = self._start()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox.put(encode(("open", recipe, logging.getLogger().getEffectiveLevel())))
        for work in (self._write, self._read):
            threading.Thread(target=work, name="localmodels-isolated", daemon=True).start()
        _all.add(self)

    @property
    def usable(self) -> bool:
        """Whether it takes requests: not after it ended, nor in a process forked off its parent."""
        return not self._ending and self._end is None and self._owner == os.getpid()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def begin(self, stream: WorkerStream[Any], method: str, request: object) -> None:
        """Have the engine answer a request into a stream."""
        number = self._register(stream)
        if number is not None:
            stream.on_close = lambda: self._close(number)
            self._send("begin", number, method, request)

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the engine and wait for its value.

        Raises:
            LocalModelError: What the method raises.
            EngineCrashedError: The process ended by itself.
            EngineClosedError: It was told to end.
        """
        value: Future[Any] = Future()
        number = self._register(value)
        if number is not None:
            self._send("call", number, method, arguments)
        return value.result()

    def end(self, *, wait: bool = True) -> None:
        """End the process, and wait for that if so wanted."""
        if self._owner != os.getpid():
            return
        self._ending = True
        self._outbox.put(None)
        if not wait:
            return
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def leave_to_parent(self) -> None:
        """Close the pipes, in a process forked off.

        As long as they were open here, the child would not hear of its parent's end.
        """
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()  # not its number alone, which another file may have by the time this is collected

    # --- the process --------------------------------------------------------------------------------------------------

    def _start(self) -> subprocess.Popen[bytes]:
        if not sys.executable:
            raise EngineError("`isolate` needs a Python to start, and this program does not know where its own is.")
        code = _BEGIN.format(module=_CHILD)
        paths = json.dumps([os.path.abspath(path) for path in sys.path])
        try:
            return subprocess.Popen(
                [sys.executable, "-c", code, paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
            )
        except OSError as error:
            raise EngineError(
                f"The process that {self._title} is to run in cannot be started: {error}",
                hint="Without `isolate` it runs in this one.",
            ) from error

    def _register(self, waiting: WorkerStream[Any] | Future[Any]) -> int | None:
        with self._lock:
            end = self._end
            number = next(self._numbers)
            if end is None:
                self._waiting[number] = waiting
        if end is None:
            return number
        _fail(waiting, end)
        return None

    def _close(self, number: int) -> None:
        with self._lock:
            known = self._waiting.pop(number, None) is not None
        if known:
            self._send("close", number)

    def _send(self, *message: Any) -> None:
        try:
            self._outbox.put(encode(message))
        except Exception as error:
            with self._lock:
                waiting = self._waiting.pop(message[1], None)
            if waiting is None:
                raise
            _fail(waiting, EngineError(f"The request cannot be given to another process: {error}"))

    def _write(self) -> None:
        """Send what is asked: a thread of its own, since a child that loads a model reads nothing."""
        pipe = self._process.stdin
        assert pipe is not None
        with suppress(OSError), pipe:
            while (data := self._outbox.get()) is not None:
                rest = memoryview(data)
                while rest:
                    rest = rest[pipe.write(rest) or 0 :]

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        # What cannot be read says that the child is broken; so does the end.
        with suppress(Exception), pipe:
            while (message := read_message(pipe)) is not None:
                self._take(message)
        self._over()

    def _take(self, message: Message) -> None:
        what = message[0]
        if what == "log":
            record: logging.LogRecord = message[1]
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
            return
        with self._lock:
            waiting = self._waiting.get(message[1]) if what == "items" else self._waiting.pop(message[1], None)
        if what == "fail" and waiting is not None:
            _fail(waiting, message[2])
        elif isinstance(waiting, Future):
            waiting.set_result(message[2])
        elif waiting is not None:
            if what == "items":
                waiting.put(message[2])
            else:
                waiting.end()
            wake([waiting])

    def _over(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        if self._process.poll() is None:
            self._process.kill()
        end = self._error(self._process.wait())
        with self._lock:
            self._end = end
            waiting, self._waiting = list(self._waiting.values()), {}
        self._outbox.put(None)
        for one in waiting:
            _fail(one, end)
        if self._log is not None:
            self._log.close()

    def _error(self, code: int) -> LocalModelError:
        if self._ending:
            return EngineClosedError("The model was closed while it was in use.")
        said = self._last_lines()
        return EngineCrashedError(
            f"The process that {self._title} ran in was ended by {_named(code)}."
            + (f" The last that it wrote:\n{said}" if said else ""),
            exit_code=code,
            hint="A broken model file, no memory left, or a defect of the engine. This program is unharmed; the next "
            "request starts a new process.",
        )

    def _last_lines(self) -> str:
        if self._log is None:
            return ""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - _MOST_LOG))
        return self._log.read().decode("utf-8", "replace").strip()


def _fail(waiting: WorkerStream[Any] | Future[Any], error: BaseException) -> None:
    if isinstance(waiting, Future):
        waiting.set_exception(error)
    else:
        waiting.fail(error)


def _named(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-code).name if code < 0 else f"itself, with exit code {code}"
    return f"exit code {code}"


_all: weakref.WeakSet[ChildProcess] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for child in list(_all):
        child.leave_to_parent()
    _all.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
