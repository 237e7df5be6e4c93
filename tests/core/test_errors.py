"""The error tree, and what each door makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core import errors
from beastmode.core.errors import CODES, KINDS, BadInputError, BeastError, InternalError, ProviderError, from_rpc

EXIT_CODES = {1, 2, 3, 4, 5, 6, 7}


def test_every_kind_has_its_codes_and_every_code_a_kind() -> None:
    assert set(CODES) == set(KINDS)
    assert {codes.exit for codes in CODES.values()} <= EXIT_CODES


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    for kind, error in KINDS.items():
        assert any(error.__name__ in line and kind in line.split() for line in (errors.__doc__ or "").splitlines()), (
            kind
        )


def test_every_error_says_what_it_means() -> None:
    assert all(error.__doc__ for error in KINDS.values())


@pytest.mark.parametrize(
    ("kind", "rpc", "exit_code"),
    [
        ("authentication", -32010, 4),
        ("unknown_model", -32011, 1),
        ("connection_refused", -32012, 5),
        ("timeout", -32013, 7),
        ("rate_limited", -32014, 5),
        ("budget", -32015, 6),
        ("no_healthy_model", -32016, 5),
        ("not_in_cache", -32017, 1),
        ("shutting_down", -32018, 3),
        ("bad_input", -32602, 2),
        ("cancelled", -32800, 1),
        ("daemon_not_running", -32018, 3),
    ],
)
def test_codes_are_as_documented(kind: str, rpc: int, exit_code: int) -> None:
    assert (CODES[kind].rpc, CODES[kind].exit) == (rpc, exit_code)


def test_every_provider_error_can_be_told_from_our_own() -> None:
    ours = {kind for kind, error in KINDS.items() if not issubclass(error, ProviderError)}
    assert "budget" in ours
    assert "connection_refused" not in ours


@pytest.mark.parametrize("error", KINDS.values(), ids=KINDS.keys())
def test_an_error_comes_through_the_socket_as_it_was(error: type[BeastError]) -> None:
    sent = error(
        "it broke", tips=["mend it"], model="m", endpoint="http://h/p", status=500, retry_after_s=2.5, request_id="r"
    )
    got = from_rpc(CODES[error.kind].rpc, sent.message, sent.data())
    assert type(got) is error
    assert got.message == str(got) == "it broke"
    assert got.data() == sent.data()


def test_an_error_that_names_no_kind_is_told_by_its_code() -> None:
    assert type(from_rpc(-32602, "no", None)) is BadInputError
    assert type(from_rpc(-32600, "no", {})) is BadInputError
    assert from_rpc(-32601, "no", None).kind == "not_found"
    assert type(from_rpc(-1, "no", None)) is InternalError
    assert type(from_rpc(-32602, "no", {"kind": "of another version"})) is InternalError


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=100)
@given(code=st.integers(), data=ANYTHING | st.fixed_dictionaries({"kind": ANYTHING, "tip": ANYTHING}))
def test_whatever_a_server_sends_becomes_an_error(code: int, data: Any) -> None:
    assert isinstance(from_rpc(code, "message", data), BeastError)
