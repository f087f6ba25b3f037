"""llama.cpp through llama-cpp-python's low-level API: the only folder that touches `llama_cpp.llama_cpp`.

A wrong index, id, length or batch does not raise in llama.cpp: it ends the process. So everything is checked here
before it reaches C, and nothing of ctypes leaves this folder. It leaves to others when a model is loaded and shared
(weights), what is decoded next (scheduler), and how a token is chosen (sampling).

    library.py    importing the library, its log, what its build can do
    model.py      weights and their vocabulary
    context.py    a KV cache, batches, decoding
    samplers.py   samplers and grammars in C
"""
