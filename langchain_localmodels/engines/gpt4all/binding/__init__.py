"""The only modules that touch gpt4all and its C library.

`library` finds it, `model` runs a file, `vocabulary` turns text into tokens, and `catalogue` downloads. What is wrong
aborts the process there, without an exception: everything is checked before the library is asked.
"""
