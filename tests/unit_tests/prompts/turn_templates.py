"""A chat template for each form of turns: those of `tests.families`, and small ones of ours with published marks.

What the published templates add beside the turns (dates, tools, a system message where none was given, checks of the
order) is left out, but what shows how an answer begins is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.families import FAMILIES as TOOL_FAMILIES


@dataclass(frozen=True)
class Turns:
    """A template.

    Attributes:
        template: In Jinja.
        tokens: The special tokens that it is given.
    """

    template: str
    tokens: dict[str, str] = field(default_factory=lambda: {"bos_token": "<s>", "eos_token": "</s>"})


def _of(name: str) -> Turns:
    family = TOOL_FAMILIES[name]
    return Turns(family.template, dict(family.tokens))


LLAMA_2 = """{{ bos_token }}{% set ns = namespace(system='') %}
{%- for m in messages %}
{%- if m.role == 'system' %}{% set ns.system = '<<SYS>>\\n' + m.content.strip() + '\\n<</SYS>>\\n\\n' %}
{%- elif m.role == 'user' %}{{ '[INST] ' + ns.system + m.content.strip() + ' [/INST]' }}{% set ns.system = '' %}
{%- else %}{{ ' ' + m.content.strip() + ' ' + eos_token + bos_token }}
{%- endif %}{% endfor %}"""


def _mistral(before: str, after: str) -> Turns:
    return Turns(f"""{{{{ bos_token }}}}{{% set ns = namespace(system='') %}}
{{%- for m in messages %}}
{{%- if m.role == 'system' %}}{{% set ns.system = m.content + '\\n\\n' %}}
{{%- elif m.role == 'user' %}}{{{{ '{before}' + ns.system + m.content + '{after}' }}}}{{% set ns.system = '' %}}
{{%- else %}}{{{{ ' ' + m.content + eos_token }}}}
{{%- endif %}}{{% endfor %}}""")


MISTRAL_V7 = """{{ bos_token }}{% for m in messages %}
{%- if m.role == 'system' %}{{ '[SYSTEM_PROMPT] ' + m.content + '[/SYSTEM_PROMPT]' }}
{%- elif m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}
{%- else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"""

GEMMA_3 = """{{ bos_token }}{% set ns = namespace(system='') %}
{%- for m in messages %}
{%- if m.role == 'system' %}{% set ns.system = m.content | trim + '\\n\\n' %}
{%- else %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + ns.system }}
{{- m.content | trim + '<end_of_turn>\\n' }}{% set ns.system = '' %}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

PHI_3 = """{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""

PHI_4 = """{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"""

VICUNA = """{% for m in messages %}
{%- if m.role == 'system' %}{{ m.content + ' ' }}
{%- elif m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}
{%- else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"""

ALPACA = """{% for m in messages %}
{%- if m.role == 'system' %}{{ m.content + '\\n\\n' }}
{%- elif m.role == 'user' %}{{ '### Instruction:\\n' + m.content + '\\n\\n' }}
{%- else %}{{ '### Response:\\n' + m.content + '\\n\\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"""

ZEPHYR = """{% for m in messages %}
{%- if m.role == 'user' %}{{ '<|user|>\\n' + m.content + eos_token + '\\n' }}
{%- elif m.role == 'system' %}{{ '<|system|>\\n' + m.content + eos_token + '\\n' }}
{%- else %}{{ '<|assistant|>\\n' + m.content + eos_token + '\\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""

DEEPSEEK_V2 = """{{ bos_token }}{% for m in messages %}
{%- if m.role == 'user' %}{{ 'User: ' + m.content + '\\n\\n' }}
{%- elif m.role == 'system' %}{{ m.content + '\\n\\n' }}
{%- else %}{{ 'Assistant: ' + m.content + eos_token }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"""

DEEPSEEK_V3 = """{{ bos_token }}{% for m in messages %}
{%- if m.role == 'user' %}{{ '<｜User｜>' + m.content }}
{%- elif m.role == 'system' %}{{ m.content }}
{%- else %}{{ '<｜Assistant｜>' + m.content + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"""

DEEPSEEK_V31 = """{% if thinking is not defined %}{% set thinking = false %}{% endif %}
{{- bos_token }}{% for m in messages %}
{%- if m.role == 'user' %}{{ '<｜User｜>' + m.content }}
{%- elif m.role == 'system' %}{{ m.content }}
{%- else %}{{ '<｜Assistant｜></think>' + m.content + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{% endif %}"""

GPT_OSS = """<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06

Reasoning: {{ reasoning_effort | default('medium') }}

# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>
{%- for m in messages %}
{%- if m.role == 'system' %}{{ '<|start|>developer<|message|># Instructions\\n\\n' + m.content + '\\n\\n<|end|>' }}
{%- elif m.role == 'user' %}{{ '<|start|>user<|message|>' + m.content + '<|end|>' }}
{%- else %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""

GRANITE = """{% for m in messages %}
{{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"""

TEMPLATES: dict[str, Turns] = {
    "llama-2": Turns(LLAMA_2),
    "llama-3": _of("llama"),
    "mistral-v1": _mistral("[INST] ", " [/INST]"),
    "mistral-v3": _mistral("[INST] ", "[/INST]"),
    "mistral-tekken": _mistral("[INST]", "[/INST]"),
    "mistral-v7": Turns(MISTRAL_V7),
    "mistral-v7-tekken": _of("mistral_ids"),
    "chatml": _of("hermes"),
    "gemma-3": Turns(GEMMA_3),
    "gemma-4": _of("gemma4"),
    "phi-3": Turns(PHI_3),
    "phi-4-mini": _of("phi"),
    "phi-4": Turns(PHI_4),
    "vicuna": Turns(VICUNA),
    "alpaca": Turns(ALPACA),
    "zephyr": Turns(ZEPHYR),
    "deepseek-v3": Turns(DEEPSEEK_V3),
    "deepseek-r1": _of("deepseek"),
    "deepseek-v3.1": Turns(DEEPSEEK_V31),
    "deepseek-v2": Turns(DEEPSEEK_V2, {"eos_token": "<｜end▁of▁sentence｜>"}),
    "command-r": _of("command_r"),
    "gpt-oss": Turns(GPT_OSS),
    "granite": Turns(GRANITE),
}

GO_TEMPLATES: dict[str, str] = {
    "llama-2": "[INST] {{ if .System }}<<SYS>>\n{{ .System }}\n<</SYS>>\n\n{{ end }}{{ .Prompt }} [/INST]",
    "llama-3": "{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>"
    "{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral-v3": "[INST] {{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}[/INST]",
    "chatml": "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n",
    "phi-3": "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n",
    "zephyr": "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}</s>\n{{ end }}<|assistant|>\n",
    "vicuna": "{{ .System }} USER: {{ .Prompt }} ASSISTANT:",
    "alpaca": "{{ .System }}\n\n### Instruction:\n{{ .Prompt }}\n\n### Response:\n",
}
"""Some as Ollama has them."""

SPELLINGS: tuple[tuple[str, str | None], ...] = (
    ("{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] | trim + eos_token }}{% endfor %}", "zephyr"),
    # OLMo and Tulu close the assistant's turns alone.
    (
        "{% if m.role == 'user' %}{{ '<|user|>\n' + m['content'] + '\n' }}{% elif m.role == 'assistant' %}"
        "{{ '<|assistant|>\n' + m['content'] + eos_token }}{% endif %}",
        None,
    ),
    ("{{ '### User:\n' + m.content + '\n\n### Assistant:\n' }}", None),
    ("{{ .Prompt }}", None),
)
"""Pieces of templates that are spelt in other ways, and the form that they tell."""

OTHERS = ("glm", "kimi_k2", "minimax_m2", "seed_oss", "functionary_v2")
"""Families of `tests.families` whose turns none of these forms has."""
