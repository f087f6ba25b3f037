"""The demo models that ship inside the package, and the scripts that made them.

`model_path` and `embedding_model_path` are the paths of two GGUF files of a few megabytes: enough to try
every class of the package offline, and what its tests run on. Importing this module loads nothing else;
`train.py`, `evaluate.py` and their neighbours are run as scripts.
"""

import os

__all__ = ["embedding_model_path", "model_path"]

_FOLDER = os.path.dirname(os.path.abspath(__file__))

model_path: str = os.path.join(_FOLDER, "demo-chat.gguf")
"""Path of the demo model, a string that every `model_path` or `model` argument takes."""

embedding_model_path: str = os.path.join(_FOLDER, "demo-embed.gguf")
"""Path of the demo embedding model, for the classes that embed."""
