"""llama.cpp in this process: `ChatLlamaCpp` in `chat_models`, `LlamaCpp` in `llms`.

Needs `pip install 'langchain-localmodels[llamacpp]'`.
"""
