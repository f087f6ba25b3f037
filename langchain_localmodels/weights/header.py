"""What the header of a GGUF file says, as values.

Owns the names under which a header's facts are asked for; `gguf.py` reads and checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langchain_localmodels.weights.cursor import LongArray, Value
from langchain_localmodels.weights.ggml_types import FILE_TYPES, TENSOR_TYPES, tensor_bytes

_TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies.

    Attributes:
        name: Its name, such as `blk.0.attn_q.weight`.
        shape: Its extents, the fastest running one first.
        type: ggml's type id.
        offset: Where its data begin, in bytes from the header's `data_offset`.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def type_name(self) -> str:
        """Ggml's name of the type, such as `Q8_0`."""
        known = TENSOR_TYPES.get(self.type)
        return known[0] if known else f"type {self.type}"

    @property
    def nbytes(self) -> int | None:
        """Size of the data in bytes; `None` for a type that is newer than this package."""
        return tensor_bytes(self.type, self.shape)


@dataclass(frozen=True, eq=False)
class GGUFHeader:
    """What a GGUF file says about its model. Properties are `None` where the file does not say.

    Attributes:
        path: The file, as an absolute path.
        version: Version of the format, 2 or 3.
        metadata: Keys and values. Arrays of more than 512 elements are kept as a `LongArray`, not as their elements.
        tensors: The tensors in this file; those of further shards are in their own headers.
        data_offset: Where the tensors' data begin, in bytes.
        alignment: What offsets are a multiple of, in bytes.
        file_size: Size of this file in bytes.
        shards: All files of the model, this one first; just this one where it is not split.
        total_size: Size of all of them in bytes.
        bos_token: Text of the token that begins a sequence.
        eos_token: Text of the token that ends an answer.
    """

    path: str
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    alignment: int
    file_size: int
    shards: tuple[str, ...]
    total_size: int
    bos_token: str | None
    eos_token: str | None

    @property
    def architecture(self) -> str | None:
        """The kind of network, such as `llama` or `qwen3`."""
        return self._text("general.architecture")

    @property
    def name(self) -> str | None:
        """The model's name."""
        return self._text("general.name")

    @property
    def chat_template(self) -> str | None:
        """The chat template that is meant for ordinary use, in Jinja."""
        return self._text(_TEMPLATE)

    @property
    def chat_templates(self) -> dict[str, str]:
        """All chat templates by name; the ordinary one is `default`, others are such as `tool_use`."""
        named = {key[len(_TEMPLATE) + 1 :]: self._text(key) for key in self.metadata if key.startswith(_TEMPLATE + ".")}
        return {name: text for name, text in {"default": self.chat_template, **named}.items() if text is not None}

    @property
    def context_length(self) -> int | None:
        """Tokens of the context window that the model was trained for."""
        return self._size("context_length")

    @property
    def has_learned_positions(self) -> bool:
        """Whether the network knows a position only if it was trained on it: beyond, engines read past its table."""
        return any(tensor.name == "position_embd.weight" for tensor in self.tensors)

    @property
    def embedding_length(self) -> int | None:
        """Width of the network, which is also the length of its embeddings."""
        return self._size("embedding_length")

    @property
    def block_count(self) -> int | None:
        """Number of layers."""
        return self._size("block_count")

    @property
    def n_head_kv(self) -> int | tuple[int, ...] | None:
        """Key-value heads: one number, or one for each layer."""
        for key in ("attention.head_count_kv", "attention.head_count"):
            value = self.metadata.get(f"{self.architecture}.{key}")
            if isinstance(value, int):
                return value
            if isinstance(value, tuple):
                return tuple(entry for entry in value if isinstance(entry, int))
        return None

    @property
    def key_length(self) -> int | None:
        """Values in one head's key."""
        return self._size("attention.key_length") or self._head_length()

    @property
    def value_length(self) -> int | None:
        """Values in one head's value."""
        return self._size("attention.value_length") or self._head_length()

    @property
    def vocab_size(self) -> int | None:
        """Number of tokens in the vocabulary."""
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        return len(tokens) if isinstance(tokens, tuple | LongArray) else self._size("vocab_size")

    @property
    def pre_tokenizer(self) -> str | None:
        """How text is cut up before it is turned into tokens, such as `llama-bpe`."""
        return self._text("tokenizer.ggml.pre")

    @property
    def file_type(self) -> int | None:
        """llama.cpp's number for the way the file is quantized."""
        value = self.metadata.get("general.file_type")
        return value if isinstance(value, int) else None

    @property
    def quantization(self) -> str | None:
        """The label of that number, such as `Q4_K_M`; without one, the type that most bytes are in."""
        if (label := FILE_TYPES.get(-1 if self.file_type is None else self.file_type)) is not None:
            return label
        sizes: dict[str, int] = {}
        for tensor in self.tensors:
            sizes[tensor.type_name] = sizes.get(tensor.type_name, 0) + (tensor.nbytes or 0)
        return max(sizes, key=sizes.__getitem__) if sizes else None

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights, over all shards."""
        return max(0, self.total_size - self.data_offset)

    def kv_bytes_per_token(self, type_k_bytes: float = 2.0, type_v_bytes: float = 2.0) -> float:
        """Memory that the KV cache takes for one token, at most.

        Models with sliding windows or recurrent layers take less; models without attention give 0.

        Args:
            type_k_bytes: Bytes of one value of the keys: 2 for f16, 34/32 for q8_0.
            type_v_bytes: The same for the values.

        Returns:
            Bytes.
        """
        heads = self.n_head_kv
        total = sum(heads) if isinstance(heads, tuple) else (heads or 0) * (self.block_count or 0)
        return total * ((self.key_length or 0) * type_k_bytes + (self.value_length or 0) * type_v_bytes)

    def _text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def _size(self, key: str) -> int | None:
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else None

    def _head_length(self) -> int | None:
        heads = self.metadata.get(f"{self.architecture}.attention.head_count")
        first = heads[0] if isinstance(heads, tuple) and heads else heads
        width = self.embedding_length
        return width // first if width and isinstance(first, int) and first > 0 else None
