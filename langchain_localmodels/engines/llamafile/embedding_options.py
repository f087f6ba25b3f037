"""The constructor fields of `LlamafileEmbeddings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from langchain_localmodels.engines.base import Engine
from langchain_localmodels.engines.llamafile.server_options import LlamafileServerOptions


class LlamafileEmbeddingOptions(LlamafileServerOptions):
    """What a server needs to know to embed."""

    _aliases: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "request_timeout": "timeout",
        "openai_api_base": "base_url",
        "openai_api_key": "api_key",
        "chunk_size": "batch_size",
    }

    batch_size: Annotated[int, Field(ge=1)] = 64
    """Most texts of one request."""

    @classmethod
    def _serve_arguments(cls) -> list[str]:
        return ["--embedding"]

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.llamafile.embedding_engine import LlamafileEmbeddingEngine
        from langchain_localmodels.engines.llamafile.engine import Place
        from langchain_localmodels.engines.llamafile.streams import Limits

        place = Place(
            self._address(),
            model=self.model,
            headers=self._headers(),
            client_options=self.client_kwargs,
            limits=Limits(self.timeout, self.max_retries),
        )
        return LlamafileEmbeddingEngine(place, batch_size=self.batch_size)
