"""GGUF headers: the demo model's, ones that this file writes, and damaged ones."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.exceptions import ModelNotFoundError

from langchain_localmodels.demo import model_path
from langchain_localmodels.errors import ModelFileError, ModelFileNotFoundError
from langchain_localmodels.weights.gguf import LongArray, read_header

U8, U16, U32, I32, F32, BOOL, STR, ARR, U64 = 0, 2, 4, 5, 6, 7, 8, 9, 10
FORMATS = {U8: "<B", U16: "<H", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q"}
DEMO = Path(model_path).read_bytes()


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pack(kind: int, value: object) -> bytes:
    return text(value) if kind == STR else struct.pack(FORMATS[kind], value)


def entry(key: str, kind: int, value: object, element: int | None = None) -> bytes:
    if kind == ARR:
        body = struct.pack("<IQ", element, len(value)) + b"".join(pack(element, item) for item in value)
    else:
        body = pack(kind, value)
    return text(key) + struct.pack("<I", kind) + body


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(entries=(), tensors=(), data=b"", version=3, n_tensors=None, n_entries=None) -> bytes:
    head = b"GGUF" + struct.pack(
        "<IQQ",
        version,
        len(tensors) if n_tensors is None else n_tensors,
        len(entries) if n_entries is None else n_entries,
    )
    head += b"".join(entries) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


LLAMA = (
    entry("general.architecture", STR, "llama"),
    entry("llama.embedding_length", U32, 128),
    entry("llama.block_count", U32, 3),
    entry("llama.attention.head_count", U32, 4),
)


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "model.gguf") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def test_demo_model() -> None:
    header = read_header(model_path)
    assert header.version == 3
    assert header.architecture == "llama"
    assert header.name == "localmodels-demo-chat"
    assert header.context_length == header.metadata["llama.context_length"]
    assert header.block_count == header.metadata["llama.block_count"]
    assert header.n_head_kv == header.metadata["llama.attention.head_count_kv"]
    heads, length = header.metadata["llama.attention.head_count"], header.key_length
    assert length == header.value_length == header.embedding_length // heads
    assert header.kv_bytes_per_token() == header.block_count * header.n_head_kv * 2 * length * 2
    assert header.kv_bytes_per_token(1.0, 2.0) == header.block_count * header.n_head_kv * 3 * length
    assert header.vocab_size == len(header.metadata["tokenizer.ggml.tokens"])
    assert header.eos_token == "<|im_end|>"
    assert header.bos_token == "<|endoftext|>"
    assert "<tool_call>" in header.chat_template
    assert header.quantization == "Q8_0"
    assert header.data_offset % header.alignment == 0
    assert header.weight_bytes == header.file_size - header.data_offset
    assert header.shards == (os.path.abspath(model_path),)


def test_agrees_with_the_gguf_package() -> None:
    gguf_package = pytest.importorskip("gguf")
    reader = gguf_package.GGUFReader(model_path)
    header = read_header(model_path)
    assert [t.name for t in header.tensors] == [t.name for t in reader.tensors]
    assert [t.nbytes for t in header.tensors] == [t.n_bytes for t in reader.tensors]
    assert [list(t.shape) for t in header.tensors] == [t.shape.tolist() for t in reader.tensors]
    assert header.data_offset == reader.data_offset
    for key, value in header.metadata.items():
        theirs = reader.fields[key].contents()
        if isinstance(value, LongArray):
            assert len(value) == len(theirs)
        else:
            assert (list(value) if isinstance(value, tuple) else value) == theirs


def test_reads_a_file_once_until_it_changes(write) -> None:
    path = write(gguf(LLAMA))
    first = read_header(path)
    assert read_header(str(path)) is first
    path.write_bytes(gguf([*LLAMA, entry("general.name", STR, "other")]))
    assert read_header(path).name == "other"


def test_header_can_be_pickled() -> None:
    header = read_header(model_path)
    assert pickle.loads(pickle.dumps(header)).metadata == header.metadata


@pytest.mark.parametrize("version", [2, 3])
def test_versions(write, version) -> None:
    assert read_header(write(gguf(LLAMA, version=version))).version == version


def test_all_kinds_of_values(write) -> None:
    entries = [
        entry("a.u8", U8, 255),
        entry("a.f32", F32, 0.5),
        entry("a.bool", BOOL, True),
        entry("a.u64", U64, 2**63),
        entry("a.texts", ARR, ["x", "é"], STR),
        entry("a.none", ARR, [], STR),
        entry("a.long", ARR, list(range(3000)), I32),
        entry("a.after", STR, "still in step"),
    ]
    metadata = read_header(write(gguf(entries))).metadata
    assert metadata["a.u8"] == 255
    assert metadata["a.f32"] == 0.5
    assert metadata["a.bool"] is True
    assert metadata["a.u64"] == 2**63
    assert metadata["a.texts"] == ("x", "é")
    assert metadata["a.none"] == ()
    assert isinstance(metadata["a.long"], LongArray)
    assert len(metadata["a.long"]) == 3000
    assert metadata["a.after"] == "still in step"


def test_missing_facts_are_none(write) -> None:
    header = read_header(write(gguf()))
    assert header.architecture is None
    assert header.context_length is None
    assert header.n_head_kv is None
    assert header.bos_token is None
    assert header.chat_template is None
    assert header.chat_templates == {}
    assert header.quantization is None
    assert header.kv_bytes_per_token() == 0


def test_facts_of_the_wrong_type_are_none(write) -> None:
    entries = [
        entry("general.architecture", U32, 7),
        entry("tokenizer.chat_template", BOOL, True),
        entry("tokenizer.ggml.eos_token_id", STR, "x"),
        entry("7.context_length", STR, "many"),
    ]
    header = read_header(write(gguf(entries)))
    assert header.architecture is None
    assert header.chat_template is None
    assert header.eos_token is None
    assert header.context_length is None


def test_heads_per_layer(write) -> None:
    header = read_header(write(gguf([*LLAMA, entry("llama.attention.head_count_kv", ARR, [2, 0, 4], U32)])))
    assert header.n_head_kv == (2, 0, 4)
    assert header.kv_bytes_per_token() == (2 + 4) * (32 + 32) * 2


def test_key_and_value_length(write) -> None:
    own = [entry("llama.attention.key_length", U32, 96), entry("llama.attention.value_length", U32, 64)]
    header = read_header(write(gguf([*LLAMA, *own])))
    assert (header.key_length, header.value_length) == (96, 64)
    no_heads = [LLAMA[0], LLAMA[1], entry("llama.attention.head_count", U32, 0)]
    assert read_header(write(gguf(no_heads))).key_length is None


def test_named_templates(write) -> None:
    entries = [
        entry("tokenizer.chat_templates", ARR, ["tool_use"], STR),
        entry("tokenizer.chat_template.tool_use", STR, "tools"),
        entry("tokenizer.chat_template", STR, "plain"),
    ]
    header = read_header(write(gguf(entries)))
    assert header.chat_template == "plain"
    assert header.chat_templates == {"default": "plain", "tool_use": "tools"}


@pytest.mark.parametrize("token", [0, 1, 1023, 1024, 1025, 4999])
def test_token_texts_of_a_long_vocabulary(write, token) -> None:
    tokens = [f"token{'x' * (i % 7)}{i}" for i in range(5000)]
    entries = [entry("tokenizer.ggml.tokens", ARR, tokens, STR), entry("tokenizer.ggml.bos_token_id", U32, token)]
    header = read_header(write(gguf(entries)))
    assert header.bos_token == tokens[token]
    assert header.vocab_size == 5000


def test_token_ids_out_of_range(write) -> None:
    entries = [entry("tokenizer.ggml.tokens", ARR, ["a"], STR), entry("tokenizer.ggml.bos_token_id", U32, 1)]
    assert read_header(write(gguf(entries))).bos_token is None


def test_large_vocabulary_is_fast(write) -> None:
    tokens = entry("tokenizer.ggml.tokens", ARR, [f"tok{i}" for i in range(150_000)], STR)
    merges = entry("tokenizer.ggml.merges", ARR, [f"a{i} b" for i in range(150_000)], STR)
    path = write(gguf([tokens, merges, entry("tokenizer.ggml.eos_token_id", U32, 149_999)]))
    begin = time.process_time()
    assert read_header(path).eos_token == "tok149999"
    # 25 ms on an idle machine.
    assert time.process_time() - begin < 0.5


# --- not a model file ---------------------------------------------------------------------------------------------


def test_missing_file_names_the_nearest(write, tmp_path) -> None:
    write(gguf(), "llama-3-8b-Q4_K_M.gguf")
    write(gguf(), "zephyr.gguf")
    with pytest.raises(ModelFileNotFoundError, match=r"lama-3-8b\.Q4_K_M\.gguf") as caught:
        read_header(tmp_path / "lama-3-8b.Q4_K_M.gguf")
    assert "llama-3-8b-Q4_K_M.gguf" in caught.value.hint
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, ModelNotFoundError)


def test_missing_file_in_an_empty_or_missing_folder(tmp_path) -> None:
    with pytest.raises(ModelFileNotFoundError, match=r"no \.gguf file"):
        read_header(tmp_path / "a.gguf")
    with pytest.raises(ModelFileNotFoundError, match="does not exist either"):
        read_header(tmp_path / "nowhere" / "a.gguf")


def test_home_folder_is_named(tmp_path, monkeypatch, write) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write(gguf())
    with pytest.raises(ModelFileNotFoundError) as caught:
        read_header("~/model.gguf")
    assert str(path) in caught.value.hint


def test_broken_link(tmp_path) -> None:
    (tmp_path / "a.gguf").symlink_to(tmp_path / "gone")
    with pytest.raises(ModelFileNotFoundError, match="gone"):
        read_header(tmp_path / "a.gguf")


def test_folder(write, tmp_path) -> None:
    with pytest.raises(ModelFileError, match=r"no \.gguf file"):
        read_header(tmp_path)
    write(gguf(), "one.gguf")
    with pytest.raises(ModelFileError, match=r"one\.gguf") as caught:
        read_header(tmp_path)
    assert not isinstance(caught.value, FileNotFoundError)


def test_named_pipe_does_not_hang(tmp_path) -> None:
    os.mkfifo(tmp_path / "a.gguf")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_header(tmp_path / "a.gguf")


def test_odd_paths() -> None:
    with pytest.raises(ModelFileError):
        read_header("a\0b.gguf")
    with pytest.raises(ModelFileError):
        read_header("x" * 5000)
    with pytest.raises(ModelFileError):
        read_header("")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file(write) -> None:
    path = write(gguf())
    path.chmod(0)
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        (b"", "is empty", "Download it again"),
        (b"GG", "truncated", "Download it again"),
        (b"GGUF", "truncated", "Download it again"),
        (b"PK\x03\x04" + b"\0" * 100, "ZIP archive", "convert_hf_to_gguf"),
        (b"\x80\x02\x8a\n" + b"\0" * 100, "pickle", "convert_hf_to_gguf"),
        (struct.pack("<Q", 500) + b'{"__metadata__":{}}', "safetensors", "convert_hf_to_gguf"),
        (b"<!DOCTYPE html><html>", "HTML page", "web page"),
        (b"\n <html lang='en'>", "HTML page", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML", "Download it again"),
        (b'{"error": "not found"}', "JSON", "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "LFS", "git lfs pull"),
        (b"lmgg" + b"\0" * 60, "old GGML format", "August 2023"),
        (b"fmgg\1\0\0\0", "GGML format .GGMF", "August 2023"),
        (b"tjgg\3\0\0\0", "GGML format .GGJT", "August 2023"),
        (b"algg\1\0\0\0", "LoRA adapter", "August 2023"),
        (b"MZqFpD='\n", "llamafile", "Llamafile"),
        (b"\x7fELF\2\1", "llamafile", "Llamafile"),
        (b"something else", "begins with", "GGUF"),
    ],
)
def test_other_files_are_recognised(write, content, words, hint) -> None:
    with pytest.raises(ModelFileError, match=words) as caught:
        read_header(write(content, "model.bin"))
    assert hint in caught.value.hint
    assert "model.bin" in caught.value.message


def test_old_format_by_its_name(write) -> None:
    with pytest.raises(ModelFileError, match="by its name") as caught:
        read_header(write(b"\1\2\3\4", "ggml-gpt4all-j-v1.3-groovy.bin"))
    assert "August 2023" in caught.value.hint


@pytest.mark.parametrize(
    ("version", "words"), [(1, "version 1"), (0, "damaged"), (4, "newer"), (3 << 24, "big-endian"), (77777, "damaged")]
)
def test_unreadable_versions(write, version, words) -> None:
    with pytest.raises(ModelFileError, match=words):
        read_header(write(gguf(version=version)))


# --- damaged ------------------------------------------------------------------------------------------------------


def test_demo_model_truncated_in_its_header(write) -> None:
    end = read_header(model_path).data_offset
    for length in [*range(4, 300), *range(300, end, 611)]:
        with pytest.raises(ModelFileError, match="truncated") as caught:
            read_header(write(DEMO[:length]))
        assert not isinstance(caught.value, ModelFileNotFoundError)


def test_demo_model_truncated_in_its_data(write) -> None:
    header = read_header(model_path)
    end = max(header.data_offset + t.offset + t.nbytes for t in header.tensors)
    for missing in (1, 1000, end - header.data_offset):
        with pytest.raises(ModelFileError, match=rf"\b{missing} are missing") as caught:
            read_header(write(DEMO[: end - missing]))
        assert "Download it again" in caught.value.hint
    assert read_header(write(DEMO[:end])).name == header.name


def test_unknown_tensor_types_are_left_alone(write) -> None:
    tensors = [tensor("a", (64, 2), 9999, 0)]
    header = read_header(write(gguf(LLAMA, tensors)))
    assert header.tensors[0].nbytes is None
    assert header.tensors[0].type_name == "type 9999"


def test_quantization_by_most_bytes(write) -> None:
    tensors = [tensor("a", (32,), 0, 0), tensor("b", (32, 100), 8, 128)]
    header = read_header(write(gguf(LLAMA, tensors, data=b"\0" * 10_000)))
    assert header.quantization == "Q8_0"


@pytest.mark.parametrize(
    "content",
    [
        gguf(n_tensors=2**63),
        gguf(n_entries=2**64 - 1),
        gguf(n_tensors=100),
        gguf(n_entries=100_000),
        gguf([text("k") + struct.pack("<IIQ", ARR, STR, 2**62)]),
        gguf([text("k") + struct.pack("<IIQ", ARR, U8, 2**64 - 1)]),
        gguf([text("k") + struct.pack("<IIQ", ARR, STR, 1000) + b"\xff" * 9000]),
        gguf([text("k") + struct.pack("<IIQ", ARR, ARR, 1) + b"\0" * 100]),
        gguf([text("k") + struct.pack("<I", 99) + b"\0" * 100]),
        gguf([struct.pack("<Q", 2**63) + b"\0" * 100]),
        gguf([text("k") + struct.pack("<IQ", STR, 2**40)]),
        gguf([entry("general.alignment", U32, 0)]),
        gguf([entry("general.alignment", U32, 48)]),
        gguf([entry("general.alignment", STR, "32")]),
        gguf(tensors=[tensor("t", (1,) * 9, 0, 0)]),
        gguf(tensors=[tensor("t", (2**63, 2**63, 2**63, 2**63), 0, 2**63)]),
    ],
)
def test_absurd_numbers(write, content) -> None:
    begin = time.process_time()
    with pytest.raises(ModelFileError):
        read_header(write(content))
    assert time.process_time() - begin < 2


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(4, 40_000), st.binary(min_size=1, max_size=12)), min_size=1, max_size=4))
def test_changed_bytes_give_a_header_or_our_error(write, changes) -> None:
    content = bytearray(DEMO[:60_000])
    for at, new in changes:
        content[at : at + len(new)] = new
    try:
        header = read_header(write(bytes(content)))
    except ModelFileError:
        return
    for name in dir(type(header)):
        if isinstance(getattr(type(header), name), property):
            getattr(header, name)
    header.kv_bytes_per_token()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from([b"", b"GGUF\3\0\0\0", b"GGUF\2\0\0\0", gguf(LLAMA)]), rest=st.binary(max_size=400))
def test_any_bytes_give_a_header_or_our_error(write, head, rest) -> None:
    with contextlib.suppress(ModelFileError):
        assert read_header(write(head + rest)).version in (2, 3)


# --- split models -------------------------------------------------------------------------------------------------


def shard(number: int, count: int) -> bytes:
    entries = [*(LLAMA if number == 0 else ()), entry("split.no", U16, number), entry("split.count", U16, count)]
    return gguf(entries, [tensor(f"t{number}", (32,), 0, 0)], data=b"\0" * 128)


def test_split_model(write) -> None:
    paths = [write(shard(i, 3), f"m-0000{i + 1}-of-00003.gguf") for i in range(3)]
    header = read_header(paths[0])
    assert header.shards == tuple(map(str, paths))
    assert header.total_size == sum(path.stat().st_size for path in paths)
    with pytest.raises(ModelFileError, match="not the first shard") as caught:
        read_header(paths[1])
    assert str(paths[0]) in caught.value.hint


def test_split_model_with_a_shard_missing_or_truncated(write) -> None:
    first = write(shard(0, 2), "m-00001-of-00002.gguf")
    with pytest.raises(ModelFileNotFoundError, match="m-00002-of-00002"):
        read_header(first)
    write(shard(1, 2)[:-50], "m-00002-of-00002.gguf")
    with pytest.raises(ModelFileError, match=r"00002-of-00002.*truncated.* 50 are missing"):
        read_header(first)
    write(shard(1, 2), "m-00002-of-00002.gguf")
    assert len(read_header(first).shards) == 2


def test_split_model_under_another_name(write) -> None:
    with pytest.raises(ModelFileError, match="does not say which"):
        read_header(write(shard(0, 2), "renamed.gguf"))
