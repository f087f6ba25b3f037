"""Models on a server: llamafile, llama.cpp's `llama-server`, and others that speak OpenAI's protocol."""
