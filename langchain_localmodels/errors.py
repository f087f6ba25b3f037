"""Every error this package raises on purpose, in one tree.

```
LocalModelError                       ModelError
├── EngineNotInstalledError           + ImportError
├── ModelFileError                    + ModelInvalidRequestError
│   └── ModelFileNotFoundError        + ModelNotFoundError, FileNotFoundError
├── InvalidRequestError               + ModelInvalidRequestError, ValueError
│   ├── UnsupportedContentError
│   ├── UnsupportedFeatureError       + NotImplementedError
│   └── ChatTemplateError
├── PromptTooLongError                + ContextOverflowError, ValueError
├── ModelMissingError                 + ModelNotFoundError
├── AuthenticationError               + ModelAuthenticationError
├── PermissionDeniedError             + ModelPermissionDeniedError
├── RateLimitError                    + ModelRateLimitError
├── StructuredOutputError             + OutputParserException
├── EngineUnreachableError            + ModelConnectionError, ConnectionError
├── EngineTimeoutError                + ModelTimeoutError, TimeoutError
└── EngineError                       + ModelAPIError
    ├── EngineClosedError
    └── EngineCrashedError
```

The right-hand column names the classes of `langchain_core.exceptions` and of Python that an error also is, so that
code which knows neither this package nor its engines (retry middleware, summarization middleware, `except
FileNotFoundError`) does the right thing. This module imports nothing else of the package.
"""

from __future__ import annotations

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
    OutputParserException,
)


class LocalModelError(ModelError):
    """Base of all errors of this package.

    Args:
        message: What is wrong, in one sentence.
        hint: What the user can do about it; appended to the message.
        response: The HTTP response that told of the failure, where there is one. LangChain's tracing reads it.
    """

    def __init__(self, message: str, *, hint: str | None = None, response: object | None = None) -> None:
        super().__init__(f"{message}\nHint: {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.response = response

    def __reduce__(self) -> tuple[object, ...]:
        # The default rebuilds from `args` alone, which would append the hint a second time or lose it.
        state = {k: v for k, v in self.__dict__.items() if k != "response"}
        return (_rebuild, (type(self), self.args, state))

    def __str__(self) -> str:
        # OSError and ImportError format themselves from fields that are not filled here.
        return str(self.args[0]) if self.args else ""


def _rebuild(cls: type[LocalModelError], args: tuple[object, ...], state: dict[str, object]) -> LocalModelError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update({"response": None, **state})
    return error


class EngineNotInstalledError(LocalModelError, ImportError):
    """The engine's Python package, or the program that is to serve a file, is missing; the hint says what brings it."""


class ModelFileError(LocalModelError, ModelInvalidRequestError):
    """The model file cannot be used: not GGUF, old GGML, truncated, or of an unknown kind."""


class ModelFileNotFoundError(ModelFileError, ModelNotFoundError, FileNotFoundError):
    """There is no file at the path given."""


class InvalidRequestError(LocalModelError, ModelInvalidRequestError, ValueError):
    """A request cannot be served as it was put: a parameter out of range, an empty prompt, a bad grammar."""


class UnsupportedContentError(InvalidRequestError):
    """A message holds content (an image, audio, a file) that this engine or model does not take."""


class UnsupportedFeatureError(InvalidRequestError, NotImplementedError):
    """The engine or model cannot do what was asked for."""


class ChatTemplateError(InvalidRequestError):
    """The chat template is missing, does not parse, raised, or tried to leave its sandbox."""


class PromptTooLongError(LocalModelError, ContextOverflowError, ValueError):
    """The prompt leaves no room in the context window for even one new token.

    Args:
        message: What is wrong.
        prompt_tokens: Length of the prompt in tokens.
        context_window: Size of the context window in tokens.
        hint: What the user can do.
    """

    def __init__(
        self,
        message: str,
        *,
        prompt_tokens: int | None = None,
        context_window: int | None = None,
        hint: str | None = None,
        response: object | None = None,
    ) -> None:
        super().__init__(message, hint=hint, response=response)
        self.prompt_tokens = prompt_tokens
        self.context_window = context_window


class ModelMissingError(LocalModelError, ModelNotFoundError):
    """A server does not have the model that was asked for."""


class AuthenticationError(LocalModelError, ModelAuthenticationError):
    """A server, or a proxy before it, wants credentials, or other ones than it was given."""


class PermissionDeniedError(LocalModelError, ModelPermissionDeniedError):
    """A server does not allow the request: to these credentials, from this address, or to this host name."""


class RateLimitError(LocalModelError, ModelRateLimitError):
    """A server has been asked too often; what it says of the time to wait is in the hint."""


class StructuredOutputError(LocalModelError, OutputParserException):
    """An answer is not what was asked for by a schema: cut off, empty, no JSON, or JSON that does not fit.

    `is_retryable` is true unless the answer was cut off, which would happen again.

    Args:
        message: What is wrong, with the names of the fields that are.
        llm_output: What the model wrote.
        finish_reason: Why the answer ended.
        raw: The whole answer, an `AIMessage`.
        failures: What was wrong with the answers of earlier tries, where the model was asked to repair them.
        hint: What the user can do.
    """

    def __init__(
        self,
        message: str,
        *,
        llm_output: str | None = None,
        finish_reason: str | None = None,
        raw: object | None = None,
        failures: tuple[str, ...] = (),
        hint: str | None = None,
        response: object | None = None,
    ) -> None:
        super().__init__(message, hint=hint, response=response)
        # Core's class appends a link to general advice, where the hint says what to do.
        self.args = (f"{message}\nHint: {hint}" if hint else message,)
        self.observation = message
        self.llm_output = llm_output
        self.finish_reason = finish_reason
        self.raw = raw
        self.failures = failures
        self.is_retryable = finish_reason != "length"


class EngineUnreachableError(LocalModelError, ModelConnectionError, ConnectionError):
    """A server cannot be reached, or the connection broke off before the answer was whole."""


class EngineTimeoutError(LocalModelError, ModelTimeoutError, TimeoutError):
    """The engine gave no sign of life within `timeout` seconds."""


class EngineError(LocalModelError, ModelAPIError):
    """The engine failed while it worked on a request."""


class EngineClosedError(EngineError):
    """The engine was closed while the request was running."""


class EngineCrashedError(EngineError):
    """The process that the engine ran in (see `isolate`) ended while it was needed.

    Args:
        message: What is wrong, with the last that the process wrote.
        exit_code: Its exit code; negative for the signal that ended it.
        hint: What the user can do.
    """

    def __init__(
        self, message: str, *, exit_code: int | None = None, hint: str | None = None, response: object | None = None
    ) -> None:
        super().__init__(message, hint=hint, response=response)
        self.exit_code = exit_code
