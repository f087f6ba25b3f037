"""What GPT4All can read: its llama.cpp is of July 2024, and a file from later may end the process.

Pure: it looks at a file's header, and says which engine reads what this one does not.
"""

from __future__ import annotations

from langchain_localmodels.errors import ModelFileError
from langchain_localmodels.weights.gguf import GGUFHeader
from langchain_localmodels.weights.tokens import check_tokens, token_texts

EMBEDDING_ARCHITECTURES = frozenset({"bert", "nomic-bert"})
_WRITING_ARCHITECTURES = frozenset(
    [
        *("llama", "falcon", "gpt2", "gptneox", "mpt", "baichuan", "starcoder", "refact"),
        *("bloom", "stablelm", "qwen", "qwen2", "qwen2moe", "phi2", "phi3", "codeshell"),
        *("orion", "internlm2", "gemma", "gemma2", "starcoder2", "xverse", "command-r", "olmo"),
        *("openelm", "deepseek2", "chatglm", "jais"),
    ]
)
_PRE_TOKENIZERS = frozenset(
    [
        *("default", "gpt-2", "llama-bpe", "llama3", "llama-v3", "qwen2", "deepseek-llm", "deepseek-coder"),
        *("falcon", "mpt", "phi-2", "starcoder", "refact", "command-r", "stablelm2", "olmo"),
        *("dbrx", "smaug-bpe", "poro-chat", "chatglm-bpe", "viking", "jais"),
    ]
)
_TOKENIZERS = frozenset({"llama", "gpt2", "bert"})
_NEWEST_TENSOR_TYPE = 33
_LINE_END = frozenset(spelling.encode() for spelling in ("Ä", "Ĭ", "ÄĬ"))
"""Tokens of which vocabularies of GPT-2's kind, which spell bytes as letters, must have one. GPT4All turns "Ċ" into
tokens when it loads them, and means the end of a line."""
_ELSEWHERE = "LlamaCpp and ChatLlamaCpp, or Ollama, read newer files."
_ELSEWHERE_EMBEDDED = "LlamaCppEmbeddings, or Ollama, reads newer files."


def check_file(header: GGUFHeader, *, embeds: bool) -> None:
    """Refuse a file that GPT4All cannot read, or that is not for this.

    Args:
        header: What the file says of itself.
        embeds: Whether it is to embed, not to write.

    Raises:
        ModelFileError: It is of a kind that GPT4All does not know, or of the other kind.
    """
    name, architecture = header.path, header.architecture
    hint = _ELSEWHERE_EMBEDDED if embeds else _ELSEWHERE
    if len(header.shards) > 1:
        raise ModelFileError(f"GPT4All cannot load {name!r}, which is split into several files.", hint=hint)
    if architecture in EMBEDDING_ARCHITECTURES and not embeds:
        raise ModelFileError(
            f"{name!r} holds a model that does not write text but embeds it.", hint="GPT4AllEmbeddings runs it."
        )
    if embeds and architecture in _WRITING_ARCHITECTURES:
        raise ModelFileError(
            f"{name!r} holds a model that writes, and GPT4All embeds with models of "
            f"{' and '.join(sorted(EMBEDDING_ARCHITECTURES))} alone.",
            hint="LlamaCppEmbeddings embeds with any model.",
        )
    if architecture not in (EMBEDDING_ARCHITECTURES if embeds else _WRITING_ARCHITECTURES):
        raise ModelFileError(
            f"GPT4All knows no models of the architecture {architecture!r}, as {name!r} holds one.", hint=hint
        )
    if embeds and not isinstance(header.metadata.get(f"{architecture}.pooling_type"), int):
        raise ModelFileError(
            f"{name!r} does not say how its vectors are pooled, and GPT4All needs that.",
            hint="LlamaCppEmbeddings can be told, with `pooling_type`.",
        )
    tokenizer = header.metadata.get("tokenizer.ggml.model")
    if tokenizer not in _TOKENIZERS:
        raise ModelFileError(f"GPT4All does not know the tokenizer {tokenizer!r}, which {name!r} needs.", hint=hint)
    if header.pre_tokenizer is not None and header.pre_tokenizer not in _PRE_TOKENIZERS:
        raise ModelFileError(
            f"GPT4All does not know the pre-tokenizer {header.pre_tokenizer!r}, which {name!r} needs.", hint=hint
        )
    strange = sorted({tensor.type_name for tensor in header.tensors if tensor.type > _NEWEST_TENSOR_TYPE})
    if strange:
        raise ModelFileError(
            f"GPT4All does not know the quantization {' and '.join(strange)}, in which {name!r} is.", hint=hint
        )


def check_vocabulary(header: GGUFHeader) -> None:
    """Refuse a vocabulary over which GPT4All would end the process. Reads it, which takes a moment.

    Raises:
        ModelFileError: It is such a one.
    """
    check_tokens(header.path)
    if header.metadata.get("tokenizer.ggml.model") == "gpt2" and _LINE_END.isdisjoint(token_texts(header.path)):
        raise ModelFileError(
            f"The vocabulary of {header.path!r} has no token for the end of a line, without which GPT4All cannot load "
            "it.",
            hint=_ELSEWHERE,
        )
