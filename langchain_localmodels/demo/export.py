"""Writes the trained network and its tokenizer as one GGUF file, Q8_0, that old and new engines load.

The tokenizer goes in under the name "gpt-2", which GPT4All's older llama.cpp knows too; every token
is a normal or a control token, since it refuses unused ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import gguf
from tokenizers import Tokenizer
from torch import Tensor

from langchain_localmodels.demo.network import Network
from langchain_localmodels.demo.samples import CALL, CALL_END, END, PAD, SPECIAL_TOKENS

NAME = "localmodels-demo-chat"
WINDOW = 2048
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    state = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = state["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    for token in SPECIAL_TOKENS:
        # Engines hide control tokens in their output; the tool markers must be seen.
        seen = token in (CALL, CALL_END)
        kinds[vocabulary[token]] = gguf.TokenType.USER_DEFINED if seen else gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_bos_token_id(vocabulary[PAD])
    writer.add_eos_token_id(vocabulary[END])
    writer.add_pad_token_id(vocabulary[PAD])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def write(network: Network, tokenizer: Tokenizer, path: Path) -> None:
    """Write the model to `path`."""
    shape = network.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(NAME)
    writer.add_description("Tiny chat model for demos and tests of langchain-localmodels.")
    writer.add_license("MIT")
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _write_tokenizer(writer, tokenizer)
    write_weights(writer, network.state_dict())


def write_weights(writer: gguf.GGUFWriter, weights: dict[str, Tensor], *, whole: str | None = None) -> None:
    """Add the weights, matrices in Q8_0, and write the file.

    Args:
        writer: With all else added.
        weights: By the names that the engines know.
        whole: Beginning of the name of matrices that are not quantized.
    """
    for name, weight in weights.items():
        array = weight.detach().float().numpy()
        if array.ndim == 1 or (whole is not None and name.startswith(whole)):
            writer.add_tensor(name, array)
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
