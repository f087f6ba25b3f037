"""`Gate`: where a scripted answer waits until the test lets it go on. No sleeping, and no thread that waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


class Gate:
    """Holds answers back at a chosen place until the test opens it.

    Put it among the pieces of an answer's text. An answer that comes to it stops there, as a slow model would; the test
    can wait for that moment, do what it wants to do in the middle of an answer, and open the gate. Any number of
    answers may wait at one gate; once it is open, they all pass.

    Example:
        ```python
        from langchain_localmodels.testing import Answer, Gate, ScriptedChatModel

        gate = Gate()
        model = ScriptedChatModel(answers=[Answer(["Hello", gate, " world"])])
        stream = model.stream("Hi")
        next(stream).text  # "Hello"; the next read would wait
        gate.open()
        "".join(chunk.text for chunk in stream)  # " world"
        ```
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[Callable[[], None]] = []
        self._reached = threading.Event()

    def open(self) -> None:
        """Let all answers pass that wait here, and those that come later. From any thread; again does nothing."""
        with self._lock:
            self._is_open = True
            waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()

    def wait_reached(self, timeout: float = 10.0) -> None:
        """Wait in this thread until an answer has come to this gate, whether or not it is open.

        Args:
            timeout: Longest wait, in seconds.

        Raises:
            TimeoutError: If none came.
        """
        if not self._reached.wait(timeout):
            raise TimeoutError(f"No answer came to the gate within {timeout:g} seconds. Is somebody reading it?")

    async def await_reached(self, timeout: float = 10.0) -> None:
        """Wait in a task until an answer has come to this gate; see `wait_reached`."""
        await asyncio.to_thread(self.wait_reached, timeout)

    def pass_or_wait(self, go_on: Callable[[], None]) -> bool:
        """Tell whether the gate is open; if it is not, have `go_on` called when it opens."""
        with self._lock:
            if not self._is_open:
                self._waiting.append(go_on)
            passed = self._is_open
        self._reached.set()
        return passed

    def __repr__(self) -> str:
        return f"<Gate {'open' if self._is_open else 'closed'}, {len(self._waiting)} waiting>"
