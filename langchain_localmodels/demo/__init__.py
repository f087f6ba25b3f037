"""The demo model that ships inside the package, and the scripts that made it.

`model_path` is the path of a GGUF file of a few megabytes: enough to try every class of the package
offline, and what its tests run on. Importing this module loads nothing else; `train.py`,
`evaluate.py` and their neighbours are run as scripts.
"""

import os

__all__ = ["model_path"]

model_path: str = os.path.join(os.path.dirname(os.path.abspath(__file__)), "demo-chat.gguf")
"""Path of the demo model, a string that every `model_path` or `model` argument takes."""
