"""What `http.py` does that takes no httpx: answers read as a whole, causes of failures, what must not be shown."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from langchain_localmodels.errors import EngineError, InvalidRequestError
from langchain_localmodels.transport.framing import excerpt


class WholeAnswer:
    """Collects the bytes of an answer that is read as a whole.

    Args:
        place: The server's name and address.
        most: How many bytes are taken.
    """

    def __init__(self, place: str, most: int) -> None:
        self._place = place
        self._most = most
        self._body = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            EngineError: They are too many.
        """
        self._body += chunk
        if len(self._body) > self._most:
            raise EngineError(f"{self._place} sent an answer of more than {self._most} bytes.")

    def parsed(self) -> Any:
        """What the bytes say as JSON; `None` if there are none.

        Raises:
            EngineError: They are not JSON.
        """
        if not self._body:
            return None
        try:
            return json.loads(self._body)
        except (ValueError, RecursionError) as error:
            shown = excerpt(bytes(self._body[:1000]))
            raise EngineError(f"The answer of {self._place} is not JSON: {shown}") from error


def comes_of(failure: BaseException, kind: type[BaseException]) -> bool:
    """Whether an exception was caused by one of a kind. anyio puts the failures of several addresses into a group."""
    found: list[BaseException] = [failure]
    seen: set[int] = set()
    while found:
        error = found.pop()
        if isinstance(error, kind):
            return True
        if id(error) not in seen:
            seen.add(id(error))
            causes = [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
            found += [cause for cause in causes if cause is not None]
    return False


def public_url(url: str) -> str:
    """A URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def check_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Refuse headers that cannot be sent.

    Here, since the message of httpx's own parts shows the value, which may be a key.

    Raises:
        InvalidRequestError: A value holds what HTTP does not allow there.
    """
    for name, value in headers:
        if value != value.strip() or any(ord(character) < 32 and character != "\t" for character in value):
            raise InvalidRequestError(
                f"The header {name!r} begins or ends with a blank, or holds a line break.",
                hint="A key that was read from a file often ends with one.",
            )


def hear_weakly(method: Callable[..., None], *, in_a_task: bool) -> Callable[..., Any]:
    """Give a function, or a coroutine function, that calls a method as long as its object is there.

    Responses refer to themselves in a circle, and all that they hold would wait for the garbage collection.
    """
    hearer = weakref.WeakMethod(method)

    def tell(*arguments: Any) -> None:
        if (hear := hearer()) is not None:
            hear(*arguments)

    async def atell(*arguments: Any) -> None:
        tell(*arguments)

    return atell if in_a_task else tell
