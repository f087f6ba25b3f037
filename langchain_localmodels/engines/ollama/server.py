"""`OllamaServer`: what can be done with the models of an Ollama server beside asking them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_localmodels.engines.ollama import listing
from langchain_localmodels.engines.ollama.address import REACH_HINT
from langchain_localmodels.engines.ollama.address import base_url as read_address
from langchain_localmodels.engines.ollama.credentials import with_key
from langchain_localmodels.engines.ollama.failures import explain
from langchain_localmodels.engines.ollama.knowledge import ModelDetails, forget, read_details
from langchain_localmodels.engines.ollama.listing import ListedModel, RunningModel
from langchain_localmodels.engines.ollama.progress import Progress, ProgressReader, ashown, shown
from langchain_localmodels.errors import InvalidRequestError, LocalModelError, UnsupportedFeatureError

if TYPE_CHECKING:
    from langchain_localmodels.transport.stream import ByteStream

__all__ = ["ListedModel", "ModelDetails", "OllamaServer", "Progress", "RunningModel"]

# Apart, since `list` is a method of the class below.
Models: TypeAlias = list[ListedModel]
RunningModels: TypeAlias = list[RunningModel]


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request, and the model that it is about."""

    method: str
    path: str
    payload: Mapping[str, Any] | None = None
    model: str = ""


class OllamaServer:
    """An Ollama server: lists, fetches, makes, copies, deletes, loads and unloads models.

    Every method has an asynchronous twin, whose name begins with `a`. Nothing is asked at construction. One object may
    be used by many threads and event loops.

    Args:
        base_url: Where the server is: host, `host:port` or URL; `None` for what OLLAMA_HOST says, or else this machine.
        api_key: Sent as a bearer token; `None` for OLLAMA_API_KEY where the server is Ollama's own service.
        client_kwargs: Arguments for the HTTP clients, by httpx's names, such as `headers`, `auth` or `verify`.
        timeout: Longest wait for the next bytes of an answer, in seconds; `None` for no limit.
        max_retries: How often a request is sent again when the connection is refused or the server busy; `None` for
            twice.

    Raises:
        InvalidRequestError: `base_url` cannot be read.

    Example:
        ```python
        from langchain_localmodels import OllamaServer

        with OllamaServer() as server:
            server.pull("llama3.1:8b")
            for model in server.list():
                print(model.name, model.size)
        ```
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = 600.0,
        max_retries: int | None = None,
    ) -> None:
        # Here, since the package is imported without HTTP.
        from langchain_localmodels.transport.http import HTTPTransport

        self.base_url = read_address(base_url or os.environ.get("OLLAMA_HOST"))
        self._more: dict[str, Any] = {"timeout": timeout, "max_retries": max_retries}
        self._transport = HTTPTransport(
            self.base_url,
            server="Ollama",
            client_options=with_key(client_kwargs or {}, self.base_url, api_key),
            hint=REACH_HINT,
        )

    def __repr__(self) -> str:
        return f"OllamaServer({self._transport.place.partition(' at ')[2]!r})"

    def __enter__(self) -> OllamaServer:
        """Give itself; `close` follows at the end of the `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the connections. The next use opens them again."""
        self._transport.close()

    # --- what there is ----------------------------------------------------------------------------------------------

    def version(self) -> str:
        """The server's version, such as `0.32.15`."""
        return listing.version(self._ask(_VERSION))

    async def aversion(self) -> str:
        """See `version`."""
        return listing.version(await self._aask(_VERSION))

    def list(self) -> Models:
        """The models that the server has."""
        return listing.listed(self._ask(_TAGS))

    async def alist(self) -> Models:
        """See `list`."""
        return listing.listed(await self._aask(_TAGS))

    def running(self) -> RunningModels:
        """The models that are loaded."""
        return listing.running(self._ask(_PS))

    async def arunning(self) -> RunningModels:
        """See `running`."""
        return listing.running(await self._aask(_PS))

    def show(self, model: str) -> ModelDetails:
        """What the server tells of a model.

        Args:
            model: Its name.

        Raises:
            ModelMissingError: The server does not have it.
        """
        return read_details(model, self._ask(_named("POST", "/api/show", model)))

    async def ashow(self, model: str) -> ModelDetails:
        """See `show`."""
        return read_details(model, await self._aask(_named("POST", "/api/show", model)))

    # --- getting models ---------------------------------------------------------------------------------------------

    def pull(self, model: str, *, show_progress: bool = True) -> None:
        """Fetch a model from Ollama's library, and wait until it is there. What is there already is not fetched again.

        Args:
            model: Its name.
            show_progress: Show on standard error how far it has come.

        Raises:
            ModelMissingError: The library has no such model.
        """
        shown(self.pull_progress(model), show_progress)

    async def apull(self, model: str, *, show_progress: bool = True) -> None:
        """See `pull`."""
        await ashown(self.apull_progress(model), show_progress)

    def pull_progress(self, model: str) -> Iterator[Progress]:
        """Fetch a model, and tell how far it has come. It stops when nobody reads any more; see `pull`."""
        return self._progress(_named("POST", "/api/pull", model))

    def apull_progress(self, model: str) -> AsyncIterator[Progress]:
        """See `pull_progress`."""
        return self._aprogress(_named("POST", "/api/pull", model))

    def create(self, model: str, path: str | os.PathLike[str], *, show_progress: bool = True, **entries: Any) -> None:
        """Make a model of a GGUF file on this machine. The file is sent to the server unless that has it already.

        Args:
            model: The name that it is to have.
            path: The file.
            show_progress: Show on standard error how far it has come.
            **entries: More entries of Ollama's request, such as `template`, `system`, `parameters` or `quantize`.

        Raises:
            ModelFileError: The file is not there, or is no GGUF file.
            EngineError: The server cannot use it.
        """
        from langchain_localmodels.engines.ollama.blobs import digest_of

        path = os.path.expanduser(os.fspath(path))
        ask = _creation(model, path, digest_of(path), entries)
        blob = _blob(ask)
        try:
            self._ask(blob)
        except LocalModelError as error:
            if not _is_missing(error):
                raise
            with closing(self._upload(blob, path, in_a_task=False)) as stream:
                for _ in stream:
                    pass
        shown(self._progress(ask), show_progress)

    async def acreate(
        self, model: str, path: str | os.PathLike[str], *, show_progress: bool = True, **entries: Any
    ) -> None:
        """See `create`."""
        from langchain_localmodels.engines.ollama.blobs import digest_of

        path = os.path.expanduser(os.fspath(path))
        ask = _creation(model, path, await asyncio.to_thread(digest_of, path), entries)
        blob = _blob(ask)
        try:
            await self._aask(blob)
        except LocalModelError as error:
            if not _is_missing(error):
                raise
            async with aclosing(self._upload(blob, path, in_a_task=True)) as stream:
                async for _ in stream:
                    pass
        await ashown(self._aprogress(ask), show_progress)

    def copy(self, model: str, to: str) -> None:
        """Give a model another name; it takes no more room.

        Args:
            model: Its name.
            to: The other name.

        Raises:
            ModelMissingError: The server does not have it.
        """
        self._ask(_copy(model, to))
        forget(self.base_url, to)

    async def acopy(self, model: str, to: str) -> None:
        """See `copy`."""
        await self._aask(_copy(model, to))
        forget(self.base_url, to)

    def delete(self, model: str) -> None:
        """Delete a model from the server.

        Args:
            model: Its name.

        Raises:
            ModelMissingError: The server does not have it.
        """
        self._ask(_named("DELETE", "/api/delete", model))
        forget(self.base_url, model)

    async def adelete(self, model: str) -> None:
        """See `delete`."""
        await self._aask(_named("DELETE", "/api/delete", model))
        forget(self.base_url, model)

    # --- memory -----------------------------------------------------------------------------------------------------

    def load(self, model: str, *, keep_alive: float | str | None = None, num_ctx: int | None = None) -> None:
        """Load a model's weights now, and wait until that is done.

        Args:
            model: Its name.
            keep_alive: How long it stays: seconds, or a duration such as `"10m"`; negative for ever; `None` for the
                server's default.
            num_ctx: Context window in tokens; `None` for the server's or the model's own.

        Raises:
            ModelMissingError: The server does not have it.
            EngineError: It cannot be loaded.
        """
        more = {"keep_alive": keep_alive, "options": None if num_ctx is None else {"num_ctx": num_ctx}}
        first, second = _memory(model, {name: value for name, value in more.items() if value is not None})
        try:
            self._ask(first)
        except UnsupportedFeatureError:
            self._ask(second)

    async def aload(self, model: str, *, keep_alive: float | str | None = None, num_ctx: int | None = None) -> None:
        """See `load`."""
        more = {"keep_alive": keep_alive, "options": None if num_ctx is None else {"num_ctx": num_ctx}}
        first, second = _memory(model, {name: value for name, value in more.items() if value is not None})
        try:
            await self._aask(first)
        except UnsupportedFeatureError:
            await self._aask(second)

    def unload(self, model: str) -> None:
        """Free a model's memory, after the requests that run.

        Args:
            model: Its name.

        Raises:
            ModelMissingError: The server does not have it.
        """
        self.load(model, keep_alive=0)

    async def aunload(self, model: str) -> None:
        """See `unload`."""
        await self.aload(model, keep_alive=0)

    # --- two drivers ------------------------------------------------------------------------------------------------

    def _ask(self, ask: _Ask) -> Any:
        why = partial(explain, model=ask.model)
        return self._transport.request_json(ask.method, ask.path, ask.payload, explain=why, **self._more)

    async def _aask(self, ask: _Ask) -> Any:
        why = partial(explain, model=ask.model)
        return await self._transport.arequest_json(ask.method, ask.path, ask.payload, explain=why, **self._more)

    def _stream(self, ask: _Ask) -> tuple[ByteStream, ProgressReader]:
        why = partial(explain, model=ask.model)
        stream = self._transport.stream(ask.method, ask.path, ask.payload, explain=why, **self._more)
        forget(self.base_url, ask.model)
        return stream, ProgressReader(ask.model, self._transport.place)

    def _progress(self, ask: _Ask) -> Iterator[Progress]:
        stream, reader = self._stream(ask)
        with closing(stream):
            for data in stream:
                yield from reader.feed(data)
            yield from reader.finish()

    async def _aprogress(self, ask: _Ask) -> AsyncIterator[Progress]:
        stream, reader = self._stream(ask)
        async with aclosing(stream):
            async for data in stream:
                for progress in reader.feed(data):
                    yield progress
            for progress in reader.finish():
                yield progress

    def _upload(self, blob: _Ask, path: str, *, in_a_task: bool) -> ByteStream:
        from langchain_localmodels.engines.ollama.blobs import FileCall
        from langchain_localmodels.transport.stream import ByteStream

        call = FileCall(
            "POST", blob.path, None, self._more["timeout"], 0, partial(explain, model=blob.model), path, in_a_task
        )
        return ByteStream(self._transport, call)


_VERSION = _Ask("GET", "/api/version")
_TAGS = _Ask("GET", "/api/tags")
_PS = _Ask("GET", "/api/ps")


def _named(method: str, path: str, model: str, more: Mapping[str, Any] | None = None) -> _Ask:
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequestError(f"{model!r} names no model.", hint="Give a name such as 'llama3.1:8b'.")
    return _Ask(method, path, {"model": model, **(more or {})}, model)


def _creation(model: str, path: str, digest: str, entries: Mapping[str, Any]) -> _Ask:
    return _named("POST", "/api/create", model, {**entries, "files": {os.path.basename(path): digest}})


def _blob(ask: _Ask) -> _Ask:
    assert ask.payload is not None
    (digest,) = ask.payload["files"].values()
    return _Ask("HEAD", f"/api/blobs/{digest}", None, ask.model)


def _is_missing(error: LocalModelError) -> bool:
    return getattr(error.response, "status_code", None) == 404


def _copy(model: str, to: str) -> _Ask:
    _named("POST", "/api/copy", to)
    return _Ask("POST", "/api/copy", {"source": _named("POST", "", model).model, "destination": to}, model)


def _memory(model: str, more: Mapping[str, Any]) -> tuple[_Ask, _Ask]:
    """What loads or unloads a model: for one that writes, and for one that only embeds, which refuses the former."""
    return (
        _named("POST", "/api/generate", model, {"stream": False, **more}),
        _named("POST", "/api/embed", model, {"input": [], **more}),
    )
