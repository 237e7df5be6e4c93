"""What of an upstream's own words is shown: the message, without the key, on one short line."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.wire.quoting import MESSAGE_CHARACTERS, presentable, redact, said

KEY = 'sk-proj-Zq8"x/Y7<v+6-abcdef'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "bad model", "type": "x", "code": None}}, "bad model"),
        ({"error": "model not found, try pulling it first"}, "model not found, try pulling it first"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "Overloaded"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]}, "field required"),
        ({"object": "error", "message": "too long", "code": 400}, "too long"),
        ([{"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}], "API key not valid"),
        ({"errors": [{"message": "first"}, {"message": "second"}]}, "first"),
        ({}, ""),
        ([], ""),
        (None, ""),
        (42, "42"),
        ("just text", "just text"),
    ],
)
def test_the_message_is_found_in_every_usual_shape(body: object, message: str) -> None:
    assert said(json.dumps(body).encode(), None).message == message


def test_the_code_and_the_type_are_found() -> None:
    body = {"error": {"message": "x", "type": "invalid_request_error", "code": "Context_Length_Exceeded"}}
    assert said(json.dumps(body).encode(), None).code == "context_length_exceeded invalid_request_error"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"upstream connect error", "upstream connect error"),
        (b"<html><head><title>502 Bad\n Gateway</title></head><body>...</body></html>", "502 Bad Gateway"),
        (b"\xff\xfe bytes", "\ufffd\ufffd bytes"),
        (b"[" * 100_000, "[" * 299 + "…"),
        (b"", ""),
    ],
)
def test_what_is_not_json_is_shown_as_it_is(body: bytes, message: str) -> None:
    assert said(body, None).message == message


def test_control_characters_and_line_ends_become_blanks() -> None:
    assert presentable("a\r\nb\x1b[31mred\u202e\x00end\t\t.", None) == "a b [31mred end ."


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=2000))
def test_whatever_comes_is_one_short_printable_line(text: str) -> None:
    shown = presentable(text, KEY)
    assert shown.isprintable()
    assert len(shown) <= MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY.upper(),
        quote(KEY, safe=""),
        json.dumps(KEY),
        html.escape(KEY),
        base64.b64encode(KEY.encode()).decode(),
        KEY[:12],
        KEY[-9:],
        f"Bearer {KEY}",
    ],
)
def test_no_form_of_the_key_is_shown(form: str) -> None:
    shown = redact(f"Incorrect API key provided: {form}. Look at your keys.", KEY)
    assert "[key]" in shown
    assert not any(form[i : i + 8] in shown for i in range(len(form) - 7) if form[i : i + 8].lower() in KEY.lower())
    assert "Incorrect API key provided" in shown


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=60), st.text(max_size=200))
def test_no_eight_characters_of_any_key_come_through(key: str, around: str) -> None:
    shown = redact(f"{around}{key}{around}", key).replace("[key]", "\0")
    assert not any(key[i : i + 8].lower() in shown.lower() for i in range(len(key) - 7))


def test_a_key_cut_by_the_bound_is_hidden_too() -> None:
    shown = presentable("x" * (MESSAGE_CHARACTERS - 10) + " " + KEY, KEY)
    assert KEY[:8] not in shown


def test_a_short_key_is_hidden_where_it_stands_alone() -> None:
    assert redact("key k3y refused, monk3ys not", "k3y") == "key [key] refused, monk3ys not"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc123def456ghi",
        "your key sk-ant-api03-AAAAbbbb1111cccc2222 is revoked",
        "use gsk_0123456789abcdefghij instead",
    ],
)
def test_what_looks_like_another_key_is_hidden(text: str) -> None:
    shown = redact(text, None)
    assert "[key]" in shown
    assert "1" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-abcd***wxyz.",
        "request id req_011CSHoEeqs5C35K2UUqR7Fy",
        "bearer authentication is required",
        "İstanbul: " + "x" * 20,
    ],
)
def test_other_words_stay(text: str) -> None:
    assert redact(text, KEY) == text


PROMPT = "Dear doctor,\nI am Wilhelmina Sacher and I would like to know my results of last week."


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"Bad content: {PROMPT!r}!", "Bad content: 'Dear doctor,\\n[prompt]'!"),
        ("Bad content: I am Wilhelmina Sacher and I would", "Bad content:[prompt]"),
        (f"{PROMPT} - refused", "[prompt] - refused"),
        ("Your prompt was refused by the content policy.", "Your prompt was refused by the content policy."),
    ],
)
def test_what_the_upstream_repeats_of_the_prompt_is_hidden(message: str, shown: str) -> None:
    assert presentable(message, None, [PROMPT]) == shown


@pytest.mark.parametrize(("sent", "shown"), [("hi", "no hi here"), ("no hi here", "[prompt]"), ("", "no hi here")])
def test_a_short_prompt_is_hidden_where_it_can_be_told_from_other_words(sent: str, shown: str) -> None:
    assert presentable("no hi here", None, [sent]) == shown


@settings(deadline=None, max_examples=100)
@given(st.text(min_size=24, max_size=200), st.text(max_size=50))
def test_no_twenty_four_characters_of_any_prompt_come_through(prompt: str, around: str) -> None:
    line = " ".join("".join(char if char.isprintable() else " " for char in prompt).split())
    shown = presentable(f"{around} {prompt} {around}", None, [line])
    assert len(shown) <= MESSAGE_CHARACTERS
    parts = [shown[i : i + 24] for i in range(len(shown) - 23)]
    assert not any(part in line for part in parts if "[" not in part)


def test_phrases_are_looked_for_where_nothing_of_the_prompt_is_hidden() -> None:
    words = said(
        b'{"error": {"message": "prompt is too long, my friend", "type": "T"}}', None, ["prompt is too long, my"]
    )
    assert words.message == "[prompt] friend"
    assert words.searched == "t prompt is too long, my friend"
