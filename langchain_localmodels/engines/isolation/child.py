"""What runs in the child process: one engine, asked over standard input, answering over standard output."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import aclosing, suppress
from logging.handlers import QueueHandler
from typing import Any, BinaryIO

from langchain_localmodels.engines.base import Engine
from langchain_localmodels.engines.isolation.protocol import Message, encode, read_message
from langchain_localmodels.errors import EngineClosedError


def main() -> None:
    """Serve until the parent ends or closes the pipe."""
    # Ctrl-C in the terminal reaches both; what it means for the requests is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # What native code prints must not stand between the answers.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _keep_debuggers_out()
    sender = _Sender(answers)
    first = read_message(commands)
    if first is None:
        return
    _, recipe, level = first
    logging.getLogger().addHandler(_LogSender(sender))
    logging.getLogger().setLevel(level)
    logging.captureWarnings(True)
    asyncio.run(_Child(recipe.make(), sender).serve(commands))


def _keep_debuggers_out() -> None:
    """Let the last that native code writes be its reason to abort.

    Else ggml first has a debugger print where it is, if there is one, and the reason is out of sight.
    """
    os.environ["GGML_NO_BACKTRACE"] = "1"
    if sys.platform == "linux":
        os.environ["PATH"] = os.devnull  # the ggml in GPT4All knows only to look for one here


class _Sender:
    """Writes messages, from any thread."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._lock = threading.Lock()

    def send(self, *message: Any) -> None:
        data = memoryview(encode(message))
        with self._lock:
            try:
                while data:
                    data = data[self._target.write(data) or 0 :]
            except OSError:
                os._exit(0)  # nobody listens any more


class _LogSender(QueueHandler):
    """Gives log records to the parent, whose settings decide what becomes of them."""

    def __init__(self, sender: _Sender) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type]
        self._sender = sender

    def enqueue(self, record: logging.LogRecord) -> None:
        self._sender.send("log", record)


class _Child:
    """Serves one engine. All answers are made in one event loop."""

    def __init__(self, engine: Engine, sender: _Sender) -> None:
        self._engine = engine
        self._send = sender.send
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self, commands: BinaryIO) -> None:
        """Do what is asked, until there is no parent."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(commands, loop), daemon=True).start()
        await loop.create_future()

    def _listen(self, commands: BinaryIO, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(Exception):
            while (message := read_message(commands)) is not None:
                loop.call_soon_threadsafe(self._take, message)
        # Without ceremony: native code may be in the middle of something, and the system frees it all.
        os._exit(0)

    def _take(self, message: Message) -> None:
        what, number = message[:2]
        if what == "close":
            if number in self._tasks:
                self._tasks[number].cancel()
            return
        work = self._stream if what == "begin" else self._call
        task = asyncio.get_running_loop().create_task(self._answer(number, work(number, *message[2:])))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _answer(self, number: int, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            self._send("fail", number, EngineClosedError("The request was closed."))
        except BaseException as error:  # noqa: BLE001 - the parent raises it where it belongs
            self._send("fail", number, error)

    async def _stream(self, number: int, method: str, request: Any) -> None:
        async with aclosing(getattr(self._engine, method)(request)) as stream:
            async for item in stream:
                self._send("items", number, [item])
        self._send("end", number)

    async def _call(self, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        self._send("done", number, await asyncio.to_thread(getattr(self._engine, method), *arguments))


if __name__ == "__main__":
    main()
    sys.exit(0)
