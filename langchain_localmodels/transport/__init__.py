"""How bytes travel to and from servers: HTTP and the framings of streams. Knows no engine and no LangChain."""
