"""What the chat face and the text face have in common: identity, traces, token counts and the version stamp."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLanguageModel, LangSmithParams
from pydantic import model_validator
from typing_extensions import Self

from langchain_localmodels._version import __version__
from langchain_localmodels.errors import UnsupportedFeatureError
from langchain_localmodels.options import LocalModelOptions
from langchain_localmodels.vocabulary import merge_stops

_BYTES_PER_TOKEN = 4


class LocalLanguageModel(LocalModelOptions, BaseLanguageModel[Any]):
    """Base of `LocalChatModel` and `LocalLLM`."""

    _ls_model_type: ClassVar[Literal["chat", "llm"]]

    @model_validator(mode="after")
    def _set_localmodels_version(self) -> Self:
        self._add_version("langchain-localmodels", __version__)
        return self

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Fields that hold secrets, and the environment variables that they stand for in traces."""
        return {"api_key": f"{self._engine_name.upper()}_API_KEY"}

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self._identity()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        aliases = self._all_aliases()
        given = {aliases.get(name, name): value for name, value in kwargs.items()}
        params = LangSmithParams(ls_provider=self._engine_name, ls_model_type=self._ls_model_type)
        model = given.get("model")
        params["ls_model_name"] = model if isinstance(model, str) else self._model_name()
        temperature = given.get("temperature", self.temperature)
        if isinstance(temperature, int | float):
            params["ls_temperature"] = temperature
        max_tokens = given.get("max_tokens", self.max_tokens)
        if isinstance(max_tokens, int):
            params["ls_max_tokens"] = max_tokens
        if stops := merge_stops(self.stop, stop, given.get("stop")):
            params["ls_stop"] = stops
        return params

    def _reports_tokens(
        self, run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None, kwargs: Mapping[str, Any]
    ) -> bool:
        """Whether `invoke` tells callbacks of each token: if there are any, and nobody has forbidden streaming."""
        if run_manager is None or not run_manager.handlers:
            return False
        disabled = getattr(self, "disable_streaming", False)
        in_general = disabled is True or (disabled == "tool_calling" and bool(kwargs.get("tools")))
        return not in_general and self.streaming is not False and kwargs.get("stream") is not False

    def get_token_ids(self, text: str) -> list[int]:
        """Turn text into the model's token ids, without special tokens. Loads the model if need be.

        Raises:
            UnsupportedFeatureError: Where the engine has no tokenizer to offer.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        if not self.engine.capabilities().tokenizer:
            raise UnsupportedFeatureError(
                f"{type(self).__name__} has no access to the model's tokenizer.",
                hint="Give `custom_get_token_ids=`, or use `get_num_tokens`, which estimates.",
            )
        return list(self.engine.tokenize(text))

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text, without special tokens.

        Where the engine has no tokenizer to offer, this is an estimate: one token for four bytes of UTF-8.
        """
        if self.custom_get_token_ids is None and not self.engine.capabilities().tokenizer:
            return ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN)
        return len(self.get_token_ids(text))
