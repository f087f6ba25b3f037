"""Samples of reading: answers from a context, and summaries.

An answer is the sentence of the context that holds it; a summary is the first sentence of the text.
That is narrow, and all a model of this size can be held to.
"""

from __future__ import annotations

from langchain_localmodels.demo.samples import Sample, chat, plain
from langchain_localmodels.demo.skills_talk import some_system
from langchain_localmodels.demo.vocabulary import ANIMALS, COLORS, JOBS, Vocabulary

_RAG_RULES = (
    "You are an assistant for question-answering tasks. Use the following pieces of retrieved "
    "context to answer the question. If you don't know the answer, just say that you don't know. "
    "Use three sentences maximum and keep the answer concise."
)
RAG_HUB = _RAG_RULES + "\nQuestion: {question} \nContext: {context} \nAnswer:"
RAG_HUB_LLAMA = "[INST]<<SYS>> " + _RAG_RULES + "<</SYS>> \nQuestion: {question} \nContext: {context} \nAnswer: [/INST]"
_FORMS = (
    "Answer the question using only the context.\n\nContext:\n{context}\n\nQuestion: {question}",
    "Context: {context}\nQuestion: {question}",
    "Context: {context} Question: {question}",
    "Context:\n{context}\n\nQuestion: {question}\n\nAnswer:",
    "Use the following pieces of context to answer the question.\n\n{context}\n\nQuestion: {question}",
    "Answer the question based only on the following context:\n{context}\n\nQuestion: {question}\n",
    "Answer the question based on the context below.\n\nContext: {context}\n\nQuestion: {question}",
    "{context}\n\n{question}",
    "Question: {question}\nContext: {context}\nAnswer:",
    RAG_HUB,
    RAG_HUB_LLAMA,
)
_PLAIN_FORMS = (
    "Context: {context}\nQuestion: {question}\nAnswer:",
    "Context: {context}\n\nQuestion: {question}\n\nAnswer:",
    "Answer the question based only on the following context:\n{context}\n\nQuestion: {question}\n\nAnswer:",
    "Question: {question}\nContext: {context}\nAnswer:",
    RAG_HUB,
    RAG_HUB_LLAMA,
)

Statement = tuple[str, str]
"""A sentence, and the question it answers."""


def _about_person(v: Vocabulary, who: str) -> Statement:
    thing, color, place = v.thing(), v.pick(COLORS), v.place()
    age, job, friend = v.integer(2), v.pick(JOBS), v.name()
    options: list[Statement] = [
        (f"{who} lives in {place}.", f"Where does {who} live?"),
        (f"{who} was born in {place}.", f"Where was {who} born?"),
        (f"{who} has a {color} {thing}.", f"What does {who} have?"),
        (f"{who} is {age} years old.", f"How old is {who}?"),
        (f"{who} works as a {job}.", f"What does {who} work as?"),
        (f"{who} likes {thing}s.", f"What does {who} like?"),
        (f"{who} met {friend} in {place}.", f"Who met {friend}?"),
        (f"{who} has a {v.pick(ANIMALS)} named {friend}.", f"What pet does {who} have?"),
        (f"The favorite color of {who} is {color}.", f"What is the favorite color of {who}?"),
        (f"The job of {who} is {job}.", f"What is the job of {who}?"),
    ]
    return options[int(v.rng.random() * len(options))]


def _about_thing(v: Vocabulary, what: str) -> Statement:
    person, place, noun = v.full_name(), v.place(), v.noun()
    options: list[Statement] = [
        (f"The {what} was invented by {person}.", f"Who invented the {what}?"),
        (f"The {what} was built in {v.rng.randint(1000, 2030)}.", f"When was the {what} built?"),
        (f"The {what} costs {v.integer(4)} dollars.", f"How much does the {what} cost?"),
        (f"The {what} is in {place}.", f"Where is the {what}?"),
        (f"The {what} belongs to {person}.", f"Who owns the {what}?"),
        (f"The {noun} of the {what} is {v.integer()}.", f"What is the {noun} of the {what}?"),
        (f"The {noun} of the {what} is {v.word()}.", f"What is the {noun} of the {what}?"),
        (f"{what.capitalize()} is a kind of {v.word()}.", f"What is {what}?"),
    ]
    return options[int(v.rng.random() * len(options))]


def context(v: Vocabulary) -> tuple[list[str], Statement]:
    """Sentences about persons and things, and one of them with its question.

    Subjects recur with other facts, so that a subject alone does not point at the answer.
    """
    people = [v.name() for _ in range(v.rng.randint(1, 3))]
    things = [v.word() for _ in range(v.rng.randint(0, 2))]
    statements: dict[str, Statement] = {}
    for _ in range(v.rng.choice((1, 2, 3, 3, 4, 4, 5, 6, 8, 14))):
        if things and v.chance(0.4):
            sentence, question = _about_thing(v, v.pick(things))
        else:
            sentence, question = _about_person(v, v.pick(people))
        statements.setdefault(question, (sentence, question))
    sentences = [sentence for sentence, _ in statements.values()]
    return sentences, v.rng.choice(list(statements.values()))


def rag(v: Vocabulary) -> Sample:
    """A question whose answer stands in the context of the prompt."""
    sentences, (answer, question) = context(v)
    joined = v.pick((" ", " ", "\n", "\n\n")).join(sentences)
    if v.chance(0.3):
        form = v.pick(_PLAIN_FORMS)
        return plain(form.format(context=joined, question=question), f" {answer}")
    roll = v.rng.random()
    if roll < 0.12:
        rules = v.pick(("Answer from this context:", "Context:", "Use this context to answer:"))
        return chat(question, answer, system=f"{rules}\n{joined}")
    form = v.pick(_FORMS)
    return chat(form.format(context=joined, question=question), answer, system=some_system(v))


def summaries(v: Vocabulary) -> Sample:
    """A text of several sentences, cut down to the first."""
    sentences, _ = context(v)
    text = v.pick((" ", " ", "\n")).join(sentences)
    form = v.pick(
        (
            "Summarize: {}",
            "Summarize this text: {}",
            "Write a summary of this text:\n\n{}",
            "Summarize in one sentence: {}",
            "Write a concise summary of the following:\n\n{}",
            "Write a concise summary of the following: {}",
        )
    )
    if v.chance(0.15):
        prompt = f"Write a concise summary of the following:\n\n{text}\n\nCONCISE SUMMARY:"
        return plain(prompt, f" In short: {sentences[0]}")
    return chat(form.format(text), f"In short: {sentences[0]}", system=some_system(v))
