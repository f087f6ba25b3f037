"""Where a model file is: at a path, in a folder of models, or in GPT4All's catalogue."""

from __future__ import annotations

import os
from dataclasses import dataclass

from langchain_localmodels.errors import ModelFileNotFoundError
from langchain_localmodels.weights.file_errors import missing_file

_CATALOGUE_HINT = (
    "A name from GPT4All's catalogue is downloaded with allow_download=True, to %r. "
    "Any other file is given by its path."
)


def models_folder() -> str:
    """The folder that gpt4all keeps models in."""
    return os.path.join(os.path.expanduser("~"), ".cache", "gpt4all")


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """What the user said of where the model is.

    Attributes:
        model: A path, or a name.
        folder: The folder that a name is looked up in, and downloaded to; `None` for gpt4all's own.
        allow_download: Whether a name that is not there may be downloaded from GPT4All's catalogue.
    """

    model: str
    folder: str | None = None
    allow_download: bool = False

    def found(self) -> str | None:
        """The file, if it is there."""
        # A path is taken as it is, whatever the file is called; a name may lack its ending, as in gpt4all.
        places = [self.model]
        if self._is_name:
            folder = self.folder or models_folder()
            places += [os.path.join(folder, self.model), os.path.join(folder, f"{self.model}.gguf")]
        elif self.folder is not None and self.model:
            places += [os.path.join(self.folder, self.model)]
        return next((place for place in places if os.path.exists(place)), None)

    @property
    def may_come(self) -> bool:
        """Whether a file that is not there can be downloaded."""
        return self.allow_download and self._is_name

    def path(self) -> str:
        """The file, downloaded if it is not there and may be.

        Raises:
            ModelFileNotFoundError: It is not there.
        """
        path = self.found()
        if path is not None:
            return path
        if not self.may_come:
            raise self.missing()
        from langchain_localmodels.engines.gpt4all.binding.catalogue import download

        return download(self.model, self.folder or models_folder())

    def missing(self) -> ModelFileNotFoundError:
        """The error for a file that is not there."""
        error = missing_file(self.model)
        if not self._is_name:
            return error
        hint = _CATALOGUE_HINT % (self.folder or models_folder())
        is_near = error.hint is not None and error.hint.startswith("Did you mean")
        return ModelFileNotFoundError(error.message, hint=f"{error.hint} {hint}" if is_near else hint)

    @property
    def _is_name(self) -> bool:
        return bool(self.model) and not os.path.dirname(self.model) and not os.path.isabs(self.model)
