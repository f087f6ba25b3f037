"""Models on an Ollama server: `ChatOllama` in `chat_models`, `OllamaLLM` in `llms`."""
