"""Families of models, by the turns they were trained to read: for text models, whose prompts are written by hand.

Owns the format of one question with its instructions, as each family's published chat template writes it, and the
strings that end an answer. Which family a model is of is found out in `recognition.py`. Chat models need none of this:
their engines apply the template itself.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from langchain_localmodels.errors import InvalidRequestError

_PLACE = re.compile(r"\{(system|user)\}")


@dataclass(frozen=True, slots=True)
class PromptFamily:
    """One form of turns.

    Attributes:
        name: The form's name, such as `mistral-tekken`.
        group: The family's name, which its forms have in common, such as `mistral`.
        title: What models read it, in words.
        turns: What the template writes for a system and a user turn, up to where the answer begins, without the token
            that begins a sequence: engines put that there.
        user_turn: The same without a system turn.
        stop: Strings that end an answer, where the engine does not know the model's own end.
    """

    name: str
    group: str
    title: str
    turns: str
    user_turn: str
    stop: tuple[str, ...]

    def wrap(self, system: str | None, user: str) -> str:
        """Write instructions and a question as a model of this family reads them, up to where its answer begins.

        Both are written as they are, braces too, so that they may be templates of prompts. Blanks at their ends, which
        the templates of some families strip, are best not given.

        Args:
            system: Instructions; `None`, or nothing, for none.
            user: What the user says.

        Raises:
            InvalidRequestError: The user says nothing.

        Example:
            ```python
            from langchain_localmodels.prompts import FAMILIES

            FAMILIES["llama-2"].wrap("Be brief.", "Who was the first man on the moon?")
            ```
        """
        said = {"system": system or "", "user": user}
        if not user:
            raise InvalidRequestError("There is nothing to wrap.", hint="Give what the user says as `user`.")
        return _PLACE.sub(lambda place: said[place[1]], self.turns if said["system"] else self.user_turn)


def _phi(name: str, title: str, turn: str, opening: str, *stop: str) -> PromptFamily:
    system, user = (turn.replace("ROLE", role).replace("TEXT", f"{{{role}}}") for role in ("system", "user"))
    return PromptFamily(name, "phi", title, system + user + opening, user + opening, stop)


def _mistral(name: str, title: str, turns: str, user_turn: str) -> PromptFamily:
    return PromptFamily(name, "mistral", title, turns, user_turn, ("</s>", "[INST]"))


def _deepseek(name: str, title: str, opening: str) -> PromptFamily:
    turn = "<｜User｜>{user}<｜Assistant｜>" + opening
    return PromptFamily(name, "deepseek", title, "{system}" + turn, turn, ("<｜end▁of▁sentence｜>", "<｜User｜>"))


_HARMONY = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\n\n"
    "Reasoning: medium\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
)
_COMMAND_R = "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{user}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
_GRANITE = "<|start_of_role|>user<|end_of_role|>{user}<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"
_LLAMA_3 = (
    "<|start_header_id|>user<|end_header_id|>\n\n{user}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)

FAMILIES: dict[str, PromptFamily] = {
    family.name: family
    for family in (
        PromptFamily(
            "llama-2",
            "llama-2",
            "Llama 2 Chat, Code Llama Instruct",
            "[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]",
            "[INST] {user} [/INST]",
            ("</s>", "[INST]"),
        ),
        # From 3.1 on the published template also writes dates into the system turn, which are no part of the format.
        PromptFamily(
            "llama-3",
            "llama-3",
            "Llama 3, 3.1, 3.2, 3.3",
            "<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>" + _LLAMA_3,
            _LLAMA_3,
            ("<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>"),
        ),
        _mistral(
            "mistral-v1",
            "Mistral 7B 0.1 and 0.2, Mixtral 8x7B",
            "[INST] {system}\n\n{user} [/INST]",
            "[INST] {user} [/INST]",
        ),
        _mistral(
            "mistral-v3",
            "Mistral 7B 0.3, Mixtral 8x22B, Large 2407, Codestral",
            "[INST] {system}\n\n{user}[/INST]",
            "[INST] {user}[/INST]",
        ),
        _mistral(
            "mistral-tekken",
            "Mistral Nemo, Pixtral, Ministral 8B",
            "[INST]{system}\n\n{user}[/INST]",
            "[INST]{user}[/INST]",
        ),
        _mistral(
            "mistral-v7",
            "Mistral Large 2411",
            "[SYSTEM_PROMPT] {system}[/SYSTEM_PROMPT][INST] {user}[/INST]",
            "[INST] {user}[/INST]",
        ),
        _mistral(
            "mistral-v7-tekken",
            "Mistral Small 3 and later, Magistral, Devstral",
            "[SYSTEM_PROMPT]{system}[/SYSTEM_PROMPT][INST]{user}[/INST]",
            "[INST]{user}[/INST]",
        ),
        PromptFamily(
            "chatml",
            "qwen",
            "Qwen, and what reads ChatML: Hermes, Dolphin, SmolLM, the demo model",
            "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n",
            "<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n",
            ("<|im_end|>", "<|endoftext|>"),
        ),
        PromptFamily(
            "gemma-3",
            "gemma",
            "Gemma 1, 2, 3",
            "<start_of_turn>user\n{system}\n\n{user}<end_of_turn>\n<start_of_turn>model\n",
            "<start_of_turn>user\n{user}<end_of_turn>\n<start_of_turn>model\n",
            ("<end_of_turn>", "<start_of_turn>"),
        ),
        # The empty channel says that the model is to answer at once.
        PromptFamily(
            "gemma-4",
            "gemma",
            "Gemma 4",
            "<|turn>system\n{system}<turn|>\n<|turn>user\n{user}<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
            "<|turn>user\n{user}<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
            ("<turn|>", "<|turn>"),
        ),
        _phi("phi-3", "Phi-3, Phi-3.5", "<|ROLE|>\nTEXT<|end|>\n", "<|assistant|>\n", "<|end|>", "<|user|>"),
        _phi("phi-4-mini", "Phi-4-mini", "<|ROLE|>TEXT<|end|>", "<|assistant|>", "<|end|>", "<|user|>"),
        _phi(
            "phi-4",
            "Phi-4",
            "<|im_start|>ROLE<|im_sep|>TEXT<|im_end|>",
            "<|im_start|>assistant<|im_sep|>",
            "<|im_end|>",
            "<|im_start|>",
        ),
        PromptFamily(
            "vicuna",
            "vicuna",
            "Vicuna 1.1 and later, WizardLM",
            "{system} USER: {user} ASSISTANT:",
            "USER: {user} ASSISTANT:",
            ("</s>", "USER:"),
        ),
        PromptFamily(
            "alpaca",
            "alpaca",
            "Alpaca, Nous Hermes 13B, Platypus",
            "{system}\n\n### Instruction:\n{user}\n\n### Response:\n",
            "### Instruction:\n{user}\n\n### Response:\n",
            ("</s>", "### Instruction:"),
        ),
        PromptFamily(
            "zephyr",
            "zephyr",
            "Zephyr, TinyLlama Chat",
            "<|system|>\n{system}</s>\n<|user|>\n{user}</s>\n<|assistant|>\n",
            "<|user|>\n{user}</s>\n<|assistant|>\n",
            ("</s>", "<|user|>"),
        ),
        _deepseek("deepseek-v3", "DeepSeek V2.5, V3", ""),
        _deepseek("deepseek-r1", "DeepSeek R1 and what was distilled from it", "<think>\n"),
        _deepseek("deepseek-v3.1", "DeepSeek V3.1", "</think>"),
        PromptFamily(
            "deepseek-v2",
            "deepseek",
            "DeepSeek V2, DeepSeek LLM",
            "{system}\n\nUser: {user}\n\nAssistant:",
            "User: {user}\n\nAssistant:",
            ("<｜end▁of▁sentence｜>", "User:"),
        ),
        PromptFamily(
            "command-r",
            "command-r",
            "Command R, R+, Aya",
            "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{system}<|END_OF_TURN_TOKEN|>" + _COMMAND_R,
            _COMMAND_R,
            ("<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>"),
        ),
        # The published template also writes today's date into the system turn. The answer comes in channels.
        PromptFamily(
            "gpt-oss",
            "gpt-oss",
            "gpt-oss 20B and 120B",
            _HARMONY + "<|start|>developer<|message|># Instructions\n\n{system}\n\n<|end|>"
            "<|start|>user<|message|>{user}<|end|><|start|>assistant",
            _HARMONY + "<|start|>user<|message|>{user}<|end|><|start|>assistant",
            ("<|return|>", "<|call|>"),
        ),
        PromptFamily(
            "granite",
            "granite",
            "Granite 3, 4",
            "<|start_of_role|>system<|end_of_role|>{system}<|end_of_text|>\n" + _GRANITE,
            _GRANITE,
            ("<|end_of_text|>", "<|start_of_role|>"),
        ),
    )
}
"""All forms by name. `is_family` takes these names, and the names of groups."""

GROUPS: tuple[str, ...] = tuple(dict.fromkeys(family.group for family in FAMILIES.values()))
"""The families' names."""


def known_family(name: str) -> str:
    """Give the name of a family, or of a form, as the tables here have it.

    Raises:
        InvalidRequestError: There is none.
    """
    known = [*FAMILIES, *(group for group in GROUPS if group not in FAMILIES)]
    if name in known:
        return name
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    raise InvalidRequestError(
        f"There is no family of models {name!r}.", hint=f"{guess}Known: {', '.join(map(repr, known))}."
    )
