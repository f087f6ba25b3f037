"""`EngineOptions`: what every class that runs on an engine has, whether it writes or embeds.

Owns the fields that say nothing about an answer, the reading of names that people give them by, the identity of an
object and its form for dumps and traces, and its hold on the engine. What an answer is to be like is in `options.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from langchain_core.load.serializable import Serializable, SerializedConstructor, SerializedNotImplemented
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
from typing_extensions import Self

from langchain_localmodels.engine_handle import EngineHandle
from langchain_localmodels.engines.base import Engine
from langchain_localmodels.identity import FoundProfile, holds_secret, plain, shown
from langchain_localmodels.vocabulary import unify, warn, warn_unknown


class EngineOptions(Serializable):
    """Base of the options of every class."""

    model_config = ConfigDict(
        extra="ignore",
        protected_namespaces=(),
        populate_by_name=True,
        # Built at the first use of a class: building all of them would make the import of any a third slower.
        defer_build=True,
        # A message about one argument would show all of them, the API key too.
        hide_input_in_errors=True,
    )

    api_key: SecretStr | None = None
    """Key that a server asks for; engines in this process need none."""

    max_retries: Annotated[int, Field(ge=0)] | None = None
    """How often a request to a server is sent again, when the connection is refused or the server busy; `None` for
    twice. Engines in this process never try again."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """More options by name; each counts as if given as a parameter of its own, so that this is empty afterwards."""

    # --- what an engine's mixin fills in ----------------------------------------------------------------------------

    _engine_name: ClassVar[str] = ""
    """Key of the engine in `ENGINES`."""

    _aliases: ClassVar[Mapping[str, str]] = {}
    """Further names that people know the fields by: other name to field name. Those of all bases count."""

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

    _beside_engine: ClassVar[frozenset[str]] = frozenset(
        {
            "name",
            "cache",
            "callbacks",
            "tags",
            "metadata",
            "custom_get_token_ids",
            "rate_limiter",
            "disable_streaming",
            "output_version",
            "profile",
            "timeout",
            "max_retries",
            "streaming",
            "stream_usage",
            "model_kwargs",
        }
    )
    """Fields that the engine is not made from; a changed one leaves it as it is. Those of all bases count."""

    def _new_engine(self) -> Engine:
        """Make the engine. Called once per object, on first use; the engine must not hold on to this object."""
        raise NotImplementedError

    def _model_name(self) -> str:
        """Name of the model, for metadata, traces and caches."""
        raise NotImplementedError

    def _identity_extra(self) -> dict[str, Any]:
        """What else changes the output, such as size and date of a model file. Called often: must be cheap."""
        return {}

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
        if isinstance(values.get("profile"), FoundProfile):
            del values["profile"]
        more = values.pop("model_kwargs", None) or {}
        if not isinstance(more, Mapping):
            raise ValueError("`model_kwargs` is a dict of option names and values")
        values = unify(spread(values, more), cls._all_aliases())
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
        return {alias: name for alias, name in _merged(cls, "_aliases").items() if alias not in cls.model_fields}

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

    # --- identity ---------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """Everything that changes the output: two objects that may answer differently differ in this."""
        unchanging = _joined(type(self), "_not_identity")
        fields = {name: getattr(self, name) for name in sorted(type(self).model_fields) if name not in unchanging}
        mine = {"engine": self._engine_name, "model": self._model_name()}
        merged = {**fields, **mine, **self._identity_extra()}
        return {name: value for name, value in merged.items() if value is not None}

    @property
    def cache_namespace(self) -> str:
        """A short text that only objects which answer alike have in common: a namespace for caches of vectors.

        It changes with every field that changes the output, and with the model file.

        Example:
            ```python
            CacheBackedEmbeddings.from_bytes_store(embeddings, store, namespace=embeddings.cache_namespace)
            ```
        """
        digest = hashlib.sha256(json.dumps(plain(self._identity())).encode()).hexdigest()[:16]
        model = re.sub("[^A-Za-z0-9.]+", "_", self._model_name())
        return f"{self._engine_name}-{model}-{digest}"

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Give what was set, in short and without secrets."""
        for name, value in super().__repr_args__():
            if name == "metadata" and isinstance(value, Mapping):
                # Every object has the versions that langchain-core notes there.
                if mine := {key: entry for key, entry in value.items() if key != "lc_versions"}:
                    yield name, shown(name, mine)
            elif not isinstance(value, FoundProfile) and value != {}:
                yield name, shown(name, value)

    # --- dumps and traces -------------------------------------------------------------------------------------------

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether LangChain's `dumpd` and `load` know this class: they do."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Give the module that a dump names: for the engines' classes a public one, which stays where it is."""
        parts = cls.__module__.split(".")
        package = __name__.partition(".")[0]
        return [package, parts[-1]] if parts[:2] == [package, "engines"] else parts

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Fields that hold secrets, and the names that they go by in dumps and traces."""
        return {"api_key": f"{self._engine_name.upper()}_API_KEY"}

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Give the form for dumps and traces.

        An object with a secret in `client_kwargs` or `base_url` says that it cannot be dumped: without the secret, what
        is loaded again would be another object. `api_key` is named in a dump, and asked for by `load`.
        """
        if any(holds_secret(name, getattr(self, name, None)) for name in type(self).model_fields):
            return self.to_json_not_implemented()
        return super().to_json()

    # --- the engine's life ------------------------------------------------------------------------------------------

    if not TYPE_CHECKING:  # a type checker that saw it would take every misspelt name for an attribute

        def __setattr__(self, name: str, value: Any) -> None:
            """Set an attribute; a changed field counts from the next request on."""
            super().__setattr__(name, value)
            if name in type(self).model_fields:
                self._changed({name})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy, with other values for some fields; pydantic does not check them."""
        copied = super().model_copy(update=update, deep=deep)
        if update:
            copied._changed(set(update))
        return copied

    def _changed(self, names: set[str]) -> None:
        """Let go of what was made from the former values of these fields."""
        # langchain-core keeps the form for traces here.
        self.__dict__.pop("_serialized", None)
        if names - _joined(type(self), "_beside_engine"):
            self._handle = EngineHandle()

    @property
    def engine(self) -> Engine:
        """The engine, made on first use. Its weights load, or its server is asked, when it first has work."""
        return self._handle.get(self._new_engine)

    async def _aengine(self) -> Engine:
        return await self._handle.aget(self._new_engine)

    def load(self) -> Self:
        """Load the model now, or check that the server has it, instead of at the first request."""
        self.engine.load()
        self._learnt()
        return self

    def _learnt(self) -> None:
        """Take over what `load` has found out of the model."""

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
        return copied


def _merged(cls: type, attribute: str) -> dict[str, Any]:
    """Join a mapping that several bases of a class define, those of derived classes last."""
    joined: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        joined.update(vars(base).get(attribute, {}))
    return joined


def spread(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Put the entries of a `model_kwargs` beside the others, which may not differ."""
    for name in values.keys() & more.keys():
        if values[name] != more[name]:
            raise ValueError(f"`{name}` is given both as a parameter and in `model_kwargs`, and differs")
    return {**more, **values}


@lru_cache(maxsize=256)
def _joined(cls: type, attribute: str) -> frozenset[str]:
    """Join a set of names that several bases of a class define."""
    return frozenset().union(*(vars(base).get(attribute, ()) for base in cls.__mro__))
