"""`NOTATIONS`: the notations of tool calls, and which of them a model writes. A new one is a class and a row here."""

from __future__ import annotations

import difflib

from langchain_localmodels.dialects.notations.base import Notation
from langchain_localmodels.dialects.notations.command_r import Cohere2Moe, CommandR, CommandR7B
from langchain_localmodels.dialects.notations.deepseek import DeepSeek, DeepSeekV31
from langchain_localmodels.dialects.notations.dsml import Dsml, DsmlV4
from langchain_localmodels.dialects.notations.functionary import FunctionaryV2, FunctionaryV3_1, FunctionaryV3_2
from langchain_localmodels.dialects.notations.gemma import FunctionGemma, Gemma4
from langchain_localmodels.dialects.notations.generic import Generic
from langchain_localmodels.dialects.notations.glm import Glm
from langchain_localmodels.dialects.notations.granite import Granite
from langchain_localmodels.dialects.notations.harmony import Harmony
from langchain_localmodels.dialects.notations.hermes import Hermes
from langchain_localmodels.dialects.notations.kimi import Kimi
from langchain_localmodels.dialects.notations.llama import Llama
from langchain_localmodels.dialects.notations.minimax import MiniMax
from langchain_localmodels.dialects.notations.mistral import Mistral, MistralArguments, MistralIds
from langchain_localmodels.dialects.notations.phi import Phi
from langchain_localmodels.dialects.notations.pythonic import GemmaToolCode, Lfm2
from langchain_localmodels.dialects.notations.qwen_coder import QwenCoder, Seed
from langchain_localmodels.dialects.notations.tagged_lists import Apriel, MiniMaxM1, Nemotron
from langchain_localmodels.errors import InvalidRequestError

GENERIC = Generic()
"""For models whose template has no notation, and for those whose notation is not known."""

NOTATIONS: tuple[Notation, ...] = (
    Harmony(),
    Gemma4(),
    FunctionGemma(),
    Kimi(),
    MiniMax(),
    Seed(),
    FunctionaryV2(),
    FunctionaryV3_2(),
    Nemotron(),
    Lfm2(),
    MistralIds(),
    MistralArguments(),
    Mistral(),
    Cohere2Moe(),
    CommandR7B(),
    Dsml(),
    DsmlV4(),
    DeepSeekV31(),
    DeepSeek(),
    MiniMaxM1(),
    Apriel(),
    Glm(),
    QwenCoder(),
    Granite(),
    Phi(),
    Llama(),
    CommandR(),
    FunctionaryV3_1(),
    Hermes(),
    GemmaToolCode(),
    GENERIC,
)
"""All notations, in the order in which chat templates are tried: the ones that are easiest to mistake come last."""


def notation_of(template_source: str | None) -> Notation | None:
    """The notation of a model, from what its chat template says; `None` where that is not known."""
    return next((known for known in NOTATIONS if template_source and known.recognises(template_source)), None)


def notation_named(name: str) -> Notation:
    """A notation by its name.

    Raises:
        InvalidRequestError: There is none of that name.
    """
    for known in NOTATIONS:
        if known.name == name:
            return known
    names = [known.name for known in NOTATIONS]
    near = difflib.get_close_matches(name, names, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    raise InvalidRequestError(
        f"There is no notation {name!r} of tool calls.", hint=f"{guess}Known: {', '.join(names)}."
    )
