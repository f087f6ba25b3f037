"""`ConditionalPromptSelector`: the prompt that suits a model, as LangChain had it before version 1, and composable.

It takes the same arguments as the class in `langchain_classic.chains.prompt_selector`, and has the same method, which
is all that the chains there ask of a selector. Beyond that one it sees the model inside what wraps it (`wrapped.py`),
knows more conditions (`predicates.py`), and stands in a chain itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence, RunnableSerializable
from langchain_core.runnables.base import coerce_to_runnable
from langchain_core.runnables.config import run_in_executor
from pydantic import BaseModel, ConfigDict, Field

from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.prompts.predicates import holds
from langchain_localmodels.prompts.wrapped import Found, find, find_all

Condition = Callable[[Any], bool]
"""Says of a model whether a prompt is for it."""


class _NeedsModel(RunnableSerializable[dict[str, Any], PromptValue]):
    """What stands before a model in a chain, and has to know which."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def invoke(self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> NoReturn:
        """Refuse: no model is known here."""
        raise InvalidRequestError(
            "A prompt selector stands in a chain without knowing the model that comes next.",
            hint="LangChain joins a chain from the left. Put parentheses around the two, `… | (selector | llm)`, or "
            "name the model: `… | selector.for_model(llm) | llm`.",
        )


class ConditionalPromptSelector(_NeedsModel):
    """Prompts, each with the condition under which it is the right one.

    Args:
        default_prompt: The prompt for models that no condition holds for.
        conditionals: Pairs of condition and prompt; the first whose condition holds is taken. A condition is a
            predicate such as `is_chat_model` or `is_family("llama-2")`, several joined by `&`, `|` and `~`, a class of
            models, or a function of the model, which is given the model itself and not what wraps it.

    Example:
        ```python
        from langchain_core.prompts import PromptTemplate

        from langchain_localmodels import ConditionalPromptSelector
        from langchain_localmodels.prompts import is_family, is_llm

        selector = ConditionalPromptSelector(
            default_prompt=PromptTemplate.from_template("{question}"),
            conditionals=[(is_llm & is_family("llama-2"), PromptTemplate.from_template("[INST] {question} [/INST]"))],
        )
        prompt = selector.get_prompt(llm)
        chain = selector | llm  # the same as `prompt | llm`, for each model that a config may choose
        ```
    """

    # Without a type argument: for pydantic, no prompt is an instance of `BasePromptTemplate[Any]`.
    default_prompt: BasePromptTemplate  # type: ignore[type-arg]
    conditionals: list[tuple[Condition, BasePromptTemplate]] = Field(  # type: ignore[type-arg]
        default_factory=list
    )

    def get_prompt(self, llm: object) -> BasePromptTemplate[Any]:
        """Give the prompt for a model.

        Args:
            llm: The model, or a runnable that wraps it.
        """
        found = find(llm)
        return self._conditional(found) or self._default(found)

    def _conditional(self, found: Found) -> BasePromptTemplate[Any] | None:
        return next((prompt for condition, prompt in self.conditionals if holds(condition, found)), None)

    def _default(self, found: Found) -> BasePromptTemplate[Any]:
        """The prompt where no condition holds."""
        return self.default_prompt

    def for_model(self, llm: object) -> PromptForModel:
        """Give the prompt for a model as a step of a chain; which one it is, each call decides.

        Args:
            llm: The model, or a runnable that wraps it, such as one with `configurable_alternatives`: the config of a
                call then decides of the prompt, too.

        Raises:
            InvalidRequestError: There is no model in `llm`.
        """
        return PromptForModel(selector=self, llm=self._model_of(llm))

    def _model_of(self, step: object) -> object:
        models = find_all(step)
        if not models:
            raise InvalidRequestError(
                f"No model can be found in {_short(step)}.",
                hint="Name the one that will answer: `selector.for_model(llm) | … | llm`.",
            )
        first, *others = [found.runnable for found in models]
        if others and any(self.get_prompt(other) != self.get_prompt(first) for other in others):
            raise InvalidRequestError(
                f"The next step asks {len(models)} models, which need different prompts.",
                hint="Give each its own: `{'one': selector | first, 'other': selector | second}`.",
            )
        return step

    # --- in a chain ---------------------------------------------------------------------------------------------------

    def __or__(self, other: Any) -> RunnableSerializable[Any, Any]:
        """Stand before a model, or before a chain that begins with one."""
        step = coerce_to_runnable(other)
        return RunnableSequence(self.for_model(step), step)

    def __ror__(self, other: Any) -> RunnableSerializable[Any, Any]:
        """Stand behind a dict, and wait for the model."""
        return _Begun(before=coerce_to_runnable(other), selector=self)

    def pipe(self, *others: Any, name: str | None = None) -> RunnableSerializable[Any, Any]:
        """Stand before a model: the same as `|`."""
        steps = [coerce_to_runnable(other) for other in others]
        first = self.for_model(RunnableSequence(*steps) if len(steps) > 1 else steps[0])
        return RunnableSequence(first, *steps, name=name)


class _Begun(_NeedsModel):
    """The beginning of a chain, up to a selector."""

    before: Runnable  # type: ignore[type-arg]
    selector: ConditionalPromptSelector

    def __or__(self, other: Any) -> RunnableSerializable[Any, Any]:
        return RunnableSequence(self.before, self.selector | other)

    def pipe(self, *others: Any, name: str | None = None) -> RunnableSerializable[Any, Any]:
        return RunnableSequence(self.before, self.selector.pipe(*others), name=name)


class PromptForModel(RunnableSerializable[dict[str, Any], PromptValue]):
    """The prompt that a selector has for a model, chosen with each call; `for_model` of a selector makes it.

    Args:
        selector: The selector.
        llm: The model, or what wraps it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    selector: ConditionalPromptSelector
    llm: Any

    def prompt(self, config: RunnableConfig | None = None) -> BasePromptTemplate[Any]:
        """Give the prompt that a call with this config gets."""
        return self.selector.get_prompt(find(self.llm, config).runnable)

    def invoke(self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> PromptValue:
        """Fill in the prompt."""
        return self.prompt(config).invoke(input, config, **kwargs)

    async def ainvoke(self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> PromptValue:
        """Fill in the prompt. A server that has to be asked about its model is asked in a thread."""
        prompt = await run_in_executor(config, self.prompt, config)
        return await prompt.ainvoke(input, config, **kwargs)

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """Tell the prompt's variables."""
        return self.prompt(config).get_input_schema(config)


def _short(step: object) -> str:
    text = " ".join(repr(step).split())
    return text if len(text) <= 80 else f"{text[:79]}…"
