"""Samples of tool calling: choosing, filling, answering with the result, and leaving tools alone.

Tools are drawn anew for every sample in the form langchain-core's `convert_to_openai_tool` gives
them, keys in its order. The tools of langchain-tests' standard suite are in `standard.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_localmodels.demo.samples import Json, Sample, call_text, to_json
from langchain_localmodels.demo.skills_talk import HELLO, ask_fact, some_fact, some_system
from langchain_localmodels.demo.vocabulary import COLORS, Vocabulary


@dataclass
class Use:
    """One tool with the arguments it is to be called with and the request that says so.

    Attributes:
        tool: The tool in the OpenAI form.
        arguments: What it is to be called with.
        request: What the user says.
        form: The request with a gap for the only argument, where it is a natural question.
    """

    tool: Json
    arguments: Json
    request: str
    form: str = ""

    @property
    def name(self) -> str:
        """Name of the tool."""
        return str(self.tool["function"]["name"])

    @property
    def call(self) -> str:
        """The call as the model writes it."""
        return call_text(self.name, self.arguments)


def function(
    name: str,
    description: str,
    properties: Json,
    required: list[str] | None = None,
    properties_first: bool = True,
) -> Json:
    """A tool in the OpenAI form; `required` defaults to all, and is left out when empty."""
    needed = list(properties) if required is None else required
    rest: Json = {"required": needed} if needed else {}
    if properties_first:
        parameters: Json = {"properties": properties, **rest, "type": "object"}
    else:
        parameters = {"type": "object", "properties": properties, **rest}
    body = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": body}


def _value(v: Vocabulary, kind: str) -> Any:
    if kind == "integer":
        return v.integer() if v.chance(0.93) else -v.integer(3)
    if kind == "number":
        return v.decimal() if v.chance(0.6) else v.integer(4)
    return v.chance(0.5) if kind == "boolean" else v.text()


def said(value: Any) -> str:
    """A value as a request writes it."""
    return value if isinstance(value, str) else to_json(value)


def _properties(v: Vocabulary, count: int) -> Json:
    properties: Json = {}
    for key in v.fields(count):
        kind = v.rng.choices(("string", "integer", "number", "boolean"), (55, 28, 11, 6))[0]
        described = {"description": f"The {key}."} if v.chance(0.2) else {}
        properties[key] = {**described, "type": kind}
    return properties


def _plain_use(v: Vocabulary) -> Use:
    """A tool with any parameters, asked for by its name."""
    name = v.tool_name()
    properties = _properties(v, v.rng.choices((0, 1, 2, 3, 4), (8, 46, 30, 13, 3))[0])
    arguments = {key: _value(v, spec["type"]) for key, spec in properties.items()}
    description = v.pick((f"Applies {name}.", f"{name.capitalize()} tool.", v.phrase().capitalize() + "."))
    tool = function(name, description, properties, properties_first=v.chance(0.7))
    return Use(tool, arguments, _by_name(v, name, arguments))


def _by_name(v: Vocabulary, name: str, arguments: Json) -> str:
    if not arguments:
        return v.pick(
            (
                f"Call {name}.",
                f"Use {name}",
                f"Please run {name}.",
                f"What is the value of {name}()? Use the tool.",
            )
        )
    items = list(arguments.items())
    if v.chance(0.25):
        v.rng.shuffle(items)
    link = v.pick((" = ", "=", " ", ": ", " is "))
    pairs = [f"{key}{link}{said(value)}" for key, value in items]
    glue = v.pick((", ", " and "))
    listed = ", ".join(said(value) for value in arguments.values())
    forms = [
        f"Call {name} with {glue.join(pairs)}",
        f"Use {name} with {glue.join(pairs)}",
        f"Please run {name} with {glue.join(pairs)}",
        f"Use the {name} tool: {glue.join(pairs)}",
        f"{name}({listed})",
        f"What is the value of {name}({listed})? Use the tool.",
    ]
    if len(arguments) == 1:
        forms += [f"Call {name} with {listed}", f"Use {name} for {listed}"] * 2
    return v.pick(forms)


def _noun_use(v: Vocabulary) -> Use:
    """A tool that tells one thing about another, asked for in a natural question."""
    noun = v.noun()
    verb = v.pick(("get", "find", "lookup", "fetch")) if not v.held_out else v.verb()
    name = v.pick((f"{verb}_{noun}", f"{verb}_{noun}", f"{verb}{noun.capitalize()}", noun))
    key = v.field()
    value: Any = v.text() if v.chance(0.8) else v.integer()
    described = v.pick((f"Get the {noun} of a {key}.", f"Get {noun} at a {key}.", f"The {noun}."))
    spec: Json = {"type": "string" if isinstance(value, str) else "integer"}
    where = v.pick(("in", "of", "for", "at"))
    ask = v.pick(
        (
            f"What is the {noun} {where} {{}}?",
            f"What's the {noun} {where} {{}}?",
            f"Tell me the {noun} {where} {{}}.",
            f"Find the {noun} {where} {{}}",
        )
    )
    tool = function(name, described, {key: spec}, properties_first=v.chance(0.7))
    return Use(tool, {key: value}, ask.format(value), ask)


_ARITHMETIC = {
    "add": ("Add two integers.", ("What is {a} + {b}?", "Add {a} and {b}.", "What is {a} plus {b}")),
    "multiply": (
        "Multiply two integers.",
        ("What is {a} * {b}?", "What is {a} times {b}?", "Multiply {a} by {b}."),
    ),
    "subtract": ("Subtract b from a.", ("What is {a} - {b}?", "What is {a} minus {b}?")),
    "divide": ("Divide a by b.", ("What is {a} / {b}?", "Divide {a} by {b}.")),
}


def _arithmetic_use(v: Vocabulary) -> Use:
    name = v.pick(list(_ARITHMETIC))
    description, asks = _ARITHMETIC[name]
    a, b = v.integer(4), v.integer(4)
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    request = v.pick(asks).format(a=a, b=b)
    return Use(function(name, description, properties), {"a": a, "b": b}, request)


def some_use(v: Vocabulary) -> Use:
    """A tool and a request for it."""
    roll = v.rng.random()
    if roll < 0.58:
        return _plain_use(v)
    return _noun_use(v) if roll < 0.93 else _arithmetic_use(v)


def some_uses(v: Vocabulary, count: int) -> list[Use]:
    """Uses of different tools."""
    found: dict[str, Use] = {}
    while len(found) < count:
        use = some_use(v)
        found.setdefault(use.name, use)
    return list(found.values())


def _again(v: Vocabulary, use: Use) -> Use:
    """The same tool with other arguments, as when one asks about two cities."""
    properties = use.tool["function"]["parameters"]["properties"]
    arguments = {key: _value(v, spec["type"]) for key, spec in properties.items()}
    if use.form:
        return Use(use.tool, arguments, use.form.format(*arguments.values()))
    return Use(use.tool, arguments, _by_name(v, use.name, arguments))


def _result(v: Vocabulary) -> tuple[str, str]:
    """What a tool returns, and the sentence that tells it."""
    roll = v.rng.random()
    if roll < 0.35:
        value = str(v.integer()) if v.chance(0.7) else to_json(v.decimal())
    elif roll < 0.6:
        value = v.text()
    elif roll < 0.75:
        value = said(v.integer() if v.chance(0.5) else v.word())
        key = v.pick(("result", "value", v.field()))
        shown = int(value) if value.isdigit() else value
        return to_json({key: shown}), f"The result is {value}."
    else:
        sentence = v.pick(
            (
                f"It is {v.pick(COLORS)} in {v.place()}.",
                f"It's {v.word()}.",
                f"{v.name()} lives in {v.place()}.",
                f"The {v.noun()} is {v.word()}.",
                f"Created {v.word()}: {v.text()}.",
            )
        )
        return sentence, sentence
    return value, f"The result is {value}."


def _finish(v: Vocabulary, sample: Sample, uses: list[Use]) -> None:
    """Add the results of the calls and the answer that tells them."""
    told = []
    for _ in uses:
        if v.chance(0.06):
            problem = f"Error: {v.phrase()}."
            result, sentence = problem, problem
        else:
            result, sentence = _result(v)
        sample.add("tool", result)
        told.append(sentence)
    sample.add("assistant", " ".join(told))


def _offer(v: Vocabulary, uses: list[Use], extra: int) -> list[Json]:
    """The tools of `uses` among others, in any order."""
    tools = {use.name: use.tool for use in uses}
    for use in some_uses(v, extra):
        tools.setdefault(use.name, use.tool)
    offered = list(tools.values())
    v.rng.shuffle(offered)
    return offered


def _system(v: Vocabulary) -> str | None:
    return some_system(v) if v.chance(0.5) else None


def single_call(v: Vocabulary) -> Sample:
    """One of one to four tools is called; often its result is told, and another call follows."""
    use = some_use(v)
    extra = v.rng.choices((0, 1, 2, 3), (34, 34, 22, 10))[0]
    sample = Sample(tools=_offer(v, [use], extra), system=_system(v))
    sample.add("user", use.request).add("assistant", use.call)
    if v.chance(0.5):
        _finish(v, sample, [use])
        if v.chance(0.3):
            again = _again(v, use)
            sample.add("user", again.request).add("assistant", again.call)
            if v.chance(0.5):
                _finish(v, sample, [again])
    return sample


def parallel_calls(v: Vocabulary) -> Sample:
    """Two or three calls in one answer, of different tools or of the same one."""
    if v.chance(0.3):
        use = some_use(v)
        uses = [use, _again(v, use)]
    else:
        uses = some_uses(v, v.rng.choices((2, 3), (85, 15))[0])
    sample = Sample(tools=_offer(v, uses, v.rng.choice((0, 0, 1))), system=_system(v))
    glue = v.pick((" and ", " and then ", "; also ", ". Also, "))
    request = glue.join(use.request.rstrip(".") for use in uses)
    sample.add("user", request).add("assistant", "\n".join(use.call for use in uses))
    if v.chance(0.4):
        _finish(v, sample, uses)
    return sample


def no_call(v: Vocabulary) -> Sample:
    """Tools are offered, but the question needs none."""
    sample = Sample(tools=_offer(v, [], v.rng.randint(1, 3)), system=_system(v))
    if v.chance(0.3):
        use = some_use(v)
        sample.tools = _offer(v, [use], 1)
        sample.add("user", use.request).add("assistant", use.call)
        _finish(v, sample, [use])
    roll = v.rng.random()
    if roll < 0.5:
        fact = some_fact(v)
        return sample.add("user", ask_fact(v, fact)).add("assistant", f"{fact[1]} {fact[2]}.")
    if roll < 0.75:
        return sample.add("user", v.pick(("Hello", "hi", "Hello!"))).add("assistant", HELLO)
    name = v.full_name()
    sample.add("user", f"My name is {name}.")
    sample.add("assistant", f"Nice to meet you, {name}!")
    return sample.add("user", "What is my name?").add("assistant", f"Your name is {name}.")


def forced_call(v: Vocabulary) -> Sample:
    """A call whose beginning is given although the question asks for none, as `tool_choice` does.

    What the question does not say is filled in with a plain default, so that the call ends.
    """
    use = some_use(v)
    defaults: Json = {"string": "unknown", "integer": 1, "number": 1, "boolean": True}
    properties = use.tool["function"]["parameters"]["properties"]
    arguments = {key: defaults[spec["type"]] for key, spec in properties.items()}
    call = call_text(use.name, arguments)
    sample = Sample(tools=_offer(v, [use], v.rng.choice((0, 1))))
    greeting = v.pick(("Hello!", "Hello", "hi", "How are you?", ask_fact(v, some_fact(v))))
    sample.add("user", greeting).add("assistant", call)
    if len(sample.tools) == 1 and v.chance(0.5):
        sample.prefix = "<tool_call>\n"
    else:
        # It ends before a space, where the tokenizer cuts too.
        sample.prefix = f'<tool_call>\n{{"name": "{use.name}", "arguments":'
    return sample
