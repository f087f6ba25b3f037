"""`ServedOptions`: what the classes of all engines have in common that ask a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from langchain_localmodels.engine_options import EngineOptions
from langchain_localmodels.errors import InvalidRequestError


class ServedOptions(EngineOptions):
    """Which server is asked."""

    def _address(self) -> str:
        """Where the server is, as a URL.

        Raises:
            InvalidRequestError: It cannot be read.
        """
        raise NotImplementedError

    def _identity_extra(self) -> dict[str, Any]:
        # Two servers may have different models under one name. The URL may hold a password.
        try:
            parts = urlsplit(self._address())
        except InvalidRequestError:
            return {}
        return {"server": parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()}
