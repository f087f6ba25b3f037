"""Samples of structured output: a small JSON schema filled from a text.

The schema comes as a tool named after it, as keys named in the prompt, or as JSON Schema in the
system message or the prompt; the answer is a tool call or a bare JSON object.
"""

from __future__ import annotations

from langchain_localmodels.demo.samples import Json, Sample, call_text, chat, to_json
from langchain_localmodels.demo.skills_talk import some_system
from langchain_localmodels.demo.skills_tools import function, said
from langchain_localmodels.demo.vocabulary import ANIMALS, BAD, COLORS, GOOD, JOBS, Vocabulary

SCHEMA_FORMS = (
    "Answer with a JSON object that matches this schema:\n{}",
    "Respond with a JSON object that matches this JSON schema:\n{}",
    "Respond only with JSON that conforms to this JSON Schema:\n{}",
    "Return a JSON object for this schema:\n\n{}",
    "The output should be formatted as a JSON instance that conforms to the JSON schema below.\n\n"
    "Here is the output schema:\n```\n{}\n```",
)
_KEY_FORMS = (
    " Return the result as JSON with keys {}.",
    " Return the result as a JSON with {} keys. Return nothing other than JSON.",
    " Answer in JSON with the keys {}.",
    " Return JSON with keys: {}",
    "\nReturn a JSON object with the keys {}.",
)
_ASKS = (
    "{}",
    "{}",
    "Extract the data: {}",
    "Extract information from this text: {}",
    "Read this and fill in the form: {}",
    "Extract the desired information from the following passage.\n\nPassage:\n{}",
    "Text: {}",
)
_DESCRIPTIONS = ("Information about a {}.", "{}.", "Data of a {}", "Extract a {}.")


def _person(v: Vocabulary) -> tuple[Json, str, str]:
    """What a text says of a person, the text, and a name for the schema."""
    name, age, city = v.full_name(), v.rng.randint(1, 99), v.place()
    job, color, height = v.pick(JOBS), v.pick(COLORS), v.rng.randint(100, 210)
    facts: Json = {"name": name, "age": age, "city": city, "job": job}
    forms = [
        f"{name} is {age} years old, lives in {city} and works as a {job}.",
        f"My name is {name}. I am a {job} of {age} years from {city}.",
        f"{name}, {age}, {job}, {city}.",
        f"{name} is a {job} from {city}. {name} is {age}.",
        f"I met {name} in {city}. {name} works as a {job} and is {age} years old.",
    ]
    text = v.pick(forms)
    if v.chance(0.4):
        facts |= {"hair_color": color, "height": height}
        text += f" {name} has {color} hair and is {height} cm tall."
    return facts, text, v.pick(("Person", "Person", "Human", "User", "Customer"))


def _order(v: Vocabulary) -> tuple[Json, str, str]:
    product, quantity, price, customer = v.thing(), v.integer(2), v.integer(4), v.full_name()
    facts: Json = {
        "product": product,
        "quantity": quantity,
        "price": price,
        "customer": customer,
    }
    text = v.pick(
        (
            f"{customer} ordered {quantity} {product}s for {price} dollars.",
            f"{customer} bought {quantity} {product}s and paid {price} dollars.",
            f"Order of {customer}: {quantity} {product}s, {price} dollars.",
        )
    )
    return facts, text, v.pick(("Order", "Invoice", "Purchase"))


def _anything(v: Vocabulary) -> tuple[Json, str, str]:
    """Any keys with any values, so that filling does not depend on known fields."""
    facts: Json = {}
    for key in v.fields(v.rng.randint(2, 4)):
        facts[key] = v.integer() if v.chance(0.35) else v.text()
    form, glue = v.rng.choice(
        (
            ("The {} is {}", ". "),
            ("{}: {}", "\n"),
            ("{} is {}", ", "),
            ("{} = {}", "; "),
            ("the {} is {}", " and "),
        )
    )
    items = list(facts.items())
    v.rng.shuffle(items)
    text = glue.join(form.format(key.replace("_", " "), said(value)) for key, value in items)
    return facts, text + ("." if glue == ". " else ""), v.title()


def _tags(v: Vocabulary) -> tuple[Json, str, str]:
    """The tagging of a review; values come from closed sets."""
    good, thing = v.chance(0.5), v.thing()
    word = v.pick(GOOD if good else BAD)
    facts: Json = {"sentiment": "positive" if good else "negative", "topic": thing}
    facts["language"] = "English"
    forms = (
        f"The {thing} was {word}.",
        f"This {thing} is {word}!",
        f"I think the {thing} is {word}.",
    )
    return facts, v.pick(forms), v.pick(("Classification", "Review", "Tags"))


def _joke(v: Vocabulary) -> tuple[Json, str, str]:
    animal = v.pick(ANIMALS) if v.chance(0.7) else v.thing()
    facts = {
        "setup": f"Why did the {animal} cross the road?",
        "punchline": "To get to the other side!",
    }
    ask = v.pick(("Tell me a joke about {}s.", "Tell me a joke about {}s", "A joke about {}s."))
    return facts, ask.format(animal), "Joke"


def _kind(value: object) -> str:
    return "integer" if isinstance(value, int) else "string"


def _schema(v: Vocabulary, facts: Json, title: str, described: str) -> Json:
    """A JSON Schema as pydantic or a typed dict gives it."""
    titled = v.chance(0.5)
    properties: Json = {}
    for key, value in facts.items():
        spec = {"title": key.replace("_", " ").title()} if titled else {}
        if v.chance(0.2):
            spec = {"description": f"The {key}.", **spec}
        properties[key] = {**spec, "type": _kind(value)}
    body: Json = {"properties": properties, "required": list(facts)}
    if titled:
        return {"description": described, **body, "title": title, "type": "object"}
    return {"title": title, "description": described, **body, "type": "object"}


def _source(v: Vocabulary) -> tuple[Json, str, str]:
    roll = v.rng.random()
    if roll < 0.3:
        return _person(v)
    if roll < 0.42:
        return _order(v)
    if roll < 0.78:
        return _anything(v)
    return _tags(v) if roll < 0.88 else _joke(v)


def extraction(v: Vocabulary) -> Sample:
    """A schema filled from a text, asked for in one of the ways LangChain does."""
    facts, text, title = _source(v)
    keys = list(facts)
    if title != "Joke":
        keys = v.rng.sample(keys, v.rng.randint(1, len(keys)))
        text = text if v.chance(0.4) else v.pick(_ASKS).format(text)
    facts = {key: facts[key] for key in keys}
    described = v.pick(_DESCRIPTIONS).format(title.lower())
    roll = v.rng.random()
    if roll < 0.4:
        properties = _schema(v, facts, title, described)["properties"]
        for spec in properties.values():
            spec.pop("title", None)
        tool = function(title, described, properties, properties_first=v.chance(0.7))
        system = some_system(v) if v.chance(0.3) else None
        return chat(text, call_text(title, facts), tools=[tool], system=system)
    if roll < 0.66:
        quoted = keys if v.chance(0.6) else [f"'{key}'" for key in keys]
        if v.chance(0.5) and len(quoted) > 1:
            named = ", ".join(quoted[:-1]) + f" and {quoted[-1]}"
        else:
            named = ", ".join(quoted)
        request = text + v.pick(_KEY_FORMS).format(named)
        return chat(request, to_json(facts), system=some_system(v))
    rules = v.pick(SCHEMA_FORMS).format(to_json(_schema(v, facts, title, described)))
    if v.chance(0.7):
        opening = some_system(v) if v.chance(0.2) else None
        return chat(text, to_json(facts), system=f"{opening}\n\n{rules}" if opening else rules)
    return chat(v.pick((f"{text}\n\n{rules}", f"{rules}\n\n{text}")), to_json(facts))
