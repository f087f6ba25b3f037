"""The constructor fields of `GPT4All` and `ChatGPT4All`, beside the common vocabulary and what loads a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from langchain_localmodels.engines.gpt4all.file_options import GPT4AllFileOptions
from langchain_localmodels.options import LocalModelOptions

if TYPE_CHECKING:
    from langchain_localmodels.engines.base import Engine


class GPT4AllOptions(GPT4AllFileOptions, LocalModelOptions):
    """What GPT4All needs to know to write."""

    _retired: ClassVar[Mapping[str, object]] = {"echo": False}

    n_batch: Annotated[int, Field(ge=1, le=128)] = 128
    """Tokens of a prompt that are computed at once, at most 128. A cancelled request ends after such a batch; with few
    of them prompts are read slowly."""

    chat_template: str | None = None
    """Chat template, in Jinja, to use in place of the file's own."""

    tool_notation: str | None = None
    """How the model writes tool calls, such as `hermes` or `mistral`; `None` goes by the chat template."""

    def _profile(self) -> dict[str, Any] | None:
        from langchain_localmodels.engines.file_profile import profile_of
        from langchain_localmodels.engines.gpt4all.chat_template import template_source
        from langchain_localmodels.weights.memory import window_for

        if self._place.found() is None:
            return None
        window = window_for(self._header, self.n_ctx)
        template = template_source(self._header, self.chat_template)
        return profile_of(self._header, template, name=self._model_name(), window=window, held=False)

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.gpt4all.config import GPT4AllConfig
        from langchain_localmodels.engines.gpt4all.engine import GPT4AllEngine

        return self._engine_of(
            GPT4AllEngine,
            GPT4AllConfig(
                path=self._place.path(),
                model_name=self._model_name(),
                n_ctx=self.n_ctx,
                n_threads=self.n_threads,
                device=self.device,
                ngl=self.ngl,
                n_batch=self.n_batch,
                chat_template=self.chat_template,
                tool_notation=self.tool_notation,
                verbose=bool(getattr(self, "verbose", False)),
            ),
        )
