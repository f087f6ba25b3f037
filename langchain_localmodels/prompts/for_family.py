"""`FamilyPromptSelector`: one text for a task, in the form that each kind and family of models reads."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_core.prompts import BasePromptTemplate
from pydantic import Field, field_validator, model_validator

from langchain_localmodels.prompts.families import FAMILIES, known_family
from langchain_localmodels.prompts.predicates import Predicate, holds, is_chat_model, is_engine, is_llm
from langchain_localmodels.prompts.recognition import family_of_found
from langchain_localmodels.prompts.selector import ConditionalPromptSelector
from langchain_localmodels.prompts.wrapped import Found

if TYPE_CHECKING:  # langchain-core's templates load Jinja
    from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

reads_turns = is_llm & (~is_engine("ollama") | Predicate(lambda found: bool(found.options.get("raw")), "raw"))
"""Whether a prompt is to hold the turns itself. A chat model's engine writes them; Ollama does it for text models, too,
unless `raw=True` is bound."""


class FamilyPromptSelector(ConditionalPromptSelector):
    """A prompt that is written once, and wrapped in the turns of the model's family.

    Chat models get a system and a human message; text models of a known family its turns (`FAMILIES`); others the two
    texts one after the other. Text models on Ollama are others: the server puts the turns around the prompt, unless
    `llm.bind(raw=True)` says not to.

    Args:
        system: Instructions, as the template of a prompt with its variables in braces; may be empty.
        user: What the user says, the same way.
        default_prompt: The prompt for text models of no known family, in place of `system` and `user` on their own.
        family_prompts: Prompts of families, or of their forms, that are not composed of these texts.
        conditionals: Further prompts, whose conditions are looked at first.

    Raises:
        ValidationError: A family is not known, or a template cannot be read.

    Example:
        ```python
        from langchain_localmodels import LlamaCpp
        from langchain_localmodels.demo import model_path
        from langchain_localmodels.prompts import FamilyPromptSelector

        ask = FamilyPromptSelector(system="Answer in one word.", user="{question}")
        llm = LlamaCpp(model_path=model_path)
        print(ask.get_prompt(llm).format(question="Who was the first man on the moon?"))
        chain = ask | llm
        ```
    """

    system: str = ""
    user: str = Field(min_length=1)
    default_prompt: BasePromptTemplate = Field(default=None)  # type: ignore[type-arg, arg-type]
    family_prompts: dict[str, BasePromptTemplate] = Field(default_factory=dict)  # type: ignore[type-arg]

    @field_validator("family_prompts", mode="after")
    @classmethod
    def _families_are_known(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {known_family(name): prompt for name, prompt in value.items()}

    @model_validator(mode="before")
    @classmethod
    def _has_a_default(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("default_prompt") is not None:
            return values
        texts = [values.get(name) for name in ("system", "user")]
        both = "\n\n".join(text for text in texts if isinstance(text, str) and text)
        return {**values, "default_prompt": _as_text(both)}

    def _default(self, found: Found) -> BasePromptTemplate[Any]:
        if holds(is_chat_model, found):
            return _as_messages(self.system, self.user)
        family = family_of_found(found) if holds(reads_turns, found) else None
        if family is None:
            return self.default_prompt
        own = self.family_prompts.get(family.name) or self.family_prompts.get(family.group)
        return own or _as_turns(family.name, self.system, self.user)


def _as_text(template: str) -> PromptTemplate:
    from langchain_core.prompts import PromptTemplate

    return PromptTemplate.from_template(template)


@lru_cache(maxsize=256)
def _as_messages(system: str, user: str) -> ChatPromptTemplate:
    from langchain_core.prompts import ChatPromptTemplate

    return ChatPromptTemplate.from_messages([*([("system", system)] if system else []), ("human", user)])


@lru_cache(maxsize=256)
def _as_turns(family: str, system: str, user: str) -> PromptTemplate:
    return _as_text(FAMILIES[family].wrap(system, user))
