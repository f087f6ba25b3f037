"""`LocalModelOptions`: the fields that the language models of all engines share, and what one request says.

An engine's `options.py` derives one mixin from it, with the engine's own fields and a few hooks:

```python
class OllamaOptions(LocalModelOptions):
    _engine_name: ClassVar[str] = "ollama"  # key in ENGINES
    _not_identity: ClassVar[frozenset[str]] = frozenset({"base_url"})
    _retired: ClassVar[Mapping[str, object]] = {"num_gqa": None}

    model: str

    def _model_name(self) -> str:
        return self.model

    def _new_engine(self) -> Engine:
        return OllamaEngine(...)

    def _extras(self, overrides: dict[str, Any]) -> EngineExtras | None: ...


class ChatOllama(OllamaOptions, LocalChatModel): ...


class OllamaLLM(OllamaOptions, LocalLLM): ...
```

What the words mean and which values they take is in `vocabulary.py`; names, identity and the engine's life are in
`engine_options.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import ValidationError

from langchain_localmodels.engine_options import EngineOptions, spread
from langchain_localmodels.engines.base import EngineExtras, GenerationSettings
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.settings import in_words, to_settings
from langchain_localmodels.vocabulary import (
    ALIASES,
    CONSTRAINTS,
    Vocabulary,
    merge_stops,
    unify,
    warn,
    warn_unknown,
)

_STRAY = frozenset(
    {
        "ls_structured_output_format",
        "structured_output_format",
        "strict",
        "parallel_tool_calls",
        "stream",
        "stream_options",
    }
)
"""Names that langchain-core, agents and OpenAI-shaped code pass to every model, and that say nothing to these."""


class LocalModelOptions(EngineOptions, Vocabulary):
    """Base of the options of every engine's language models."""

    _aliases: ClassVar[Mapping[str, str]] = ALIASES
    _beside_engine: ClassVar[frozenset[str]] = frozenset(Vocabulary.model_fields)

    streaming: bool | None = None
    """Whether `invoke` streams inside, which callbacks see; `None` leaves that to LangChain, `False` forbids it."""

    stream_usage: bool | None = None
    """Known for code written for hosted models. Token counts are always there."""

    def _extras(self, overrides: dict[str, Any]) -> EngineExtras | None:
        """Give the engine's own values for one request.

        Args:
            overrides: What was given per call and is not in the vocabulary; the engine takes out (`pop`) what it knows.
                What stays is warned of as unknown.

        Raises:
            InvalidRequestError: If a value is out of range.
        """
        return None

    _profile_is_told: ClassVar[bool] = False
    """Whether a server tells what the profile says, so that it is not there before `load`."""

    def _profile(self) -> dict[str, Any] | None:
        """What can be told of the model without loading it or asking a server, in the form of a `ModelProfile`."""
        return None

    def _identity(self) -> dict[str, Any]:
        # langchain-core's cache key overwrites "stop" with the stop strings of the call.
        return {**super()._identity(), **({"constructor_stop": self.stop} if self.stop else {})}

    # --- one request ------------------------------------------------------------------------------------------------

    def _settings(self, stop: list[str] | None, overrides: Mapping[str, Any]) -> GenerationSettings:
        """Put together what a request says about the answer.

        Args:
            stop: Stop strings of this call; they are added to those of the constructor.
            overrides: Everything else given per call, by any name that the constructor takes too. An explicit `None`
                asks for the engine's default.

        Raises:
            InvalidRequestError: If a value is out of range, or given twice and differs.
        """
        try:
            given = unify(spread(overrides, overrides.get("model_kwargs") or {}), self._all_aliases())
            given = {name: value for name, value in given.items() if name not in _STRAY and name != "model_kwargs"}
            call_stop = merge_stops(stop, given.pop("stop", None))
            model = given.pop("model", None)
            words = {name: given.pop(name) for name in Vocabulary.model_fields if name in given}
            self._drop_retired(given)
            extras = self._extras(given)
            self._warn_once(given)
            base = {name: getattr(self, name) for name in Vocabulary.model_fields}
            if any(words.get(name) is not None for name in CONSTRAINTS):
                base.update(dict.fromkeys(CONSTRAINTS))
            merged = Vocabulary.model_validate({**base, **words, "stop": merge_stops(self.stop, call_stop)})
            return to_settings(merged, model=None if model == self._model_name() else model, extras=extras)
        except ValidationError as error:
            raise InvalidRequestError(in_words(error)) from error
        except InvalidRequestError:
            raise
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error

    def _warn_once(self, left: Iterable[str]) -> None:
        """Warn, once in the life of the program, of names per call that neither the vocabulary nor the engine took."""
        cls = type(self)
        new = {n for n in left if n not in LocalModelOptions.model_fields and (cls.__name__, n) not in _warned}
        _warned.update((cls.__name__, name) for name in new)
        for name in cls.model_fields.keys() & new:
            warn(f"`{name}` of {cls.__name__} is set at construction; what is given per call is ignored.")
        warn_unknown(cls.__name__, new - cls.model_fields.keys(), {*cls.model_fields, *self._all_aliases()})


_warned: set[tuple[str, str]] = set()
