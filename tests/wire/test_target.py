"""Where a call goes, and what is shown of it."""

from __future__ import annotations

import pytest

from beastmode.core.errors import AuthenticationError, RefusedEndpointError
from beastmode.core.types import Message, Request
from beastmode.wire.target import Errand, target


@pytest.mark.parametrize(
    ("base_url", "called", "shown", "base", "address"),
    [
        ("http://h:1234/v1", "http://h:1234/v1/x", "http://h:1234/v1/x", "http://h:1234/v1", "h:1234"),
        ("http://h:1234/v1/", "http://h:1234/v1/x", "http://h:1234/v1/x", "http://h:1234/v1", "h:1234"),
        ("http://h", "http://h/x", "http://h:80/x", "http://h", "h:80"),
        ("https://h/v1", "https://h/v1/x", "https://h:443/v1/x", "https://h/v1", "h:443"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1/x", "http://[::1]:9/v1/x", "http://[::1]:9/v1", "[::1]:9"),
        ("https://h/v1?k=secret", "https://h/v1/x?k=secret", "https://h:443/v1/x", "https://h/v1", "h:443"),
        ("HTTP://H.Example/A%20b", "http://h.example/A%20b/x", "http://h.example:80/A%20b/x", None, "h.example:80"),
    ],
)
def test_a_path_is_appended_and_a_query_is_sent_but_not_shown(
    base_url: str, called: str, shown: str, base: str | None, address: str
) -> None:
    found = target(base_url, "/x")
    assert str(found.url) == called
    assert found.endpoint == shown
    assert base is None or found.base == base
    assert found.address == address


def test_a_query_of_ours_is_sent_where_the_base_url_has_none() -> None:
    assert str(target("http://h/v1", "/models", "limit=1000").url) == "http://h/v1/models?limit=1000"
    assert str(target("http://h/v1?a=b", "/models", "limit=1000").url) == "http://h/v1/models?a=b"


@pytest.mark.parametrize(
    "base_url",
    ["", "nonsense", "ftp://h/v1", "http://", "http://h:99999/v1", "/v1", "http://u:pass@h/v1", "http://u@h/v1"],
)
def test_what_is_no_url_to_call_is_refused_without_showing_it(base_url: str) -> None:
    with pytest.raises(RefusedEndpointError) as caught:
        target(base_url, "/x")
    assert caught.value.tips
    assert "pass" not in caught.value.message.replace("password", "")


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost", True),
        ("a.localhost", True),
        ("192.168.1.2", False),
        ("api.openai.com", False),
        ("localhost.example.com", False),
    ],
)
def test_this_machine_is_known_by_its_names(host: str, here: bool) -> None:
    assert target(f"http://{host}:1/v1", "/x").on_this_machine is here


def test_commands_name_the_model_and_keep_its_address() -> None:
    errand = Errand(target("http://h:1/v1", "/x"), "custom:qwen", "sk-secret", 5.0, "Some Protocol")
    assert errand.test_command == "beast models test custom:qwen"
    assert errand.add_command("--key-stdin") == "beast models add custom:qwen --base-url http://h:1/v1 --key-stdin"
    assert errand.add_command("--base-url", "URL") == "beast models add custom:qwen --base-url URL"
    assert "sk-secret" not in repr(errand)


def test_commands_of_a_call_without_a_model_say_so() -> None:
    errand = Errand(target("http://h:1/v1", "/x"), "", None, 5.0, "Some Protocol")
    assert errand.test_command == "beast models test MODEL"


@pytest.mark.parametrize("key", ["a\nb", "sk 17", "schlüssel", "tab\t", "nul\0"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    errand = Errand(target("http://h:1/v1", "/x"), "custom:qwen", key, 5.0, "Some Protocol")
    with pytest.raises(AuthenticationError) as caught:
        errand.header_key()
    assert key not in f"{caught.value} {caught.value.data()}"
    assert "--key-stdin" in caught.value.tips[0]


def test_the_texts_of_a_prompt_are_those_of_every_message() -> None:
    parts = [{"type": "text", "text": "b"}, {"type": "image_url"}, {"type": "text", "text": 5}]
    messages = [Message(role="system", content="a"), Message(role="user", content=parts), Message(role="assistant")]
    request = Request(model="m", messages=messages)
    errand = Errand(target("http://h:1/v1", "/x"), "m", None, 5.0, "Some Protocol", request)
    assert list(errand.prompt_texts()) == ["a", "b"]
