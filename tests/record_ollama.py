"""Records what a true Ollama answers: one JSON file for each request, in `tests/recorded/ollama`.

The tests replay these answers to the client, and put the same requests to the double. Run it by hand where an Ollama of
another version behaves differently:

    OLLAMA_HOST=127.0.0.1:11434 python -m tests.record_ollama --version 0.33.0-rc2

It asks for the models `demo` and `demo-embed`, made of this package's demo files (`OllamaServer.create`), and makes of
them, and deletes in the end, some with a Go template: such models take another way through the server. Nothing is
imported from the package: what is recorded must not depend on it.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recorded" / "ollama"

_HEAD = """{{- if .Tools }}<|im_start|>system
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>{{- range .Tools }}
{{ . }}{{- end }}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{{ end }}{{- range $i, $_ := .Messages }}<|im_start|>{{ if eq .Role "tool" }}user
<tool_response>
{{ .Content }}
</tool_response>{{ else }}{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}
{{- if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}{{ end }}
</tool_call>{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
TOOLS_TEMPLATE = _HEAD.replace("{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}", "").replace(
    "{{- if .Tools }}", "{{- if .Suffix }}{{ .Prompt }}{{ .Suffix }}{{ else }}{{- if .Tools }}", 1
) + ("{{ end }}")
# The demo model never thinks: in its prompt the thinking has begun already, and never ends.
THINKING_TEMPLATE = _HEAD + "{{ if .Think }}<think>\n{{ end }}"
PLAIN_TEMPLATE = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)

HELLO = [{"role": "user", "content": "Who was the first man on the moon?"}]
WEATHER = [{"role": "user", "content": "What is the weather in Oslo?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Name of the city."}},
            "required": ["city"],
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "maximum": 150}},
    "required": ["name", "age"],
}
PNG = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
).decode()
WAV = base64.b64encode(
    b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\x08\0\0\0" + bytes(8)
).decode()
LONG = "moon " * 3000
LIBRARY_PORT = 11599
LIBRARY = f"http://127.0.0.1:{LIBRARY_PORT}/library"
"""A library of models that has none: what is said of a missing model shall not depend on the way to the real one."""


def _chat(**more: Any) -> tuple[str, str, Any]:
    body = {"model": "demo", "messages": HELLO, "options": {"temperature": 0, "num_predict": 12, **more.pop("o", {})}}
    return "POST", "/api/chat", {**body, **more}


def _generate(**more: Any) -> tuple[str, str, Any]:
    body = {"model": "demo", "prompt": "The first man on", "options": {"temperature": 0, "num_predict": 8}}
    return "POST", "/api/generate", {**body, **more}


def _embed(**more: Any) -> tuple[str, str, Any]:
    return "POST", "/api/embed", {"model": "demo-embed", "input": ["the moon", "a recipe for bread"], **more}


def _parameters(**properties: Any) -> list[Any]:
    function = {**TOOL["function"], "parameters": {"type": "object", "properties": properties}}
    return [{"type": "function", "function": function}]


_CALLED = {"role": "assistant", "content": "", "tool_calls": []}
_RESULT = {"role": "tool", "tool_name": "get_weather", "tool_call_id": "a1", "content": "Sunny, 21 degrees."}
_HISTORY = [
    *WEATHER,
    {**_CALLED, "tool_calls": [{"id": "a1", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]},
    _RESULT,
]
_WITH_TEXT = [*WEATHER, {**_CALLED, "tool_calls": [{"function": {"name": "get_weather", "arguments": "{}"}}]}, _RESULT]
_PICTURE = [{"role": "user", "content": "What is this?", "images": [PNG]}]
_SOUND = [{"role": "user", "content": "What is this?", "images": [WAV]}]
_DATA_URL = [{"role": "user", "content": "What is this?", "images": [f"data:image/png;base64,{PNG}"]}]
_PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
_MORE_TOOLS = {"o": {"num_predict": 64}}

REQUESTS: dict[str, tuple[str, str, Any]] = {
    # what works
    "version": ("GET", "/api/version", None),
    "tags": ("GET", "/api/tags", None),
    "show": ("POST", "/api/show", {"model": "demo"}),
    "show_embedding": ("POST", "/api/show", {"model": "demo-embed"}),
    "load": ("POST", "/api/generate", {"model": "demo"}),
    "chat": _chat(),
    "ps": ("GET", "/api/ps", None),
    "chat_whole": _chat(stream=False),
    "chat_rendered": _chat(model="recorded-tools"),
    "chat_length": _chat(o={"num_predict": 3}),
    "chat_stop": _chat(o={"stop": ["moon", "first"]}),
    "chat_system": _chat(messages=[{"role": "system", "content": "Be brief."}, *HELLO]),
    "chat_tools": _chat(messages=WEATHER, tools=[TOOL], **_MORE_TOOLS),
    "chat_tools_whole": _chat(messages=WEATHER, tools=[TOOL], stream=False, **_MORE_TOOLS),
    "chat_tools_result": _chat(messages=_HISTORY, tools=[TOOL], **_MORE_TOOLS),
    "chat_tools_cut": _chat(messages=WEATHER, tools=[TOOL], o={"num_predict": 12}),
    "chat_tools_rendered": _chat(model="recorded-tools", messages=WEATHER, tools=[TOOL], **_MORE_TOOLS),
    "chat_tools_cut_rendered": _chat(model="recorded-tools", messages=WEATHER, tools=[TOOL], o={"num_predict": 12}),
    "chat_json": _chat(format="json", o={"num_predict": 40}),
    "chat_schema": _chat(format=PERSON, o={"num_predict": 60}),
    "chat_logprobs": _chat(logprobs=True, top_logprobs=2, o={"num_predict": 4}),
    "chat_thinking": _chat(model="recorded-thinking", think=True),
    "chat_not_thinking": _chat(model="recorded-thinking", think=False),
    "chat_think_off_without_thinking": _chat(think=False),
    "chat_old_options": _chat(o={"mirostat": 1, "tfs_z": 2.0, "nonsense": 3}),
    "chat_keep_alive": _chat(keep_alive="1h30m"),
    "chat_empty_messages": _chat(messages=[]),
    "generate": _generate(),
    "generate_whole": _generate(stream=False),
    "generate_raw": _generate(raw=True),
    "generate_logprobs": _generate(logprobs=True, top_logprobs=1),
    "generate_schema": _generate(format=PERSON),
    "generate_suffix": _generate(model="recorded-tools", suffix=" moon."),
    "embed": _embed(),
    "embed_dimensions": _embed(dimensions=8),
    "embed_nothing": _embed(input=[]),
    "embed_legacy": ("POST", "/api/embeddings", {"model": "demo-embed", "prompt": "the moon"}),
    "create": ("POST", "/api/create", {"model": "recorded-new", "from": "demo", "system": "Be brief."}),
    "create_whole": ("POST", "/api/create", {"model": "recorded-new", "from": "demo", "stream": False}),
    "copy": ("POST", "/api/copy", {"source": "demo", "destination": "recorded-new"}),
    "delete": ("DELETE", "/api/delete", {"model": "recorded-new"}),
    # what does not
    "error_no_body": ("POST", "/api/chat", None),
    "error_model_missing": _chat(model="nobody-has-this"),
    "error_model_missing_generate": _generate(model="nobody-has-this"),
    "error_model_missing_embed": _embed(model="nobody-has-this"),
    "error_model_missing_embed_legacy": ("POST", "/api/embeddings", {"model": "nobody-has-this", "prompt": "a"}),
    "error_model_missing_show": ("POST", "/api/show", {"model": "nobody-has-this"}),
    "error_model_missing_delete": ("DELETE", "/api/delete", {"model": "nobody-has-this"}),
    "error_model_missing_copy": ("POST", "/api/copy", {"source": "nobody-has-this", "destination": "other"}),
    "error_model_empty": _chat(model=""),
    "error_model_empty_generate": _generate(model=""),
    "error_model_malformed": _chat(model="a b//c"),
    "error_model_malformed_pull": ("POST", "/api/pull", {"model": "a b//c"}),
    "error_pull_missing": ("POST", "/api/pull", {"model": f"{LIBRARY}/nobody-has-this", "insecure": True}),
    "error_pull_missing_whole": (
        "POST",
        "/api/pull",
        {"model": f"{LIBRARY}/nobody-has-this", "insecure": True, "stream": False},
    ),
    "error_pull_unreachable": ("POST", "/api/pull", {"model": "127.0.0.1:9/library/demo"}),
    "error_create_from_nothing": ("POST", "/api/create", {"model": "recorded-none"}),
    "error_create_from_missing": (
        "POST",
        "/api/create",
        {"model": "recorded-none", "from": "127.0.0.1:9/library/demo"},
    ),
    "error_create_blob_missing": (
        "POST",
        "/api/create",
        {"model": "recorded-none", "files": {"a.gguf": f"sha256:{'0' * 64}"}},
    ),
    "error_create_quantize": ("POST", "/api/create", {"model": "recorded-none", "from": "demo", "quantize": "q4_K_M"}),
    "error_create_quantize_word": ("POST", "/api/create", {"model": "recorded-none", "from": "demo", "quantize": "q9"}),
    "error_blob_missing": ("HEAD", f"/api/blobs/sha256:{'0' * 64}", None),
    "error_path": ("GET", "/api/nothing", None),
    "error_method": ("GET", "/api/chat", None),
    "error_no_tools": _chat(model="recorded-plain", tools=[TOOL]),
    "error_embedding_model_chats": _chat(model="demo-embed"),
    "error_embedding_model_generates": _generate(model="demo-embed"),
    "error_chat_model_embeds": _embed(model="demo"),
    "error_no_insert": _generate(suffix=" moon."),
    "error_raw_and_template": _generate(raw=True, template="{{ .Prompt }}"),
    "error_template": _generate(template="{{ .Prompt"),
    "error_no_thinking": _chat(think=True),
    "error_no_thinking_level": _chat(think="high"),
    "error_think_word": _chat(think="a bit"),
    "error_think_type": _chat(think=[1]),
    "error_option_type": _chat(o={"temperature": "hot"}),
    "error_option_type_int": _chat(o={"num_ctx": "large"}),
    "error_option_type_bool": _chat(o={"use_mmap": "yes"}),
    "error_option_type_list": _chat(o={"stop": "moon"}),
    "error_options_type": _chat(options=[]),
    "error_format_word": _chat(format="xml"),
    "error_format_list": _chat(format=["json"]),
    "error_format_schema": _chat(format={"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}),
    "error_format_schema_generate": _generate(format={"type": "nothing"}),
    "error_top_logprobs": _chat(logprobs=True, top_logprobs=21),
    "error_logprobs_and_tools": _chat(messages=WEATHER, tools=[TOOL], logprobs=True),
    "error_tool_property_bool": _chat(tools=_parameters(city=True)),
    "error_tool_arguments_text": _chat(messages=_WITH_TEXT),
    "error_content_parts": _chat(messages=_PARTS),
    "error_keep_alive": _chat(keep_alive="300"),
    "error_stop_text": _chat(o={"stop": "moon"}, stream=False),
    "error_image": _chat(messages=_PICTURE),
    "error_audio": _chat(messages=_SOUND),
    "error_image_rendered": _chat(model="recorded-tools", messages=_PICTURE),
    "error_image_data_url": _chat(messages=_DATA_URL),
    "error_prompt_too_long": _chat(messages=[{"role": "user", "content": LONG}]),
    "error_prompt_too_long_rendered": _chat(
        model="recorded-tools", messages=[{"role": "user", "content": LONG}], shift=False
    ),
    "error_prompt_too_long_generate": _generate(prompt=LONG, shift=False, truncate=False),
    "error_prompt_too_long_raw": _generate(prompt=LONG, raw=True, shift=False, truncate=False),
    "error_embed_too_long": _embed(input=LONG, truncate=False),
    "error_embed_type": _embed(input=[1, 2]),
    # at the end: what loads or unloads
    "unload": ("POST", "/api/generate", {"model": "demo", "keep_alive": 0}),
    "unload_chat": ("POST", "/api/chat", {"model": "demo", "messages": [], "keep_alive": 0}),
    "error_unload_missing": ("POST", "/api/generate", {"model": "nobody-has-this", "keep_alive": 0}),
    "unload_embedding": _embed(input=[], keep_alive=0),
}


class Server:
    """Asks, and gives what came back as it came."""

    def __init__(self, host: str) -> None:
        self._host = re.sub(r"^http://", "", host).rstrip("/")

    def ask(self, method: str, path: str, body: Any) -> tuple[int, str, str]:
        """Status, content type, and the raw text of the body."""
        connection = http.client.HTTPConnection(self._host, timeout=300)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
        finally:
            connection.close()

    def make(self, name: str, **entries: str) -> None:
        """Make a model of the demo model."""
        status, _, text = self.ask("POST", "/api/create", {"model": name, "from": "demo", **entries})
        if status != 200 or "success" not in text:
            raise SystemExit(f"The model {name} cannot be made: {text}")


MADE = {
    "recorded-tools": {"template": TOOLS_TEMPLATE},
    "recorded-thinking": {"template": THINKING_TEMPLATE},
    "recorded-plain": {"template": PLAIN_TEMPLATE, "parser": "passthrough"},
}
"""Models made for the time of the recording. The last cannot do anything: no tools, no thinking, no suffix."""


def record(server: Server, version: str | None, only: str) -> None:
    """Ask for everything and write it down."""
    found = json.loads(server.ask("GET", "/api/version", None)[2])["version"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    made: list[str] = []
    library = HTTPServer(("127.0.0.1", LIBRARY_PORT), _EmptyLibrary)
    threading.Thread(target=library.serve_forever, daemon=True).start()
    try:
        for name, (method, path, body) in REQUESTS.items():
            if only not in name:
                continue
            wanted = (body or {}).get("model")
            if wanted in MADE and wanted not in made:
                server.make(wanted, **MADE[wanted])
                made.append(wanted)
            status, kind, text = server.ask(method, path, body)
            entry = {
                "name": name,
                "version": version or found,
                "request": {"method": method, "path": path, "body": body},
                "status": status,
                "content_type": kind,
                "body": _without_paths(text),
            }
            (FOLDER / f"{name}.json").write_text(json.dumps(entry, indent=2, ensure_ascii=False) + "\n")
            print(status, name, text[:150].replace("\n", "\\n"))
    finally:
        library.shutdown()
        for name in (*made, "recorded-new", "recorded-none"):
            server.ask("DELETE", "/api/delete", {"model": name})


class _EmptyLibrary(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _without_paths(text: str) -> str:
    """Leave out where the server's machine keeps its models."""
    return re.sub(r"/[^\s\"\\]*/models/blobs/", "/models/blobs/", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", help="the server's version, where it does not tell its own")
    parser.add_argument("--only", default="", help="a part of the names of those to record")
    arguments = parser.parse_args()
    record(Server(os.environ.get("OLLAMA_HOST", "127.0.0.1:11434")), arguments.version, arguments.only)
