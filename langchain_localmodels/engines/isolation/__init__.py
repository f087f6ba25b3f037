"""Engines in a child process: `IsolatedEngine` in `engine`. What crashes there does not take this program with it."""
