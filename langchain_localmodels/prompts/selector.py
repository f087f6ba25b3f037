"""`ConditionalPromptSelector`: the prompt that suits a model, as LangChain had it before version 1.

It takes the same arguments as the class in `langchain_classic.chains.prompt_selector`. Beyond that one it sees the
model inside `bind`, `bind_tools`, `with_config`, `with_retry`, `with_fallbacks` and `configurable_fields`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLanguageModel, BaseLLM
from langchain_core.prompts import BasePromptTemplate
from pydantic import BaseModel, ConfigDict, Field

Condition = Callable[[Any], bool]
"""Says of a model whether a prompt is for it."""


def unwrap(llm: object) -> object:
    """Give the model inside a runnable that wraps one, however deep; anything else is given back as it is."""
    seen: set[int] = set()
    while not isinstance(llm, BaseLanguageModel) and id(llm) not in seen:
        seen.add(id(llm))
        # RunnableBinding (bind, with_config, with_retry), RunnableWithFallbacks, RunnableConfigurableFields
        inner = next(
            (getattr(llm, name, None) for name in ("bound", "runnable", "default") if hasattr(llm, name)), None
        )
        if inner is None:
            break
        llm = inner
    return llm


def is_llm(llm: object) -> bool:
    """Whether a model takes text and gives text."""
    return isinstance(unwrap(llm), BaseLLM)


def is_chat_model(llm: object) -> bool:
    """Whether a model takes messages and gives a message."""
    return isinstance(unwrap(llm), BaseChatModel)


class ConditionalPromptSelector(BaseModel):
    """Prompts, each with the condition under which it is the right one.

    Args:
        default_prompt: The prompt for models that no condition holds for.
        conditionals: Pairs of condition and prompt; the first whose condition holds is taken. A condition is called
            with the model itself, not with what wraps it.

    Example:
        ```python
        selector = ConditionalPromptSelector(
            default_prompt=DEFAULT_SEARCH_PROMPT,
            conditionals=[(lambda llm: isinstance(llm, LlamaCpp), DEFAULT_LLAMA_SEARCH_PROMPT)],
        )
        chain = selector.get_prompt(llm) | llm
        ```
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

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
        model = unwrap(llm)
        for condition, prompt in self.conditionals:
            if condition(model):
                return prompt
        return self.default_prompt
