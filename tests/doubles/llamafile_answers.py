"""What llamafile's servers of several ages answer, and what objects of langchain-community's `Llamafile` have set."""

from __future__ import annotations

from tests.doubles.scripted_http import Scripted, delta, sse

MODELS = (200, {"object": "list", "data": [{"id": "m"}]})
CHAT = "/v1/chat/completions"
OLD_PROPS = (200, {"default_generation_settings": {"n_ctx": 512}, "total_slots": 1})
NEW_PROPS = (
    200,
    {
        "default_generation_settings": {"n_ctx": 512},
        "build_info": "b6000-abc",
        "chat_template": "x",
        "chat_template_caps": {},
    },
)


def old_llamafile(**more):
    return Scripted(
        {
            "/props": OLD_PROPS,
            "/v1/models": MODELS,
            # No end mark, no counts.
            CHAT: (
                200,
                sse(delta("Hel"), delta("lo"), {"choices": [{"delta": {}, "finish_reason": "stop"}]}, done=False),
            ),
            **more,
        }
    )


COMMUNITYS = {
    "base_url": "http://localhost:8080",
    "request_timeout": 30,
    "streaming": False,
    "seed": -1,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "n_predict": -1,
    "n_keep": 0,
    "tfs_z": 1.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.1,
    "repeat_last_n": 64,
    "penalize_nl": True,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "name": "mine",
}
