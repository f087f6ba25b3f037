"""Samples in the words of langchain-tests' standard chat model suite.

That suite and the guide "Run models locally" are what the demo model is run against, so their
prompts and tools are part of its training, in the form langchain-core renders them. The README says
so; the scores of `evaluate.py` leave this module out.
"""

from __future__ import annotations

from collections.abc import Callable

from langchain_localmodels.demo.samples import Json, Sample, call_text, chat, to_json
from langchain_localmodels.demo.skills_extract import SCHEMA_FORMS
from langchain_localmodels.demo.skills_talk import HELLO, some_system
from langchain_localmodels.demo.skills_tools import function
from langchain_localmodels.demo.vocabulary import Vocabulary

_ADDER = "Tool that adds two integers.\n\n            Takes two integers, a and b, and returns their sum."
_CUSTOMER = (
    "Tool for creating a customer with Unicode name.\n\n    Args:\n        customer_name: The "
    "customer's name in their native language.\n        description: Description of the customer."
    "\n\n    Returns:\n        A confirmation message about the customer creation."
)
_STYLES = ("Pirate", "Cowboy", "Robot", "Shakespeare", "Wizard", "Viking")
_CATS: Json = {
    "setup": "Why did the cat cross the road?",
    "punchline": "To get to the other side!",
}


def _magic(v: Vocabulary) -> Json:
    spec: Json = {"exclusiveMaximum": 1000, "exclusiveMinimum": -1000, "type": "integer"}
    described = v.pick(("Apply a magic function to an input.", "Applies a magic function."))
    plain_spec: Json = {"type": "integer"}
    return function("magic_function", described, {"input": spec if v.chance(0.7) else plain_spec})


def _magic_no_args() -> Json:
    return function("magic_function_no_args", "Calculate a magic function.", {})


def _weather(v: Vocabulary) -> Json:
    described = v.pick(("Get weather at a location.", "Get the weather at a location."))
    return function("get_weather", described, {"location": {"type": "string"}})


def _adder() -> Json:
    whole: Json = {"type": "integer"}
    return function("my_adder_tool", _ADDER, {"a": whole, "b": whole})


def _call_magic(v: Vocabulary) -> Sample:
    number = 3 if v.chance(0.5) else v.integer(3)
    tools = [_magic(v)] + ([_weather(v)] if v.chance(0.4) else [])
    v.rng.shuffle(tools)
    ask = f"What is the value of magic_function({number})? Use the tool."
    return chat(ask, call_text("magic_function", {"input": number}), tools=tools)


def _call_magic_no_args(v: Vocabulary) -> Sample:
    ask = "What is the value of magic_function_no_args()? Use the tool."
    sample = chat(ask, call_text("magic_function_no_args", {}), tools=[_magic_no_args()])
    if v.chance(0.3):
        sample.add("tool", "5").add("assistant", "The result is 5.")
    return sample


def _forced(v: Vocabulary) -> Sample:
    """The suite says "Hello!" and demands a call."""
    tools = [_magic(v), _weather(v)]
    name = v.pick(("magic_function", "get_weather"))
    arguments: Json = {"input": 1} if name == "magic_function" else {"location": "unknown"}
    sample = chat("Hello!", call_text(name, arguments), tools=tools)
    sample.prefix = f'<tool_call>\n{{"name": "{name}", "arguments":'
    return sample


def _agent(v: Vocabulary) -> Sample:
    place = "San Francisco, CA" if v.chance(0.5) else v.place()
    ask = v.pick(("What is the weather in {}?", "What's the weather in {}?", "weather in {}"))
    call = call_text("get_weather", {"location": place})
    sample = chat(ask.format(place), call, tools=[_weather(v)], system=some_system(v))
    sky = v.pick(("sunny", "sunny", "rainy", "foggy", v.made_up()))
    result = v.pick(("It's {}.", f"It's {{}} in {place}.", f"It's always {{}} in {place}!"))
    said = result.format(sky)
    return sample.add("tool", said).add("assistant", said)


def _pirate(v: Vocabulary) -> Sample:
    described = "Generate a greeting in a particular style of speaking."
    tool = function("greeting_generator", described, {"answer_style": {"type": "string"}})
    style = "Pirate" if v.chance(0.5) else v.pick((v.pick(_STYLES), v.made_up().capitalize()))
    ask = f"Using the tool, generate a {style} greeting."
    sample = chat(ask, call_text("greeting_generator", {"answer_style": style}), tools=[tool])
    if v.chance(0.4):
        sample.add("tool", "hello matey").add("assistant", "The result is hello matey.")
    return sample


def _adder_history(v: Vocabulary) -> Sample:
    a, b = (1, 2) if v.chance(0.4) else (v.integer(3), v.integer(3))
    broken = v.chance(0.2)
    call = call_text("my_adder_tool", {"a": a} if broken else {"a": a, "b": b})
    said = f"some text\n{call}" if v.chance(0.2) else call
    sample = chat(f"What is {a} + {b}", said, tools=[_adder()])
    if said != call or broken:
        sample.silent.add(1)
    if broken:
        problem = "Error: Missing required argument 'b'."
        return sample.add("tool", problem).add("assistant", problem)
    result = to_json({"result": a + b})
    sample.add("tool", result)
    if v.chance(0.5):
        return sample.add("assistant", f"The result is {a + b}.")
    sample.silent.add(3)
    c, d = (3, 4) if v.chance(0.4) else (v.integer(3), v.integer(3))
    sample.add("assistant", result).add("user", f"What is {c} + {d}")
    return sample.add("assistant", call_text("my_adder_tool", {"a": c, "b": d}))


def _customer(v: Vocabulary) -> Sample:
    text: Json = {"type": "string"}
    tool = function("unicode_customer", _CUSTOMER, {"customer_name": text, "description": text})
    name, about = v.pick(
        (
            "你好啊集团|a Chinese technology company",
            "こんにちは株式会社|a Japanese company",
            f"{v.foreign()}|a {v.word()} company",
        )
    ).split("|")
    english = {"你": "Hello Group", "こ": "Hello Corporation"}.get(name[0], v.name())
    ask = f"Create a customer named '{name}' ({english}) - {about}"
    call = call_text("unicode_customer", {"customer_name": name, "description": about})
    return chat(ask, call, tools=[tool])


def _joke(v: Vocabulary) -> Sample:
    """The joke schemas: as a tool, as a schema in the system message, as keys, optional or not."""
    said: Json = {"type": "string"}
    setup = {"description": "question to set up a joke", **said}
    punchline: Json = {"description": "answer to resolve the joke", **said}
    facts, required, name = dict(_CATS), ["setup", "punchline"], "Joke"
    ask = "Tell me a joke about cats."
    if v.chance(0.4):
        required = ["setup"]
        name = v.pick(("Joke", "JokeDict"))
        if v.chance(0.6):
            either = [{"type": "string"}, {"type": "null"}]
            about = "answer to resolve the joke"
            punchline = {"anyOf": either, "default": None, "description": about}
        roll = v.rng.random()
        if roll < 0.4:
            ask = "Give me the setup to a joke about cats, no punchline."
            facts.pop("punchline")
        elif roll < 0.7:
            ask = "Give me a joke about cats, include the punchline."
    if v.chance(0.4):
        setup, punchline = {**setup, "title": "Setup"}, {**punchline, "title": "Punchline"}
    properties = {"setup": setup, "punchline": punchline}
    described = "Joke to tell user."
    roll = v.rng.random()
    if roll < 0.45:
        tool = function(name, described, properties, required, v.chance(0.6))
        return chat(ask, call_text(name, facts), tools=[tool])
    if roll < 0.6 and required != ["setup"]:
        rules = " Return the result as a JSON with 'setup' and 'punchline' keys. Return nothing other than JSON."
        return chat(ask + rules, to_json(facts))
    body: Json = {"properties": properties, "required": required, "type": "object"}
    schema = {"title": name, "description": described, **body}
    if v.chance(0.5):
        schema = {"description": described, **body, "title": name}
    return chat(ask, to_json(facts), system=v.pick(SCHEMA_FORMS).format(to_json(schema)))


def _stop(v: Vocabulary) -> Sample:
    return chat(v.pick(("hi", "hello", "Hello", "Hey")), HELLO)


Maker = Callable[[Vocabulary], Sample]

_KINDS: tuple[tuple[Maker, int], ...] = (
    (_call_magic, 4),
    (_call_magic_no_args, 2),
    (_forced, 1),
    (_agent, 4),
    (_pirate, 2),
    (_adder_history, 3),
    (_customer, 4),
    (_joke, 5),
    (_stop, 1),
)


def standard(v: Vocabulary) -> Sample:
    """One sample in the suite's words."""
    kinds, weights = zip(*_KINDS, strict=True)
    make: Maker = v.rng.choices(kinds, weights)[0]
    return make(v)
