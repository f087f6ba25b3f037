"""GPT4All's catalogue of models: downloads by name, by gpt4all's own code, which shows how far it is on stderr."""

from __future__ import annotations

import os

from langchain_localmodels.engines.gpt4all.binding.library import lib
from langchain_localmodels.errors import EngineUnreachableError, ModelFileError, ModelMissingError

__all__ = ["download"]

_ITS_PAGE = "The names are those of https://gpt4all.io/models/models3.json; a file of yours is given by its path."


def download(name: str, folder: str) -> str:
    """Download a model.

    Args:
        name: Its name in the catalogue, with or without the ending `.gguf`.
        folder: Where to put it; made if it is not there.

    Returns:
        The path of the file.

    Raises:
        ModelMissingError: The catalogue has no such model.
        EngineUnreachableError: The catalogue, or what it names, cannot be reached.
        ModelFileError: What was downloaded is not what the catalogue promises, or cannot be written.
    """
    from gpt4all import GPT4All

    assert lib  # the library itself is needed later: its absence is told before anything is downloaded
    try:
        os.makedirs(folder, exist_ok=True)
        config = GPT4All.retrieve_model(name, model_path=folder, allow_download=True)
    except OSError as error:
        if type(error).__module__.partition(".")[0] != "requests":
            raise ModelFileError(f"The model {name!r} cannot be written: {error}") from error
        raise EngineUnreachableError(
            f"The model {name!r} cannot be downloaded: {error}",
            hint="Look at the network, or give the path of a file that is there.",
        ) from error
    except ValueError as error:
        if str(error).startswith("Expected"):
            raise ModelFileError(f"What came for the model {name!r} is damaged: {error}", hint="Try again.") from error
        raise ModelMissingError(f"The model {name!r} cannot be downloaded: {error}", hint=_ITS_PAGE) from error
    except RuntimeError as error:
        raise EngineUnreachableError(f"The model {name!r} cannot be downloaded: {error}", hint="Try again.") from error
    return str(config["path"])
