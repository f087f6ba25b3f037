"""GPT4All in this process: `ChatGPT4All` in `chat_models`, `GPT4All` in `llms`, `GPT4AllEmbeddings` in `embeddings`.

Needs `pip install 'langchain-localmodels[gpt4all]'`.
"""
