"""`LocalModelOptions`: the fields that all engines share, and what an engine adds to make its own.

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

What the words mean and which values they take is in `vocabulary.py`; the engine's life is in `engine_handle.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, model_validator
from typing_extensions import Self

from langchain_localmodels.engine_handle import EngineHandle
from langchain_localmodels.engines.base import Engine, EngineExtras, GenerationSettings
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


class LocalModelOptions(Vocabulary):
    """Base of the options of every engine."""

    api_key: SecretStr | None = None
    """Key that a server asks for; engines in this process need none."""

    max_retries: Annotated[int, Field(ge=0)] | None = None
    """Known for code written for hosted models. Nothing is asked again in this version."""

    streaming: bool | None = None
    """Whether `invoke` streams inside, which callbacks see; `None` leaves that to LangChain, `False` forbids it."""

    stream_usage: bool | None = None
    """Known for code written for hosted models. Token counts are always there."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """More options by name; each counts as if given as a parameter of its own, so that this is empty afterwards."""

    # --- what an engine's mixin fills in ----------------------------------------------------------------------------

    _engine_name: ClassVar[str] = ""
    """Key of the engine in `ENGINES`."""

    _aliases: ClassVar[Mapping[str, str]] = {}
    """Further names that people know this engine's fields by: other name to field name."""

    _retired: ClassVar[Mapping[str, object]] = {}
    """Fields that have lost their meaning: name to the value that equals today's behaviour. They are accepted, with a
    warning where another value is given. `...` as the value accepts any value silently."""

    _not_identity: ClassVar[frozenset[str]] = frozenset(
        {
            "name",
            "cache",
            "verbose",
            "callbacks",
            "tags",
            "metadata",
            "custom_get_token_ids",
            "rate_limiter",
            "disable_streaming",
            "profile",
            "api_key",
            "timeout",
            "max_retries",
            "streaming",
            "stream_usage",
            "model_kwargs",
            "stop",
        }
    )
    """Fields that do not change the output. An engine's own set is added to this one. (`stop` goes by another name.)"""

    def _new_engine(self) -> Engine:
        """Make the engine. Called once per object, on first use; the engine must not hold on to this object."""
        raise NotImplementedError

    def _model_name(self) -> str:
        """Name of the model, for metadata, traces and caches."""
        raise NotImplementedError

    def _extras(self, overrides: dict[str, Any]) -> EngineExtras | None:
        """Give the engine's own values for one request.

        Args:
            overrides: What was given per call and is not in the vocabulary; the engine takes out (`pop`) what it knows.
                What stays is warned of as unknown.

        Raises:
            InvalidRequestError: If a value is out of range.
        """
        return None

    def _identity_extra(self) -> dict[str, Any]:
        """What else changes the output, such as size and date of a model file. Called often: must be cheap."""
        return {}

    def _profile(self) -> dict[str, Any] | None:
        """What can be told of the model without loading it or asking a server, in the form of a `ModelProfile`."""
        return None

    # --- construction -----------------------------------------------------------------------------------------------

    _handle: EngineHandle = PrivateAttr(default_factory=EngineHandle)

    def model_post_init(self, context: Any, /) -> None:
        """Let langchain-core do its part: pydantic would stop at the private attribute above."""
        super().model_post_init(context)

    @model_validator(mode="before")
    @classmethod
    def _understand_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        more = values.pop("model_kwargs", None) or {}
        if not isinstance(more, Mapping):
            raise ValueError("`model_kwargs` is a dict of option names and values")
        values = unify(_spread(values, more), cls._all_aliases())
        if (manager := values.pop("callback_manager", None)) is not None:
            if values.get("callbacks") is not None:
                raise ValueError("`callback_manager` is the old name of `callbacks`; give one of them")
            values["callbacks"] = manager
        cls._drop_retired(values)
        known = cls._known_names()
        unknown = [name for name in values if name not in known]
        warn_unknown(cls.__name__, unknown, known)
        return {name: value for name, value in values.items() if name in known}

    @classmethod
    def _all_aliases(cls) -> dict[str, str]:
        merged = {**ALIASES, **_merged(cls, "_aliases")}
        return {alias: name for alias, name in merged.items() if alias not in cls.model_fields}

    @classmethod
    def _drop_retired(cls, values: dict[str, Any]) -> None:
        for name, today in _merged(cls, "_retired").items():
            given = values.pop(name, None)
            if given is not None and today is not ... and given != today:
                warn(f"`{name}` of {cls.__name__} has no effect any more: it behaves as {name}={today!r}.")

    @classmethod
    def _known_names(cls) -> set[str]:
        aliases = {str(field.alias) for field in cls.model_fields.values() if field.alias}
        return {*cls.model_fields, *aliases}

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
            given = unify(_spread(overrides, overrides.get("model_kwargs") or {}), self._all_aliases())
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

    # --- identity ---------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """Everything that changes the output: two objects that may answer differently differ in this."""
        unchanging = frozenset().union(*(vars(base).get("_not_identity", ()) for base in type(self).__mro__))
        fields = {name: getattr(self, name) for name in sorted(type(self).model_fields) if name not in unchanging}
        # langchain-core's cache key overwrites "stop" with the stop strings of the call.
        mine = {"engine": self._engine_name, "model": self._model_name(), "constructor_stop": self.stop or None}
        merged = {**fields, **mine, **self._identity_extra()}
        return {name: value for name, value in merged.items() if value is not None}

    # --- the engine's life ------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The engine, made on first use. Its weights load, or its server is asked, when it first has work."""
        return self._handle.get(self._new_engine)

    async def _aengine(self) -> Engine:
        return await self._handle.aget(self._new_engine)

    def load(self) -> Self:
        """Load the model now, or check that the server has it, instead of at the first request."""
        self.engine.load()
        return self

    def close(self) -> None:
        """Let go of the model and its memory. The next use loads it again."""
        self._handle.close()

    def __enter__(self) -> Self:
        """Give itself; `close` follows at the end of the `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __copy__(self) -> Self:
        """Copy the fields; the copy makes an engine of its own."""
        copied = super().__copy__()
        copied._handle = EngineHandle()
        # langchain-core keeps the form for traces here, which a changed field of the copy would not reach.
        copied.__dict__.pop("_serialized", None)
        return copied


_warned: set[tuple[str, str]] = set()


def _merged(cls: type, attribute: str) -> dict[str, Any]:
    """Join a mapping that several bases of a class define, those of derived classes last."""
    joined: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        joined.update(vars(base).get(attribute, {}))
    return joined


def _spread(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    for name in values.keys() & more.keys():
        if values[name] != more[name]:
            raise ValueError(f"`{name}` is given both as a parameter and in `model_kwargs`, and differs")
    return {**more, **values}
