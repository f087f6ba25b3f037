"""Chat templates of families that a vocabulary tells: what they write is what the family's own template writes."""

from __future__ import annotations

import pytest

from langchain_localmodels.dialects.family_templates import family_template
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import Text, Turn

TURNS = [
    Turn("system", (Text("Be brief."),)),
    Turn("user", (Text("Hello"),)),
    Turn("assistant", (Text("Hi!"),)),
    Turn("user", (Text("And now?"),)),
]
LLAMA = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "hello"]
GEMMA = ["<bos>", "<start_of_turn>", "<end_of_turn>"]
PHI = ["<s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"]
CHATML = ["<|im_start|>", "<|im_end|>"]


@pytest.mark.parametrize(
    ("tokens", "bos", "want"),
    [
        (
            LLAMA,
            "<|begin_of_text|>",
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHi!<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nAnd now?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            GEMMA,
            "<bos>",
            "<bos><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\nHi!<end_of_turn>\n"
            "<start_of_turn>user\nAnd now?<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            PHI,
            "<s>",
            "<|system|>\nBe brief.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi!<|end|>\n"
            "<|user|>\nAnd now?<|end|>\n<|assistant|>\n",
        ),
        (
            CHATML,
            "",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
            "<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n",
        ),
    ],
    ids=["Llama 3", "Gemma", "Phi 3", "ChatML"],
)
def test_what_is_written(tokens, bos, want):
    family = family_template(tokens)
    assert family is not None
    assert ChatTemplate(family.source, bos_token=bos).render(TURNS) == want


@pytest.mark.parametrize("tokens", [[], ["<s>", "</s>", "[INST]"], LLAMA[:2], PHI[:3], CHATML[:1]])
def test_what_does_not_tell(tokens):
    assert family_template(tokens) is None
