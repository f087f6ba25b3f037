"""A GGUF model that writes one certain text, whatever it is asked: for what no trained model does on demand.

Each token of the answer has a direction of its own in the network, which does nothing to it, and the token that follows
is the one that looks for that direction. All tokens of prompts share one direction, that of the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

NORMAL, CONTROL, UNUSED = 1, 3, 5
END, TURN = "<|im_end|>", "<|im_start|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_HEADS = 2


def write_chain(
    path: Path,
    pieces: Sequence[str | bytes],
    *,
    template: str = TEMPLATE,
    end: str | None = END,
    more_tokens: Sequence[tuple[str, int]] = (),
    window: int = 4096,
) -> Path:
    """Write the model.

    Args:
        path: The file to write.
        pieces: The tokens of its answer, each once; bytes may be parts of characters.
        template: Its chat template.
        end: The token that the answer ends with, which the file names as the end of an answer; `None` to end with the
            last piece, and begin again.
        more_tokens: Further tokens, with their types, that are never written.
        window: Context window that the file tells.

    Returns:
        The path.
    """
    letters = _alphabet()
    texts = ["".join(letters[byte] for byte in (p.encode() if isinstance(p, str) else p)) for p in pieces]
    tokens = [letters[byte] for byte in range(256)] + [TURN, END]
    kinds = [NORMAL] * 256 + [CONTROL] * 2
    first = len(tokens)
    for text in texts:
        assert text not in tokens, f"{text!r} stands twice"
        tokens.append(text)
        kinds.append(CONTROL if text.startswith("<|") and text.endswith("|>") else NORMAL)
    tokens += [text for text, _ in more_tokens]
    kinds += [kind for _, kind in more_tokens]
    width = -(-(len(texts) + 1) // 64) * 64
    seen, wanted = (np.zeros((len(tokens), width), np.float32) for _ in range(2))
    seen[:, 0] = 1
    for number in range(len(texts)):
        seen[first + number] = 0
        seen[first + number, number + 1] = 1
        wanted[first + number, number] = 1
    if more_tokens:
        wanted[-len(more_tokens) :] = -1
    wanted[tokens.index(end) if end else first, len(texts)] = 1

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("chain")
    writer.add_context_length(window)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(tokens.index(END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", seen)
    writer.add_tensor("output.weight", wanted)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for name, shape in {
        "attn_q": (width, width),
        "attn_k": (width, width),
        "attn_v": (width, width),
        "attn_output": (width, width),
        "ffn_gate": (32, width),
        "ffn_up": (32, width),
        "ffn_down": (width, 32),
    }.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, np.float32))
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def in_pieces(text: str, length: int = 5) -> list[str]:
    """Cut a text into pieces of about this length, none of which stands twice."""
    pieces: list[str] = []
    piece = ""
    for char in text:
        piece += char
        if len(piece) >= length and piece not in pieces:
            pieces.append(piece)
            piece = ""
    while piece and (piece in pieces or len(piece.encode()) < 2):
        piece = pieces.pop() + piece
    return [*pieces, piece] if piece else pieces


def _alphabet() -> list[str]:
    """The characters by which vocabularies of GPT-2's kind spell bytes."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    odd = iter(range(256, 512))
    return [chr(byte if byte in plain else next(odd)) for byte in range(256)]
