"""Questions and the passages that answer them: what the demo embedding model learns from, and is measured on.

Owns the drawing of scenes: a few entities with a few facts each, so that every passage stands beside others with the
same entity or of the same form. The phrasings come from `embedding_relations.py`, the words from `vocabulary.py`;
tokens, batches and the network lie elsewhere.
"""

# ruff: noqa: SIM905 (a list of words is for reading, not for quotation marks)
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from langchain_localmodels.demo.embedding_relations import ABOUT_PERSONS, ABOUT_THINGS, Relation
from langchain_localmodels.demo.skills_talk import ask_fact, some_fact
from langchain_localmodels.demo.vocabulary import (
    ANIMALS,
    COLORS,
    JOBS,
    NEW_NAMES,
    NEW_THINGS,
    Vocabulary,
    is_held_out,
)

T = TypeVar("T")
Key = tuple[str, ...]
"""What a question asks: a relation, then the names and values of the slots that it gives."""

SUBJECTS = "physics history law medicine chemistry biology music geography philosophy economics".split()
SPORTS = "tennis chess football hockey golf cricket rugby basketball volleyball badminton".split()
LANGUAGES = "English French German Spanish Italian Arabic Hindi Chinese Japanese Russian Polish Greek".split()
FOODS = "bread cheese rice soup salad pasta eggs nuts honey potatoes pizza yogurt oranges tomatoes".split()
VEHICLES = "train plane ship bus car bicycle taxi ferry".split()
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MATERIALS = "wood steel glass plastic copper leather paper stone silver cotton".split()

_NEW = {word.lower() for word in (*NEW_NAMES, *NEW_THINGS)}
_SLOT = re.compile(r"{(\w+)}")
_LINES = (
    "It was a sunny day.",
    "Nobody knows why.",
    "Here is what we know.",
    "That is all for today.",
    "There is more to tell.",
    "Please read this carefully.",
)
_BETWEEN = ("and the", "of the", "in a", "with", "for", "near the", "and", "is a", "under the", "by")


def _one(v: Vocabulary, options: Sequence[T]) -> T:
    return options[int(v.rng.random() * len(options))]


def _value(v: Vocabulary, slot: str) -> str:
    closed: dict[str, Sequence[str]] = {
        "color": COLORS,
        "job": JOBS,
        "animal": ANIMALS,
        "subject": SUBJECTS,
        "sport": SPORTS,
        "day": DAYS,
        "language": LANGUAGES,
        "food": FOODS,
        "vehicle": VEHICLES,
        "month": MONTHS,
        "material": MATERIALS,
    }
    if slot in closed:
        return v.pick(closed[slot])
    if slot in ("age", "number", "price", "year", "hour"):
        spans = {"year": (1000, 2030), "hour": (5, 12), "age": (1, 99)}
        return str(v.rng.randint(*spans[slot]) if slot in spans else v.integer(4 if slot == "price" else 5))
    return {"place": v.place, "thing": v.thing, "noun": v.noun, "word": v.word, "friend": v.name}.get(
        slot, v.full_name
    )()


@dataclass(frozen=True)
class Fact:
    """A relation with its slots filled."""

    relation: Relation
    values: dict[str, str]

    def say(self, v: Vocabulary) -> tuple[str, Key]:
        """A sentence that states it, and the question that names everything in it."""
        return self._filled(v.pick(self.relation.statements))

    def ask(self, v: Vocabulary, unseen: bool = False) -> tuple[str, Key]:
        """A question, and what it asks; `unseen` takes a phrasing that training never has."""
        return self._filled(v.pick(self.relation.unseen if unseen else self.relation.questions))

    def keys(self) -> set[Key]:
        """All that it answers."""
        relation = self.relation
        templates = (*relation.statements, *relation.questions, *relation.unseen)
        keys = {self._key(relation.name, template) for template in templates}
        if relation.mutual:
            turned = Fact(relation, {**self.values, "who": self.values["friend"], "friend": self.values["who"]})
            keys |= {turned._key(relation.name, template) for template in templates}
        return keys | ({self._key(relation.also, "{who}")} if relation.also else set())

    def _key(self, name: str, template: str) -> Key:
        slots = sorted({slot.lower() for slot in _SLOT.findall(template)})
        return (name, *(f"{slot}={self.values[slot].lower()}" for slot in slots))

    def _filled(self, template: str) -> tuple[str, Key]:
        what = self.values.get("what", "")
        return template.format(**self.values, What=what.capitalize()), self._key(self.relation.name, template)


@dataclass(frozen=True)
class Pair:
    """A query and a passage that belongs to it.

    Attributes:
        query: The text to search with.
        passage: The text to find.
        key: What the query asks.
        answers: Everything that the passage answers; `key` is among it.
    """

    query: str
    passage: str
    key: Key
    answers: set[Key]


def _similar(v: Vocabulary, name: str, person: bool) -> str:
    """Another entity that shares letters or a word with `name`."""
    if v.chance(0.5):
        first = name.split(maxsplit=1)[0]
        return f"{first} {v.name()}" if person else f"{first} {v.word()}"
    while True:
        at = v.rng.randrange(len(name))
        changed = (name[:at] + v.pick("abcdefghijklmnopqrstuvwxyz") + name[at + 1 :]).lower()
        if is_held_out(changed) == v.held_out and changed not in _NEW:
            return changed.title() if person else changed


def _entity(v: Vocabulary, person: bool) -> str:
    if person:
        return v.full_name()
    return v.word() if v.chance(0.85) else f"{v.word()} {v.word()}"


def scene(v: Vocabulary, entities: int = 2, relations: int = 2) -> list[Fact]:
    """Facts about a few entities, each in the same few relations; some values recur."""
    person = v.chance(0.6)
    named = [_entity(v, person)]
    while len(named) < entities:
        other = _similar(v, named[0], person) if v.chance(0.25) else _entity(v, person)
        if other.lower() not in {name.lower() for name in named}:
            named.append(other)
    facts: list[Fact] = []
    for relation in v.rng.sample(ABOUT_PERSONS if person else ABOUT_THINGS, relations):
        slots = sorted({slot.lower() for statement in relation.statements for slot in _SLOT.findall(statement)})
        shared = {slot: _value(v, slot) for slot in slots}
        for name in named:
            values = {slot: shared[slot] if v.chance(0.25) else _value(v, slot) for slot in slots}
            if "noun" in slots and v.chance(0.6):
                values["noun"] = shared["noun"]
            if "friend" in slots and v.chance(0.25):
                values["friend"] = v.pick([other for other in named if other != name])
            values["who" if person else "what"] = name
            facts.append(Fact(relation, values))
    return facts


def passage(v: Vocabulary, fact: Fact, others: Sequence[Fact], sentences: int) -> tuple[str, set[Key]]:
    """A text of so many sentences that holds `fact`, and all that it answers.

    The other sentences are of `others`, of new facts, or say nothing.
    """
    said, answers = [fact.say(v)[0]], fact.keys()
    while len(said) < sentences:
        if v.chance(0.2):
            line = v.pick(_LINES)
        else:
            extra = _one(v, others) if others and v.chance(0.6) else _one(v, scene(v))
            line = extra.say(v)[0]
            answers |= extra.keys()
        said.insert(v.rng.randint(0, len(said)), line)
    return " ".join(said), answers


def _variant(v: Vocabulary, query: str) -> str:
    roll = v.rng.random()
    if roll < 0.75:
        return query
    lowered = query[0].lower() + query[1:]
    forms = (query.rstrip("?."), lowered.rstrip("?."), query.lower(), query.upper(), f"Tell me: {lowered}")
    return v.pick((*forms, f"Question: {query}", f"I want to know: {lowered}", f"{query} Please answer."))


def _words_of_text(v: Vocabulary) -> Pair:
    """Some words of a text about nothing, and the text."""
    words = [v.word() for _ in range(v.rng.randint(4, 9))]
    text = words[0].capitalize()
    for word in words[1:]:
        text += f" {v.pick(_BETWEEN)} {word}"
    query = " ".join(v.rng.sample(words, v.rng.randint(2, 3)))
    key: Key = ("words", text)
    return Pair(query, f"{text}.", key, {key})


def training_pairs(v: Vocabulary, sentences: Sequence[int] = (1, 1, 1, 1, 2, 2, 3, 5)) -> list[Pair]:
    """Pairs of one scene: mostly questions, sometimes paraphrases, or words of a text.

    A question's passage has as many sentences as a draw from `sentences` says.
    """
    roll = v.rng.random()
    if roll < 0.04:
        known = some_fact(v)
        fact_key: Key = ("fact", known[0])
        return [Pair(ask_fact(v, known), f"{known[1]} {known[2]}.", fact_key, {fact_key})]
    if roll < 0.10:
        return [_words_of_text(v), _words_of_text(v)]
    facts = scene(v)
    pairs: list[Pair] = []
    for fact in facts:
        if roll < 0.20:
            query, key = fact.say(v)
            text, answers = passage(v, fact, (), _one(v, (1, 1, 2)))
            pairs.append(Pair(query, text, key, answers))
        elif roll < 0.25:
            # A question beside another with the same key; "asks" keeps it apart from what answers it.
            query, key = fact.ask(v)
            same = [text for text, of in (fact.ask(v) for _ in range(8)) if of == key and text != query]
            if same:
                asked: Key = ("asks", *key)
                pairs.append(Pair(_variant(v, query), same[0], asked, {asked}))
        else:
            query, key = fact.ask(v)
            others = [other for other in facts if other is not fact]
            text, answers = passage(v, fact, others, v.rng.choice(sentences))
            pairs.append(Pair(_variant(v, query), text, key, answers))
    return pairs


def evaluation_pool(v: Vocabulary, passages: int, sentences: int = 1, unseen: bool = False) -> list[Pair]:
    """Pairs over one pool of passages: scenes of three entities in three relations.

    Every passage answers something that no earlier one does, and every pair's query is answered by its own passage;
    others that answer it too (two persons in one city) count as right.
    """
    pairs: list[Pair] = []
    known: set[Key] = set()
    while len(pairs) < passages:
        facts = scene(v, 3, 3)
        for fact in facts:
            query, key = fact.ask(v, unseen)
            text, answers = passage(v, fact, [other for other in facts if other is not fact], sentences)
            if key not in known and len(pairs) < passages:
                pairs.append(Pair(query, text, key, answers))
                known |= answers
    return pairs
