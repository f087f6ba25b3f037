"""`ServerProcess`: a server that this program starts, and that ends with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from langchain_localmodels.errors import (
    EngineNotInstalledError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    ModelFileNotFoundError,
)

_MOST_LOG = 3000
_PAUSE = 0.05
_GRACE = 5.0
_VERSION_TIMEOUT = 30.0
_PLACE = frozenset({"--host", "--port", "--listen", "--api-prefix"})
"""Arguments with which the server would be elsewhere than where it is waited for."""
_GGUF_MARK = b"GGUF"


class ServerProcess:
    """A server on a free port of the loopback interface. Made by `start`.

    Attributes:
        url: Where it is.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], url: str) -> None:
        self.url = url
        self._process = process
        self._log = log
        # Also at the end of the program. Not in a child of a fork, whose server it is not.
        self._end = weakref.finalize(self, _end, process, log, os.getpid())

    @classmethod
    def start(
        cls,
        path: str | os.PathLike[str],
        *,
        server: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 600.0,
        progress: bool | None = None,
    ) -> ServerProcess:
        """Start a server and wait until it is ready; `LlamafileServerOptions.serve` tells the arguments."""
        if taken := _PLACE.intersection(str(argument).partition("=")[0] for argument in arguments):
            raise InvalidRequestError(
                f"The server's {' and '.join(sorted(taken))} cannot be chosen.",
                hint="It gets a free port that other machines cannot reach. Start it yourself, and give `base_url`.",
            )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [*command_for(path, server), "--host", "127.0.0.1", "--port", str(port), *map(str, arguments)]
        log = tempfile.TemporaryFile()  # noqa: SIM115 - the process writes to it until its end
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                # Ctrl-C in the terminal is for this program, which ends the server in its own time.
                start_new_session=True,
            )
        except OSError as error:
            log.close()
            raise EngineNotInstalledError(
                f"{command[0]} cannot be started: {error}", hint="Is it a program for this machine?"
            ) from error
        made = cls(process, log, f"http://127.0.0.1:{port}")
        try:
            made._wait_until_ready(start_timeout, _Progress(Path(path).name, progress))
        except BaseException:
            made.end()
            raise
        return made

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def end(self) -> None:
        """End it, and wait for that. May be called twice."""
        self._end()

    def __deepcopy__(self, memo: dict[int, Any]) -> ServerProcess:
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Another process may ask the server, and cannot end it.
        return type(None), ()

    def _wait_until_ready(self, timeout: float, progress: _Progress) -> None:
        give_up_at = time.monotonic() + timeout
        with progress:
            while time.monotonic() < give_up_at:
                code = self._process.poll()
                if code is not None:
                    raise EngineUnreachableError(
                        f"The server ended with {code} before it was ready. Its last lines:\n{self._last_lines()}",
                        hint="They tell why: a file that cannot be read, an argument that it does not know, or no "
                        "memory. On processors with AMX some builds need `--no-repack`.",
                    )
                if self._is_ready():
                    return
                progress.tick()
                time.sleep(_PAUSE)
        raise EngineTimeoutError(
            f"The server was not ready after {timeout:g} seconds. Its last lines:\n{self._last_lines()}",
            hint="Give a larger `start_timeout`.",
        )

    def _is_ready(self) -> bool:
        # Not through `transport`, whose retries and their pauses are for servers that somebody else watches.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for path in ("/health", "/v1/models"):
            try:
                with opener.open(self.url + path, timeout=5) as response:
                    body = response.read()
            except urllib.error.HTTPError as error:
                if error.code in (401, 403):
                    return True
                if error.code == 404 and path == "/health":
                    continue  # llamafiler's
                return False
            except (OSError, ValueError):
                return False
            with suppress(ValueError, AttributeError):
                return json.loads(body).get("status", "ok") in ("ok", "no slot available")
            return True
        return False

    def _last_lines(self) -> str:
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - _MOST_LOG))
        return self._log.read().decode("utf-8", "replace").strip() or "(it wrote nothing)"


def command_for(path: str | os.PathLike[str], server: str | os.PathLike[str] | None) -> list[str]:
    """The program that serves a file, with the arguments that name the file.

    Raises:
        ModelFileNotFoundError: There is no such file.
        EngineNotInstalledError: There is no program that serves it.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise ModelFileNotFoundError(
            f"There is no file {str(file)!r}.", hint="Give the path of a llamafile, or of a GGUF file."
        )
    with file.open("rb") as opened:
        is_model = opened.read(4) == _GGUF_MARK
    if not is_model:
        return _llamafile(file)
    if server is None:
        found = shutil.which("llama-server")
        if found is None:
            raise EngineNotInstalledError(
                "A GGUF file needs a program that serves it, and there is no `llama-server` on the PATH.",
                hint="Install llama.cpp, or give the program, or a llamafile, as `server`.",
            )
        return [found, "-m", str(file)]
    program = shutil.which(os.fspath(server)) or str(Path(server).expanduser().absolute())
    if not Path(program).is_file():
        raise EngineNotInstalledError(
            f"There is no program {os.fspath(server)!r}.", hint="Give the path of a `llama-server` or a llamafile."
        )
    begins = _llamafile(Path(program)) if "llamafile" in Path(program).name.lower() else [program]
    return [*begins, "-m", str(file)]


def _llamafile(program: Path) -> list[str]:
    """How a llamafile serves, without opening a browser: the old ones do unless told, and new ones refuse the word."""
    command = _run(program)
    try:
        told = subprocess.run(
            [*command, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return [*command, "--server"]
    version = re.search(rb"llamafile v?(\d+)\.(\d+)", told.stdout + told.stderr)
    is_old = version is not None and (int(version[1]), int(version[2])) < (0, 10)
    return [*command, "--server", *(["--nobrowser"] if is_old else [])]


def _run(program: Path) -> list[str]:
    """How a llamafile is started: it is a program and a shell script in one."""
    if os.name == "nt":
        return [str(program)]
    if not os.access(program, os.X_OK):
        raise EngineNotInstalledError(
            f"{str(program)!r} may not be executed.", hint=f"Allow it: chmod +x {program}. Is it a llamafile?"
        )
    with program.open("rb") as opened:
        beginning = opened.read(8)
    # Its own format, which kernels do not know and shells run as the script that it also is. The path is an argument.
    return ["/bin/sh", str(program)] if beginning.startswith((b"MZqFpD", b"jartsr")) else [str(program)]


def _end(process: subprocess.Popen[bytes], log: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return
    with suppress(OSError):
        process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()


class _Progress:
    """Shows that a model loads, where somebody looks."""

    def __init__(self, name: str, wanted: bool | None) -> None:
        self._name = name
        self._shown = sys.stderr.isatty() if wanted is None else wanted
        self._began = time.monotonic()
        self._told = -1

    def __enter__(self) -> None:
        self.tick()

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def tick(self) -> None:
        """Show how long it has taken, once a second."""
        seconds = int(time.monotonic() - self._began)
        if self._shown and seconds != self._told:
            self._told = seconds
            sys.stderr.write(f"\rStarting the server with {self._name} … {seconds} s")
            sys.stderr.flush()
