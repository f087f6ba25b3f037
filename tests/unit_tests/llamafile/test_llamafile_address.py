"""Where a server is, as people write it."""

from __future__ import annotations

import pytest

from langchain_localmodels.engines.llamafile.address import base_url
from langchain_localmodels.errors import InvalidRequestError

MEANINGS = {
    None: "http://127.0.0.1:8080",
    "  ": "http://127.0.0.1:8080",
    "gpuserver": "http://gpuserver:8080",
    "gpuserver:9000": "http://gpuserver:9000",
    "0.0.0.0:9000": "http://127.0.0.1:9000",
    "http://[::]:9000": "http://[::1]:9000",
    "http://localhost": "http://localhost",
    "http://localhost:8080/": "http://localhost:8080",
    "http://localhost:1234/v1": "http://localhost:1234",
    "https://example.org/models/v1/": "https://example.org/models",
    "https://me:words@example.org": "https://me:words@example.org",
    "HTTP://Host:80": "http://host:80",
}


@pytest.mark.parametrize("address", MEANINGS, ids=repr)
def test_what_addresses_mean(address):
    assert base_url(address) == MEANINGS[address]


@pytest.mark.parametrize(
    "address", ["ftp://x", "http://", "http://x:port", "http://a b", "http://x?y=1", "http://[::1"]
)
def test_what_cannot_be_read_is_an_error(address):
    with pytest.raises(InvalidRequestError, match="base_url"):
        base_url(address)


def test_a_password_is_not_shown():
    with pytest.raises(InvalidRequestError) as caught:
        base_url("http://me:words@host:port")
    assert "words" not in str(caught.value)
