"""What is learned about pairs of prompts lasts, and makes a group of prompts be served more carefully."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cache.pairs import SERVED_MAX, Pairs, wilson_upper

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


async def reopened(pairs: Pairs, file: Path) -> Pairs:
    await pairs.close()
    again = Pairs(file, 0.01)
    await again.load()
    return again


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pairs.jsonl"


async def test_a_denied_pair_is_denied_in_one_direction_and_after_a_restart(file: Path) -> None:
    pairs = Pairs(file, 0.01)
    pairs.deny(A, B)
    again = await reopened(pairs, file)
    for one in (pairs, again):
        assert one.is_denied(A, B)
        assert not one.is_denied(B, A)
        assert not one.is_denied(A, C)
    assert oct(file.stat().st_mode)[-3:] == "600"


async def test_an_approved_pair_is_an_alias_until_it_is_denied(file: Path) -> None:
    pairs = Pairs(file, 0.01)
    pairs.approve(A, B)
    assert (pairs.alias(A), pairs.alias(B)) == (B, None)
    again = await reopened(pairs, file)
    assert again.alias(A) == B
    again.deny(A, B)
    assert again.alias(A) is None
    assert (await reopened(again, file)).alias(A) is None


async def test_a_hit_is_found_by_its_request(file: Path) -> None:
    pairs = Pairs(file, 0.01)
    pairs.served("req_1", A, B, "g")
    found = (await reopened(pairs, file)).of_request("req_1")
    assert found is not None and (found.query, found.entry, found.group) == (A.hex(), B.hex(), "g")
    assert pairs.of_request("req_2") is None


async def test_of_many_hits_the_last_are_remembered(file: Path) -> None:
    pairs = Pairs(file, 0.01)
    for number in range(SERVED_MAX + 5):
        pairs.served(f"req_{number}", A, B, "g")
    assert pairs.of_request("req_4") is None
    assert pairs.of_request("req_5") is not None
    await pairs.close()


async def test_wrong_hits_raise_the_threshold_of_their_group_alone_and_many_right_ones_lower_it(file: Path) -> None:
    pairs = Pairs(file, 0.01)
    for number in range(20):
        pairs.served(f"req_{number}", A, B, "g")
    assert pairs.stricter("g") == 0.0  # silence proves nothing
    pairs.checked(A, B, "g", right=True)
    assert pairs.stricter("g") == 0.0
    pairs.deny(A, B, "g")
    first = pairs.stricter("g")
    pairs.checked(A, C, "g", right=False)
    assert 0 < first < pairs.stricter("g") < 0.05
    assert pairs.stricter("other") == 0.0
    for number in range(3):
        pairs.deny(A, bytes([number]) * 16, "g")
    assert pairs.stricter("g") == 1.0  # exact matches only
    for number in range(3000):
        pairs.served(f"more_{number}", A, B, "g")
    assert pairs.stricter("g") == 0.0
    assert (await reopened(pairs, file)).stats()["groups"] == pairs.stats()["groups"]


async def test_clearing_keeps_what_was_denied(file: Path) -> None:
    pairs = Pairs(file, 0.01)
    pairs.deny(A, B, "g")
    pairs.approve(B, C)
    pairs.clear()
    assert pairs.is_denied(A, B) and pairs.alias(B) is None
    assert pairs.stats()["groups"] == {}
    await pairs.close()


async def test_damaged_lines_are_passed_over(file: Path) -> None:
    pairs = Pairs(file, 0.01)
    pairs.deny(A, B)
    await pairs.close()
    file.write_bytes(b"\xff\xfe\n[]\n{}\n" + file.read_bytes() + b'["denied","')
    again = Pairs(file, 0.01)
    await again.load()
    assert again.is_denied(A, B) and again.stats()["denied"] == 1


async def test_a_file_that_can_not_be_written_is_named_and_nothing_fails(tmp_path: Path) -> None:
    pairs = Pairs(tmp_path / "missing" / "pairs.jsonl", 0.01)
    pairs.deny(A, B)
    await pairs.close()
    assert pairs.is_denied(A, B)
    assert pairs.problem is not None and "pairs.jsonl" in pairs.problem


@pytest.mark.parametrize(
    ("wrong", "total", "bound"),
    [(0, 0, 1.0), (0, 10, 0.2775), (5, 100, 0.1118), (0, 1000, 0.0038), (10, 10, 1.0)],
)
def test_wilsons_bound(wrong: int, total: int, bound: float) -> None:
    assert wilson_upper(wrong, total) == pytest.approx(bound, abs=1e-4)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_the_bound_is_above_the_share_and_grows_with_every_wrong_hit(wrong: int, more: int) -> None:
    total = wrong + more
    assert wrong / total <= wilson_upper(wrong, total) <= 1
    assert wilson_upper(wrong, total) <= wilson_upper(wrong + 1, total)
