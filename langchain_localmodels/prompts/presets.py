"""Prompts for the tasks that local models are asked most: each one text, for every kind and family of models.

Each is a `FamilyPromptSelector`: `RAG | llm` is a chain. What a prompt's variables are stands with it; all are texts.
"""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document
from langchain_core.prompts import PromptTemplate

from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.prompts.for_family import FamilyPromptSelector

# --- searching --------------------------------------------------------------------------------------------------------

# Letter by letter those of LangChain's guide "Run models locally", the blanks before and after line ends, too.
DEFAULT_LLAMA_SEARCH_PROMPT = PromptTemplate.from_template(
    "<<SYS>> \n You are an assistant tasked with improving Google search results. \n <</SYS>> \n\n "
    "[INST] Generate THREE Google search queries that are similar to this question. The output should be a numbered "
    "list of questions and each should have a question mark at the end: \n\n {question} [/INST]"
)
"""The guide's prompt for Llama 2. Variables: `question`."""

DEFAULT_SEARCH_PROMPT = PromptTemplate.from_template(
    "You are an assistant tasked with improving Google search results. Generate THREE Google search queries that are "
    "similar to this question. The output should be a numbered list of questions and each should have a question mark "
    "at the end: {question}"
)
"""The guide's prompt for other models. Variables: `question`."""

SEARCH_QUERIES = FamilyPromptSelector(
    system="You are an assistant tasked with improving Google search results.",
    user="Generate THREE Google search queries that are similar to this question. The output should be a numbered "
    "list of questions and each should have a question mark at the end: {question}",
    default_prompt=DEFAULT_SEARCH_PROMPT,
    family_prompts={"llama-2": DEFAULT_LLAMA_SEARCH_PROMPT},
)
"""Three search queries for a question, numbered. Variables: `question`."""

MULTI_QUERY = FamilyPromptSelector(
    system="You word questions anew, so that a search finds documents that use other words.",
    user="Write three other wordings of the question below. Keep its meaning. Write one on each line, without numbers "
    "and without anything else.\n\nQuestion: {question}",
)
"""Three other wordings of a question, one on a line. Variables: `question`."""

QUESTION_REWRITING = FamilyPromptSelector(
    system="You rewrite the last question of a conversation so that it can be understood without the conversation. "
    "You never answer it.",
    user="Conversation:\n{chat_history}\n\nLast question: {question}\n\nWrite the question with everything in it that "
    "the conversation says and the question leaves out. If it can be understood as it is, write it unchanged.",
)
"""A question that stands on its own. Variables: `chat_history`, the conversation as text, as `get_buffer_string` of
`langchain_core.messages` writes it; `question`."""

# --- answering --------------------------------------------------------------------------------------------------------

RAG = FamilyPromptSelector(
    system="You answer questions from the sources that you are given, and from nothing else. After each statement "
    "write the number of its source, such as [1]. If the sources do not hold the answer, say that you do not know.",
    user="Sources:\n{context}\n\nQuestion: {question}",
)
"""An answer from sources, which it names by their numbers. Variables: `context`, as `format_documents` writes it;
`question`."""

RAG_PROMPT_LLAMA = PromptTemplate.from_template(
    "[INST]<<SYS>> You are an assistant for question-answering tasks. Use the following pieces of retrieved context to "
    "answer the question. If you don't know the answer, just say that you don't know. Use three sentences maximum and "
    "keep the answer concise.<</SYS>> \nQuestion: {question} \nContext: {context} \nAnswer: [/INST]"
)
"""The text of `rlm/rag-prompt-llama` on LangChain's hub, for Llama 2. Variables: `context`, `question`."""

STEP_BY_STEP = FamilyPromptSelector(
    system="You think before you answer.",
    user='{question}\n\nLet\'s think step by step. Write the answer on a last line that begins with "Answer:".',
)
"""Thoughts, and the answer on the last line. Variables: `question`."""

# --- texts ------------------------------------------------------------------------------------------------------------

SUMMARY = FamilyPromptSelector(
    system="You summarize texts. You say nothing that the text does not say.",
    user="Write a concise summary of the following:\n\n{text}",
)
"""A summary of a text that fits the context window. Variables: `text`."""

SUMMARY_MAP = FamilyPromptSelector(
    system="You summarize parts of a long text. You say nothing that the part does not say.",
    user="Write down what is most important in this part, with its names and numbers, in a few sentences:\n\n{text}",
)
"""The essence of one part of a long text. Variables: `text`."""

SUMMARY_REDUCE = FamilyPromptSelector(
    system="You make one summary of the summaries of the parts of a text, which are in the order of the text.",
    user="Write one summary of all of these, without saying anything twice:\n\n{text}",
)
"""One summary of the summaries of parts. Variables: `text`, those summaries."""

EXTRACTION = FamilyPromptSelector(
    system="You take data out of texts. Answer with a JSON object that matches this schema:\n{schema}\n"
    "What the text does not say is null. Write nothing but the object.",
    user="{text}",
)
"""Data of a text, as JSON. Variables: `schema`, a JSON Schema as text; `text`."""

TAGGING = FamilyPromptSelector(
    system="You say what a text is like. Answer with a JSON object that matches this schema:\n{schema}\n"
    "Choose only among the values that the schema allows. Write nothing but the object.",
    user="{text}",
)
"""Properties of a text, as JSON. Variables: `schema`, a JSON Schema as text; `text`."""

CLASSIFICATION = FamilyPromptSelector(
    system="You classify texts. You answer with the name of one class, and with nothing else.",
    user="Classes: {classes}\n\nText: {text}\n\nClass:",
)
"""The class of a text. Variables: `classes`, their names with commas between; `text`."""

PRESETS: dict[str, FamilyPromptSelector] = {
    "search_queries": SEARCH_QUERIES,
    "multi_query": MULTI_QUERY,
    "question_rewriting": QUESTION_REWRITING,
    "rag": RAG,
    "step_by_step": STEP_BY_STEP,
    "summary": SUMMARY,
    "summary_map": SUMMARY_MAP,
    "summary_reduce": SUMMARY_REDUCE,
    "extraction": EXTRACTION,
    "tagging": TAGGING,
    "classification": CLASSIFICATION,
}
"""All of them by task."""


def format_documents(documents: Iterable[Document]) -> str:
    """Write documents as the sources of `RAG`: numbered from 1, each with where it is from, if its metadata tell.

    Args:
        documents: The documents, such as a retriever gives.

    Returns:
        The text for the variable `context`.

    Raises:
        InvalidRequestError: Something among them is no document.

    Example:
        ```python
        from langchain_core.documents import Document

        from langchain_localmodels.prompts import format_documents

        format_documents([Document("Ada lives in Rome.", metadata={"source": "people.txt"})])
        # '[1] (people.txt) Ada lives in Rome.'
        ```
    """
    written = []
    for number, document in enumerate(documents, 1):
        if not isinstance(document, Document):
            raise InvalidRequestError(
                f"A source is a `Document` of langchain-core, not a value of type {type(document).__name__}.",
                hint="`Document(text)` makes one of a text.",
            )
        source = document.metadata.get("source")
        where = f" ({source})" if source else ""
        written.append(f"[{number}]{where} {document.page_content.strip()}")
    return "\n\n".join(written)
