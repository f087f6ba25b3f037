"""`Script`: the answers that a test has in store, which one comes next, and what was asked so far."""

from __future__ import annotations

import inspect
import pickle
import re
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_localmodels.engines.base import ChatRequest, CompletionRequest
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.testing.answers import Answer, Given, to_answer

Request: TypeAlias = ChatRequest | CompletionRequest
Matching: TypeAlias = Mapping["str | re.Pattern[str]", Given]
Answers: TypeAlias = "Sequence[Given] | Matching | Callable[[Any], Given] | Given"
"""A list of answers in order, a mapping from what is asked, a function of the request, or the one answer to all."""


class Script:
    """Answers in store. Copies are this same script: a model that LangChain has copied goes on where it was.

    Threads and tasks may ask at once; answers of a list are given in the order in which requests come.

    Args:
        answers: A list of answers, given in order; a function that gets the request and gives an answer; a dict whose
            keys are looked for in the last message; or a single answer, which is given each time.

    Raises:
        InvalidRequestError: If something among them is no answer.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers: Any = answers
        self._in_order: Sequence[Given] = answers if isinstance(answers, list | tuple) else ()
        self._choose = self._chooser(answers)
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._begin(uuid.uuid4().hex)

    def _begin(self, key: str) -> None:
        self.key = key
        """What tells this script from others, in caches."""
        _scripts[key] = self

    @staticmethod
    def of(answers: Any) -> Script:
        """Give the script of these answers, or the script itself.

        Raises:
            ValueError: If something among the answers is none; pydantic reports it at the field.
        """
        return answers if isinstance(answers, Script) else Script(answers)

    # --- what it knows ----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """What was asked, in order."""
        with self._lock:
            return list(self._requests)

    @property
    def unused(self) -> list[Given]:
        """Answers of a list that nobody has asked for yet."""
        with self._lock:
            return list(self._in_order[len(self._requests) :])

    def take(self, request: Request) -> tuple[int, Answer | BaseException]:
        """Note a request, and give its number, from 1, and the answer to it.

        Raises:
            InvalidRequestError: If there is no answer to it.
        """
        with self._lock:
            self._requests.append(request)
            number = len(self._requests)
        return number, to_answer(self._choose(request, number))

    # --- ways to choose ---------------------------------------------------------------------------------------------

    def _chooser(self, answers: Any) -> Callable[[Request, int], object]:
        if isinstance(answers, list | tuple):
            for answer in answers:
                to_answer(answer)
            return self._next
        if isinstance(answers, Mapping):
            for key, answer in answers.items():
                if not isinstance(key, str | re.Pattern):
                    raise InvalidRequestError(
                        f"{key!r} cannot be looked for in a message.",
                        hint="Keys are texts or compiled regular expressions; for data give a list, as in [{…}].",
                    )
                to_answer(answer)
            return self._matching
        if callable(answers) and not isinstance(answers, type):
            return self._call
        to_answer(answers)
        return lambda request, number: answers

    def _next(self, request: Request, number: int) -> object:
        count = len(self._in_order)
        if number > count:
            raise InvalidRequestError(
                f"The script has {count} answer{'' if count == 1 else 's'}, and this is request number {number}: "
                f"{_shown(request)}",
                hint="Give more answers, or a function that answers any request. `requests` of the model holds them.",
            )
        return self._in_order[number - 1]

    def _matching(self, request: Request, number: int) -> object:
        text = last_text(request)
        for key, answer in self._answers.items():
            if re.search(key, text) if isinstance(key, re.Pattern) else key in text:
                return answer
        raise InvalidRequestError(
            f"No answer of the script is for this: {_shown(request)}",
            hint=f"It answers what holds one of {[getattr(key, 'pattern', key) for key in self._answers]}.",
        )

    def _call(self, request: Request, number: int) -> object:
        found: object = self._answers(request)
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            raise InvalidRequestError(
                "The function that answers is asynchronous.",
                hint="Give an ordinary function; to hold an answer back, put a Gate in it.",
            )
        return found

    # --- copies -----------------------------------------------------------------------------------------------------

    def __copy__(self) -> Script:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Script:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            state = (self._answers, self._requests)
            try:
                dumped = pickle.dumps(state)
            except Exception:  # noqa: BLE001 - functions and gates say it in many ways; they matter elsewhere only
                dumped = None
        return _found_again, (self.key, dumped)

    def __repr__(self) -> str:
        if self._choose == self._next:
            return f"<Script: {len(self.unused)} of {len(self._in_order)} answers left>"
        return f"<Script: {type(self._answers).__name__}, {len(self._requests)} requests so far>"


_scripts: weakref.WeakValueDictionary[str, Script] = weakref.WeakValueDictionary()
"""The scripts of this process: one that comes back from a pickle is still the same."""


def _found_again(key: str, dumped: bytes | None) -> Script:
    found = _scripts.get(key)
    if found is not None:
        return found
    if dumped is None:
        raise InvalidRequestError(
            "A script with a function, a gate or anything else that cannot be pickled stays in its process.",
            hint="Give a function of a module, or a list of plain answers.",
        )
    answers, requests = pickle.loads(dumped)
    script = Script(answers)
    script._requests = requests
    del _scripts[script.key]
    script._begin(key)
    return script


def last_text(request: Request) -> str:
    """The text of the last turn, or the prompt."""
    if isinstance(request, CompletionRequest):
        return request.prompt
    return request.turns[-1].text if request.turns else ""


def _shown(request: Request) -> str:
    text = last_text(request)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
