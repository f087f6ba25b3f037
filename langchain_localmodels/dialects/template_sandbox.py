"""Jinja as Hugging Face's transformers sets it up for chat templates, for templates that come from strangers.

Owns the sandbox: which functions a template finds, and how much time, memory and output it may use. Nothing else of the
package imports jinja2, and `templates.py` imports this module only once a template is at hand.
"""

from __future__ import annotations

import datetime
import functools
import json
import operator as op
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.environment import Environment, Template
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_STEPS = 300_000
"""Turns of loops and calls of macros in one rendering."""
MAX_SECONDS = 10.0
MAX_CHARS = 1 << 25
"""Length of the output, and of any text or list that a template builds on the way."""
_MAX_WIDTH = 10_000
_PADDING = ("center", "ljust", "rjust", "zfill", "expandtabs", "indent", "batch", "slice")
# A width of five digits or more, or one that is not in the layout itself.
_WIDE_LAYOUT = re.compile(
    r"%[-+ #0]*(?:\([^)]*\))?[-+ #0]*(?:\*|\d{5})|%[^%]{0,20}\.(?:\*|\d{5})|\{[^{}]*:[^{}]*(?:\d{5}|\{)"
)


class TemplateRefusal(Exception):
    """The template called `raise_exception`."""


class TemplateRunaway(Exception):
    """The template used more than it may."""


class _Budget(threading.local):
    steps = 0
    deadline = 0.0

    def renew(self) -> None:
        self.steps = MAX_STEPS
        self.deadline = time.monotonic() + MAX_SECONDS


_budget = _Budget()


def compile_template(source: str) -> Template:
    """Compile a chat template. Raises what jinja2 raises."""
    return _Sandbox().from_string(source)


def render_template(template: Template, variables: Mapping[str, Any]) -> str:
    """Render a compiled template within its limits.

    Raises:
        TemplateRefusal: The template itself refused.
        TemplateRunaway: It used more time or memory than it may.
        Exception: Whatever else code of a stranger raises.
    """
    _budget.renew()
    pieces: list[str] = []
    length = 0
    for piece in template.generate(**variables):
        length += len(piece)
        _check_length(length)
        pieces.append(piece)
    return "".join(pieces)


class _Limits(Extension):
    """Counts the turns of loops and the calls of macros, and checks what `~` builds."""

    def step(self) -> str:
        _budget.steps -= 1
        if _budget.steps < 0 or (_budget.steps % 256 == 0 and time.monotonic() > _budget.deadline):
            raise TemplateRunaway("it loops without end")
        return ""

    def join(self, *values: object) -> str:
        return _bounded_join(str(value) for value in values)


class _Instrument(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:
        return self._counted(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._counted(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        return self._counted(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Node:
        return self._counted(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _limit_call("join", node.nodes, node.lineno)

    def _counted(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_limit_call("step", [], node.lineno), lineno=node.lineno))
        return node  # type: ignore[no-any-return]


def _limit_call(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    attribute = nodes.ExtensionAttribute(_Limits.identifier, name, lineno=line)
    return nodes.Call(attribute, arguments, [], None, None, lineno=line)


class _GenerationTag(Extension):
    """`{% generation %}` marks the assistant's tokens for training; here its body is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    # Intercepted operators are also not folded while compiling, where no budget holds.
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationTag, _Limits])
        self.concat = _bounded_join  # type: ignore[method-assign]
        self.filters["tojson"] = _tojson
        for name, function in list(self.filters.items()):
            self.filters[name] = _guarded(name, function)
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        _Instrument().visit(source)
        return super()._generate(source, name, filename, defer_init)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for sized, times in ((left, right), (right, left)):
                if isinstance(sized, str | bytes | list | tuple) and isinstance(times, int):
                    _check_length(len(sized) * times)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_length(left.bit_length() * abs(right) * 256)
        elif operator == "%" and isinstance(left, str):
            _check_layout(left)
        return _checked(_BINOPS[operator](left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        layout: str = value.__self__

        def format_checked(*args: Any, **kwargs: Any) -> str:
            _check_layout(layout)
            return wrapped(*args, **kwargs)

        return format_checked

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(owner := getattr(__obj, "__self__", None), str):
            _check_text_method(getattr(__obj, "__name__", ""), owner, args)
        return _checked(super().call(__context, __obj, *args, **kwargs))


_BINOPS: dict[str, Callable[[Any, Any], Any]] = {"+": op.add, "*": op.mul, "**": op.pow, "%": op.mod}


def _raise_exception(message: object) -> NoReturn:
    raise TemplateRefusal(str(message))


def _strftime_now(layout: str) -> str:
    return datetime.datetime.now().strftime(layout)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Unlike Jinja's own, it does not escape for HTML. What `map` and its like give is a list in llama.cpp.
    listed = list(value) if isinstance(value, Iterator) else value
    return json.dumps(listed, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _bounded_join(pieces: Iterable[str]) -> str:
    kept: list[str] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        _check_length(length)
        kept.append(piece)
    return "".join(kept)


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        # Some filters are handed Jinja's own state before the value.
        first = next(
            (index for index, value in enumerate(args) if not isinstance(value, EvalContext | Environment | Context)), 0
        )
        _check_text_method(name, args[first], (*args[first + 1 :], *kwargs.values()))
        return _checked(function(*args, **kwargs))

    return guarded


def _check_text_method(name: str, text: object, args: tuple[Any, ...]) -> None:
    """Refuse what would make gigabytes of a short text."""
    if name in _PADDING and any(isinstance(value, int) and value > _MAX_WIDTH for value in args):
        raise TemplateRunaway(f"it asks for {name} with {args!r}")
    if name in ("format", "format_map") and isinstance(text, str):
        _check_layout(text)
    if name == "join" and args and isinstance(text, Sized) and isinstance(args[0], Sized):
        _check_length(len(text) * len(args[0]))
    if name == "replace" and len(args) > 1 and isinstance(text, str) and isinstance(args[0], str):
        _check_length(text.count(args[0]) * len(str(args[1])))


def _check_layout(layout: str) -> None:
    if _WIDE_LAYOUT.search(layout):
        raise TemplateRunaway(f"it asks for the format {layout[:100]!r}")


def _check_length(length: int) -> None:
    if length > MAX_CHARS:
        raise TemplateRunaway(f"it builds more than {MAX_CHARS} characters")


def _checked(value: Any) -> Any:
    if isinstance(value, str | bytes | list | tuple):
        _check_length(len(value))
    return value


__all__ = ["SecurityError", "TemplateRefusal", "TemplateRunaway", "compile_template", "render_template"]
