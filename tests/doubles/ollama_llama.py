"""A brain for the Ollama double: `llama-server` processes, asked as Ollama asks its own since 0.30.

Ollama translates: its `/api/chat` is the child's `/v1/chat/completions`, its `/api/generate` the child's template and
then its `/completion`. What follows from that shows in the answers: tool calls come whole in the last line, errors are
the child's JSON as text, log probabilities and tools exclude each other.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Iterator
from typing import Any

from tests.doubles.ollama_answers import go_json, line_of
from tests.doubles.ollama_checks import OF_LOADING, Refusal, check_format, options_of
from tests.doubles.ollama_children import Child, Children
from tests.doubles.ollama_decoding import ARGUMENTS, TOOL, sorted_maps

# An object, and nothing else: what `format: "json"` asks for.
_ANY_OBJECT = r"""
root ::= map
map ::= "{" gap (entry ("," gap entry)*)? gap "}"
entry ::= text ":" gap item
list ::= "[" gap (item ("," gap item)*)? gap "]"
item ::= map | list | text | number | ("true" | "false" | "null") gap
text ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" hex hex hex hex))* "\""
hex ::= [0-9a-fA-F]
number ::= "-"? ([0-9] | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
gap ::= ([ \t\n] gap)?
"""


class LlamaBrain:
    """Answers decoded requests with real models.

    Args:
        children: Where the models are.
    """

    def __init__(self, children: Children) -> None:
        self._children = children

    # --- text -------------------------------------------------------------------------------------------------------

    def answer(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The lines of an answer, as they come.

        Raises:
            Refusal: The child refuses; once lines have come, it is an error line.
        """
        started = time.monotonic()
        task = _Task(self._children, path, body, started)
        yield from task.chat() if path == "/api/chat" else task.generate()

    def rendered(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to `_debug_render_only`."""
        task = _Task(self._children, path, body, time.monotonic())
        line = line_of(body["model"], "", path == "/api/chat")
        if path == "/api/chat":
            line["message"]["role"] = ""
            prompt = task.render(task.chat_request(task.fitting(body["messages"])))
        else:
            prompt = task.prompt()
        return {**line, "_debug_info": {"rendered_template": prompt}}

    # --- vectors ----------------------------------------------------------------------------------------------------

    def embed(self, path: str, body: dict[str, Any], *, embeds: bool) -> tuple[int, Any]:
        """Status and body of an answer with vectors; `embeds` tells whether the model is made for that."""
        started = time.monotonic()
        options = options_of(body.get("options"))
        child = Child(self._children.embedding() if embeds else self._children.chat(self._children.window, True))
        if path == "/api/embeddings":
            text = body.get("prompt", "")
            try:
                return 200, {"embedding": child.embed(text)[0] if text else []}
            except Refusal as refusal:
                return 500, {"error": refusal.error}
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given or []
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return 400, {"error": "invalid input type"}
        texts = texts if given != "" else []
        if not texts:
            return 200, {"model": body["model"], "embeddings": []}
        size = body.get("dimensions", 0)
        window = min(options.get("num_ctx", self._children.embedding_window), self._children.embedding_window)
        vectors, tokens = [], 0
        for text in texts:
            vector, count = child.embed(self._cut(child, text, window, body.get("truncate", True)) if embeds else text)
            vector = _scaled(vector)
            vectors.append(_scaled(vector[:size]) if 0 < size < len(vector) else vector)
            tokens += count
        answer = {"model": body["model"], "embeddings": vectors, "total_duration": _since(started)}
        return 200, {**answer, "load_duration": 1, "prompt_eval_count": tokens}

    def _cut(self, child: Child, text: str, window: int, may: bool) -> str:
        tokens = child.tokens(text)
        limit = window - 2  # A token before and one after.
        if len(tokens) <= limit:
            return text
        if not may:
            raise Refusal(400, "the input length exceeds the context length")
        return child.text(tokens[:limit])


class _Task:
    """One request for text."""

    def __init__(self, children: Children, path: str, body: dict[str, Any], started: float) -> None:
        self._body = body
        self._options = options_of(body.get("options"))
        self._window = min(self._options.get("num_ctx", children.window), children.window)
        self._shift = body.get("shift", True)
        self._child = Child(children.chat(self._window, self._shift))
        self._started, self._loaded = started, time.monotonic()

    def chat(self) -> Iterator[dict[str, Any]]:
        body = self._body
        messages = self.fitting(body["messages"])
        calls: dict[int, dict[str, Any]] = {}
        with self._child.stream("/v1/chat/completions", {**self.chat_request(messages), "stream": True}) as events:
            for event in events:
                if "error" in event:
                    raise Refusal(500, f"llama-server chat error: {_go_print(event['error'])}")
                if not event.get("choices"):
                    continue
                choice = event["choices"][0]
                delta = choice["delta"]
                for piece in delta.get("tool_calls") or []:
                    _add_call(calls, piece)
                line = self._line(delta.get("content") or "", delta.get("reasoning_content"))
                line |= self._logprobs((choice.get("logprobs") or {}).get("content"))
                if choice.get("finish_reason") is not None:
                    if calls:
                        line["message"]["tool_calls"] = [_whole_call(calls[index]) for index in sorted(calls)]
                    yield self._last(line, choice["finish_reason"] == "length", event.get("timings", {}))
                    return
                if line["message"]["content"] or "thinking" in line["message"] or "logprobs" in line:
                    yield line

    def generate(self) -> Iterator[dict[str, Any]]:
        prompt = self.prompt()
        written, last, again = [], "", 0
        with self._child.stream("/completion", self._completion_request(prompt)) as events:
            for event in events:
                content = event.get("content", "")
                again = again + 1 if content.strip() == last else 0
                last = content.strip()
                if again > 30:
                    return  # A server that cuts a model off that repeats itself says nothing of it.
                written.append(content)
                line = line_of(self._body["model"], content, chat=False)
                if event.get("stop"):
                    if not self._body.get("raw"):
                        line["context"] = self._child.post("/tokenize", {"content": prompt + "".join(written)})[
                            "tokens"
                        ]
                    yield self._last(line, event.get("stop_type") == "limit", event.get("timings", {}))
                    return
                if content:
                    yield line | self._logprobs(event.get("completion_probabilities"))

    # --- what the child is sent -------------------------------------------------------------------------------------

    def prompt(self) -> str:
        """The prompt of `/api/generate`."""
        body = self._body
        if body.get("raw"):
            return str(body["prompt"])
        before = self._child.text(body["context"]) if body.get("context") else ""
        if template := body.get("template"):
            return before + _filled(template, body)
        system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        asked = {"role": "user", "content": body["prompt"]}
        return before + self.render(self.chat_request(self.fitting([*system, asked])))

    def render(self, request: dict[str, Any]) -> str:
        """The conversation as the model reads it."""
        return str(self._child.post("/apply-template", request)["prompt"])

    def fitting(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages without the oldest ones that do not fit, other than the system's."""
        if not self._body.get("truncate", True) or len(messages) <= 1:
            return messages
        for first in range(len(messages)):
            kept = [message for message in messages[:first] if message.get("role", "").lower() == "system"]
            kept += messages[first:]
            if len(self._child.tokens(self.render(self.chat_request(kept)))) <= self._window:
                break
        return kept

    def chat_request(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """What the child's chat endpoint takes."""
        body, form = self._body, self._body.get("format")
        check_format(form)
        request = {**self._sampling(), "messages": [_message(message) for message in messages], "stream": False}
        if body.get("tools"):
            request["tools"] = [TOOL.write(tool) for tool in body["tools"]]
        if body.get("logprobs"):
            request |= {"logprobs": True, "top_logprobs": max(body.get("top_logprobs", 0), 1)}
        if "think" in body:
            think = body["think"]
            effort = {"reasoning_effort": think} if isinstance(think, str) else {}
            request["chat_template_kwargs"] = {"enable_thinking": bool(think), **effort}
        if form == "json":
            request["response_format"] = {"type": "json_object"}
        elif form:
            schema = {"name": "schema", "schema": sorted_maps(form)}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def _completion_request(self, prompt: str) -> dict[str, Any]:
        body, form = self._body, self._body.get("format")
        check_format(form)
        request = {**self._sampling(), "prompt": self._fitting_prompt(prompt), "stream": True}
        if body.get("logprobs"):
            request["n_probs"] = max(body.get("top_logprobs", 0), 1)
        if form == "json":
            request["grammar"] = _ANY_OBJECT
        elif form:
            request["json_schema"] = form
        if body.get("images"):
            data = [base64.b64encode(image).decode() for image in body["images"]]
            request["prompt"] = {"prompt_string": prompt, "multimodal_data": data}
        return request

    def _fitting_prompt(self, prompt: str) -> str | list[int]:
        """A text of which the middle is cut out where it does not fit."""
        if not self._body.get("truncate", True) or self._body.get("images") or len(prompt.encode()) < self._window:
            return prompt
        tokens = self._child.tokens(prompt, add_special=True)
        if len(tokens) <= self._window - 1:
            return prompt
        if not self._shift:
            raise Refusal(
                400,
                "the prompt is longer than the context length currently available to the model; shorten the prompt, "
                "adjust the context length in settings, or use a model with a longer context length",
            )
        keep = self._options["num_keep"]
        keep = min(keep if keep >= 0 else len(tokens), self._window - 1)
        limit = self._window - max((self._window - keep) // 2, 1)
        return tokens[:keep] + tokens[keep + len(tokens) - limit :]

    def _sampling(self) -> dict[str, Any]:
        most = 10 * self._window
        limit = self._options["num_predict"]
        sampling = {name: value for name, value in self._options.items() if name not in OF_LOADING}
        sampling["n_keep"] = sampling.pop("num_keep")
        sampling["n_predict"] = most if sampling.pop("num_predict") < 0 or limit > most else limit
        return {**sampling, "cache_prompt": True}

    # --- what it answers --------------------------------------------------------------------------------------------

    def _line(self, text: str, thinking: str | None) -> dict[str, Any]:
        return line_of(self._body["model"], text, chat=True, **({"thinking": thinking} if thinking else {}))

    def _logprobs(self, entries: list[dict[str, Any]] | None) -> dict[str, Any]:
        if not entries:
            return {}
        wanted = self._body.get("top_logprobs", 0) > 0
        return {
            "logprobs": [
                _logprob(entry) | ({"top_logprobs": [_logprob(top) for top in entry["top_logprobs"]]} if wanted else {})
                for entry in entries
            ]
        }

    def _last(self, line: dict[str, Any], cut: bool, timings: dict[str, Any]) -> dict[str, Any]:
        metrics = {
            "total_duration": _since(self._started),
            "load_duration": int((self._loaded - self._started) * 1e9),
            "prompt_eval_count": timings.get("cache_n", 0) + timings.get("prompt_n", 0),
            "prompt_eval_duration": int(timings.get("prompt_ms", 0) * 1e6),
            "eval_count": timings.get("predicted_n", 0),
            "eval_duration": int(timings.get("predicted_ms", 0) * 1e6),
        }
        given = {name: value for name, value in metrics.items() if value}
        return {**line, "done": True, "done_reason": "length" if cut else "stop", **given}


# --- pieces -----------------------------------------------------------------------------------------------------------


def _message(message: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.get("role", "").lower()}
    for name, given in (("tool_call_id", "tool_call_id"), ("name", "tool_name")):
        if message.get(given):
            written[name] = message[given]
    if message.get("tool_calls"):
        written["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    content = message.get("content") or ""
    if not message.get("images"):
        return {**written, "content": content}
    parts = [{"type": "text", "text": content}] if content else []
    return {**written, "content": [*parts, *(_part(image) for image in message["images"])]}


def _part(data: bytes) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}}
    kind = "png" if data.startswith(b"\x89PNG\r\n\x1a\n") else "jpeg"
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{text}"}}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    given = function.get("arguments", {})
    arguments = go_json(given and ARGUMENTS.write(given))
    named = {"name": function.get("name", ""), "arguments": arguments}
    ids = {"id": call["id"]} if call.get("id") else {}
    return {**ids, "index": function.get("index", 0), "type": "function", "function": named}


def _add_call(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    call = calls.setdefault(piece["index"], {"id": "", "index": piece["index"], "name": "", "arguments": ""})
    function = piece.get("function") or {}
    call["id"] += piece.get("id") or ""
    call["name"] += function.get("name") or ""
    call["arguments"] += function.get("arguments") or ""


def _whole_call(call: dict[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(call["arguments"]) if call["arguments"].strip() else {}
    except ValueError:
        problem = (
            f'llama-server returned invalid tool call arguments for "{call["name"]}": unexpected end of JSON input'
        )
        raise Refusal(500, problem) from None
    function = {"index": call["index"], "name": call["name"], "arguments": arguments}
    return {"id": call["id"], "function": function}


def _logprob(entry: dict[str, Any]) -> dict[str, Any]:
    token = entry["token"]
    raw = {"bytes": list(token.encode())} if token else {}
    return {"token": token, "logprob": entry["logprob"], **raw}


def _filled(template: str, body: dict[str, Any]) -> str:
    """Go's templates, as far as they name what there is, and nothing more."""
    values = {".Prompt": body["prompt"], ".System": body.get("system", ""), ".Response": ""}
    if template.count("{{") != template.count("}}"):
        raise Refusal(500, "template: :1: unclosed action")
    names = re.findall(r"\{\{-?\s*(.*?)\s*-?\}\}", template)
    if unknown := set(names) - values.keys():
        raise Refusal(500, f"the double does not know {sorted(unknown)} in templates")
    return re.sub(r"\{\{-?\s*(.*?)\s*-?\}\}", lambda found: values[found[1]], template)


def _scaled(vector: list[float]) -> list[float]:
    length = max(math.hypot(*vector), 1e-12)
    return [number / length for number in vector]


def _since(started: float) -> int:
    return max(int((time.monotonic() - started) * 1e9), 1)


def _go_print(value: Any) -> str:
    if isinstance(value, dict):
        return f"map[{' '.join(f'{name}:{_go_print(value[name])}' for name in sorted(value))}]"
    return str(value)
