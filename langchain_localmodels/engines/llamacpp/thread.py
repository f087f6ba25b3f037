"""`ContextThread`: a thread that owns a context of llama.cpp; see `ModelThread`.

What it computes is its subclasses' business: `Scheduler` generates, `Embedder` embeds.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import Any, ClassVar, TypeVar, cast

from langchain_localmodels.engines.llamacpp import weights
from langchain_localmodels.engines.llamacpp.binding.context import Context, ContextParams
from langchain_localmodels.engines.llamacpp.binding.library import library_log
from langchain_localmodels.engines.llamacpp.binding.model import Model, ModelParams
from langchain_localmodels.engines.threads import ModelThread, Task

TaskT = TypeVar("TaskT", bound=Task)


class ContextThread(ModelThread[Model, TaskT]):
    """The thread that owns a context. Its key is the weights to run on, and the context to make on them."""

    engine: ClassVar[str] = "llama.cpp"

    def __init__(self, key: Hashable, **options: Any) -> None:
        super().__init__(key, **options)
        self._model_params, self._context_params = cast("tuple[ModelParams, ContextParams]", key)
        self._context: Context | None = None

    @abstractmethod
    def _open(self, model: Model, context: Context) -> None:
        """Get ready."""

    def _check(self, model: Model) -> None:
        """Refuse a model that is not for this; raises `ModelFileError`."""

    def _run(self) -> None:
        with library_log(self._verbose):
            super()._run()

    def _load(self) -> Model:
        model = weights.borrow(self._model_params, verbose=self._verbose)
        try:
            self._check(model)
            if self._stopping:
                raise self._end_error()
            self._context = Context(model, self._context_params, verbose=self._verbose)
            self._open(model, self._context)
        except BaseException:
            self._free(model)
            raise
        return model

    def _free(self, model: Model) -> None:
        if self._context is not None:
            self._context.free()
        weights.give_back(self._model_params)

    def _give_up(self) -> None:
        if self._context is not None:
            self._context.abort()
