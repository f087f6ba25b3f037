"""What models read and write: messages, chat templates, tool calls, reasoning. Pure: no I/O, no engine."""
