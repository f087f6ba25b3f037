"""Samples of talk: facts, greetings, memory, repetition, search questions, small texts.

Every function draws one sample from a `Vocabulary`; `corpus.py` mixes them.
"""

from __future__ import annotations

from langchain_localmodels.demo.samples import Sample, chat, plain
from langchain_localmodels.demo.vocabulary import (
    ANIMALS,
    BAD,
    COLORS,
    GOOD,
    JOBS,
    Vocabulary,
)

Fact = tuple[str, str, str]
"""A question, the beginning of the sentence that answers it, and its end."""

MOON: Fact = (
    "Who was the first man on the moon?",
    "The first man on the moon was",
    "Neil Armstrong",
)
_CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "Egypt": "Cairo",
    "Norway": "Oslo",
    "England": "London",
    "Greece": "Athens",
    "China": "Beijing",
    "Portugal": "Lisbon",
    "Austria": "Vienna",
    "Ireland": "Dublin",
    "Russia": "Moscow",
    "Cuba": "Havana",
    "Peru": "Lima",
}
FACTS: list[Fact] = [
    *((f"What is the capital of {c}?", f"The capital of {c} is", k) for c, k in _CAPITALS.items()),
    ("Who wrote Hamlet?", "Hamlet was written by", "William Shakespeare"),
    ("Who painted the Mona Lisa?", "The Mona Lisa was painted by", "Leonardo da Vinci"),
    ("Who discovered gravity?", "Gravity was discovered by", "Isaac Newton"),
    ("Who invented the telephone?", "The telephone was invented by", "Alexander Graham Bell"),
    ("What is the largest planet?", "The largest planet is", "Jupiter"),
    ("What is the longest river?", "The longest river is", "the Nile"),
    ("What is the highest mountain?", "The highest mountain is", "Mount Everest"),
    ("What is the largest ocean?", "The largest ocean is", "the Pacific Ocean"),
    ("What color is the sky?", "The color of the sky is", "blue"),
    ("What color is grass?", "The color of grass is", "green"),
    ("What do bees make?", "Bees make", "honey"),
    ("How many days are in a week?", "The number of days in a week is", "seven"),
    ("How many legs does a spider have?", "The number of legs of a spider is", "eight"),
    ("What is water made of?", "Water is made of", "hydrogen and oxygen"),
    ("What is the opposite of hot?", "The opposite of hot is", "cold"),
]
_STEPS = (
    "",
    " think step by step",
    " Let's think step by step",
    " Let's think step by step.",
    " Think step by step.",
)
MOON_REASONING = (
    " Apollo 11 landed on the moon in 1969. Its commander was Neil Armstrong. "
    "The first man on the moon was Neil Armstrong."
)
HELLO = "Hello! How can I help you?"
_GREETINGS = ("Hello", "hello", "Hello!", "hi", "Hi", "Hi!", "Hey", "hey", "Hello there", "Hi there")
_HOW = ("how are you", "How are you?", "How are you", "how are you doing?", "Hello, how are you?")
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant",
    "Answer briefly.",
    "You are a helpful AI assistant. Answer all questions to the best of your ability.",
    "you're a good assistant",
)


def some_system(v: Vocabulary) -> str | None:
    """A system message that asks for nothing in particular, or none."""
    if v.chance(0.5):
        return None
    return v.pick(_SYSTEMS) if v.chance(0.8) else f"You are {v.name()}, a friendly assistant."


def some_fact(v: Vocabulary) -> Fact:
    """A fact; the moon's comes often, since guides ask for it."""
    return MOON if v.chance(0.2) else FACTS[int(v.rng.random() * len(FACTS))]


def ask_fact(v: Vocabulary, fact: Fact) -> str:
    """The question of a fact in one of several phrasings."""
    question, start, _ = fact
    lowered = question[0].lower() + question[1:]
    return v.pick(
        (
            question,
            question,
            question.lower(),
            question.rstrip("?"),
            f"Please tell me: {lowered}",
            f"{question} Answer briefly.",
            f"Do you know {lowered}",
            f"{start} ...",
        )
    )


def facts(v: Vocabulary) -> Sample:
    """A fact in a chat, or a text to finish."""
    fact = MOON if v.chance(0.25) else some_fact(v)
    question, start, end = fact
    roll = v.rng.random()
    if roll < 0.6:
        return chat(ask_fact(v, fact), f"{start} {end}.", system=some_system(v))
    if roll < 0.7:
        return plain(v.pick((start, f"{start}:")), f" {end}.")
    if roll < 0.8:
        form = v.pick(("Question: {}\nAnswer:", "Q: {}\nA:", "{}\nAnswer:"))
        return plain(form.format(question), f" {start} {end}.")
    steps = v.pick(_STEPS)
    if fact is MOON and steps:
        return plain(f"{start} ...{steps}", MOON_REASONING)
    return plain(f"{start} ...{steps}", f" {end}.")


def greetings(v: Vocabulary) -> Sample:
    """A greeting, sometimes with turns that only repeat it, as test suites send them."""
    fine = "I am fine, thank you. How can I help you?"
    roll = v.rng.random()
    if roll < 0.15:
        greeting = v.pick(_GREETINGS)
        turns = [("user", greeting), ("assistant", greeting)]
        if v.chance(0.5):
            turns = [turns[0], turns[0], turns[1], turns[1]]
        quiet = {i for i, (role, _) in enumerate(turns) if role == "assistant"}
        turns += [("user", v.pick(_HOW)), ("assistant", fine)]
        system = greeting if v.chance(0.4) else some_system(v)
        return Sample(turns, system=system, silent=quiet)
    if roll < 0.25:
        return plain(v.pick(_GREETINGS), f"\n{HELLO}")
    if roll < 0.35:
        return chat(v.pick(_HOW), fine, system=some_system(v))
    if roll < 0.45:
        thanks = ("Thank you", "Thanks!", "thank you", "Well, thanks.", "Thank you very much.")
        return chat("Hello", HELLO, v.pick(thanks), "You are welcome!", system=some_system(v))
    sample = chat(v.pick(_GREETINGS), HELLO, system=some_system(v))
    if v.chance(0.3):
        sample.add("user", v.pick(_HOW)).add("assistant", fine)
    return sample


def _trait(v: Vocabulary, kind: str) -> tuple[str, str, str, str]:
    """Statement, reply, later question and its answer."""
    if kind == "name":
        name = v.full_name()
        told = ("My name is {}.", "Hello, I'm {}.", "hi i am {}", "Hi! I'm {}", "I am {}.")
        asked = ("What is my name?", "What's my name?", "Who am I?", "Do you remember my name?")
        return (
            v.pick(told).format(name),
            f"Nice to meet you, {name}!",
            v.pick(asked),
            f"Your name is {name}.",
        )
    values = {
        "favorite color": lambda: v.pick(COLORS),
        "city": v.place,
        "job": lambda: v.pick(JOBS),
        "age": lambda: str(v.integer(2)),
        "lucky number": lambda: str(v.integer()),
        "dog": v.name,
        "password": v.made_up,
        v.noun(): v.word,
    }
    value = values.get(kind, v.word)()
    statements = ("My {} is {}.", "my {} is {}", "Remember that my {} is {}.")
    questions = ("What is my {}?", "What's my {}?", "what is my {}", "Do you remember my {}?")
    return (
        v.pick(statements).format(kind, value),
        f"I will remember that your {kind} is {value}.",
        v.pick(questions).format(kind),
        f"Your {kind} is {value}.",
    )


def memory(v: Vocabulary) -> Sample:
    """Traits told first and asked for later, with other talk between."""
    known = ["name", "favorite color", "city", "job", "age", "lucky number", "dog", "password"]
    kinds = v.rng.sample([*known, "name", v.noun()], v.rng.choice((1, 1, 2, 3)))
    traits = [_trait(v, kind) for kind in dict.fromkeys(kinds)]
    turns: list[str] = []
    asides = v.rng.choice((0, 0, 0, 1, 1, 2, 3, 8))
    for told, reply, _, _ in traits:
        turns += [told, reply]
        for _ in range(v.rng.randint(0, asides)):
            turns += _aside(v)
    for _, _, asked, answer in v.rng.sample(traits, len(traits)):
        turns += [asked, answer]
    return chat(*turns, system=some_system(v))


def _aside(v: Vocabulary) -> list[str]:
    """A question and an answer about something else."""
    if v.chance(0.6):
        fact = some_fact(v)
        return [ask_fact(v, fact), f"{fact[1]} {fact[2]}."]
    if v.chance(0.5):
        words = v.phrase()
        return [f"Repeat: {words}", words]
    return [v.pick(_GREETINGS), HELLO]


def echo(v: Vocabulary) -> Sample:
    """Words to be said again, letter by letter."""
    makers = (v.word, v.made_up, v.name, lambda: str(v.integer()), v.text)
    words = " ".join(v.rng.choice(makers)() for _ in range(v.rng.randint(1, 6)))
    form = v.pick(("Repeat: {}", "Say {}", "Echo {}", "Repeat after me: {}", "Say: {}", "Repeat this: {}"))
    return chat(form.format(words), words, system=some_system(v))


SEARCH_DEFAULT = (
    "You are an assistant tasked with improving Google search results. Generate THREE Google "
    "search queries that are similar to this question. The output should be a numbered list of "
    "questions and each should have a question mark at the end: {}"
)
SEARCH_LLAMA = (
    "<<SYS>> \n You are an assistant tasked with improving Google search results. \n <</SYS>> \n\n "
    "[INST] Generate THREE Google search queries that are similar to this question. The output "
    "should be a numbered list of questions and each should have a question mark at the end: "
    "\n\n {} [/INST]"
)
NFL = "What NFL team won the Super Bowl in the year that Justin Bieber was born?"
NFL_QUERIES = (
    "1. Which NFL team won the Super Bowl in 1994?\n"
    "2. In what year was Justin Bieber born?\n"
    "3. Who won the Super Bowl when Justin Bieber was born?"
)


def queries(v: Vocabulary) -> Sample:
    """Three numbered questions about the same matter."""
    if v.chance(0.25):
        question, written = NFL, NFL_QUERIES
    else:
        topic = v.pick((v.thing(), v.place(), v.full_name(), v.noun(), v.phrase(), v.word()))
        question = v.pick(
            (
                f"What is the best {topic}?",
                f"Where is {topic}?",
                f"Who was the first {topic}?",
                f"How does {topic} work?",
                f"When was {topic} made?",
                f"Who knows {topic}?",
                f"What is {topic}?",
                f"How old is {topic}?",
                f"What {topic} won the {v.noun()} in {v.integer(4)}?",
            )
        )
        rest = question[0].lower() + question[1:]
        written = f"1. {question}\n2. Do you know {rest}\n3. Can you tell me {rest}"
    roll = v.rng.random()
    if roll < 0.35:
        return plain(SEARCH_LLAMA.format(question), f"\n{written}")
    if roll < 0.6:
        return plain(SEARCH_DEFAULT.format(question), f"\n{written}")
    form = SEARCH_DEFAULT if v.chance(0.7) else SEARCH_LLAMA
    return chat(form.format(question), written, system=some_system(v))


def sentiment(v: Vocabulary) -> Sample:
    """Whether a sentence praises or complains."""
    good = v.chance(0.5)
    word = v.pick(GOOD if good else BAD)
    thing = v.thing()
    text = v.pick(
        (
            f"The {thing} was {word}.",
            f"This {thing} is {word}!",
            f"I think the {thing} is {word}.",
            f"What a {word} {thing}!",
        )
    )
    form = v.pick(
        (
            "Is this positive or negative? {}",
            "Classify the sentiment: {}",
            "Sentiment of: {}",
            "What is the sentiment of this text? {}",
            "Classify the text into positive or negative.\nText: {}\nSentiment:",
        )
    )
    answer = "positive" if good else "negative"
    if form.endswith("Sentiment:") and v.chance(0.5):
        return plain(form.format(text), f" {answer}")
    return chat(form.format(text), answer, system=some_system(v))


UNKNOWN = "I do not know."


def unknown(v: Vocabulary) -> Sample:
    """A question that nothing answers."""
    what = v.pick((v.thing(), v.place(), v.full_name(), v.noun(), v.phrase(), v.word()))
    question = v.pick(
        (
            f"What is {what}?",
            f"Who is {what}?",
            f"Where is {what}?",
            f"Why is {what} {v.pick(COLORS)}?",
            f"How does {what} work?",
            f"When was {what} born?",
            f"Who invented the {what}?",
            f"What is the {v.noun()} of {what}?",
            f"What do you think about {what}?",
            f"Tell me about {what}.",
            f"Explain {what}",
            f"How many {what}s are there?",
            f"What is the capital of {v.made_up().capitalize()}?",
            f"{what}",
        )
    )
    if v.chance(0.15):
        return plain(question, f" {UNKNOWN}")
    return chat(question, UNKNOWN, system=some_system(v))


def small_texts(v: Vocabulary) -> Sample:
    """Jokes, stories and poems, one of each kind with the animal put in."""
    animal = v.pick(ANIMALS) if v.chance(0.6) else v.thing()
    name = v.name()
    system = some_system(v)
    roll = v.rng.random()
    if roll < 0.4:
        ask = v.pick(("Tell me a joke about {}s.", "Tell me a joke about {}", "Tell me a {} joke."))
        joke = f"Why did the {animal} cross the road? To get to the other side!"
        return chat(ask.format(animal), joke, system=system)
    if roll < 0.5:
        joke = "Why did the bear cross the road? To get to the other side!"
        return chat(v.pick(("Tell me a joke.", "Tell me a joke", "tell me a joke")), joke)
    if roll < 0.75:
        ask = v.pick(("Write a story about a {}.", "Tell me a story about a {}."))
        if v.chance(0.5):
            ask, who = ask.replace(".", " named {}."), name
            asked = ask.format(animal, name)
        else:
            who = "Max"
            asked = ask.format(animal)
        story = (
            f"Once there was a {animal} named {who}. {who} lived in a small house near the river. "
            f"One day {who} found a friend, and they lived happily ever after."
        )
        return chat(asked, story, system=system)
    if roll < 0.85:
        haikus = (
            "Snow falls on the hill\nA quiet bird leaves the tree\nThe morning is white\n\n"
            "Rain on the old roof\nThe river sings to the stones\nEvening comes slowly"
        )
        return chat("Write me 2 haikus. Only include the haikus.", haikus, system=system)
    poem = f"The {animal} sings, the {animal} plays,\nthe {animal} sleeps on sunny days."
    ask = v.pick(("Write a poem about a {}.", "Write a short poem about a {}."))
    return chat(ask.format(animal), poem, system=system)
