"""Popular answers whose files changed are handed to warming, once the files are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from beastmode.background import refreshing as module
from beastmode.background.refreshing import Refreshing
from beastmode.core.types import Completion, Digest, Entry, Gathered, Message, Piece, Request
from support.routing_parts import StillClock

ROOT = "/srv/project"


async def gather() -> Gathered:
    return Gathered([], [])


def asked(text: str = "What is it?", **fields: Any) -> Request:
    return Request(model="auto", messages=[Message("user", text)], workspace=ROOT, gather=gather, **fields)


def entry(name: str = "one", *paths: str) -> Entry:
    pieces = [Piece(path, "0" * 64) for path in paths or ("a.py", "b.py")]
    return Entry(key=name.encode() * 4, scope=b"", text="", completion=Completion(text="x"), model="m", pieces=pieces)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def refreshing(clock: StillClock) -> Refreshing:
    return Refreshing(clock)


def ask(refreshing: Refreshing, times: int = 2, name: str = "one", request: Request | None = None) -> None:
    for _ in range(times):
        refreshing.note(request or asked(), entry(name))


def test_what_was_asked_twice_and_changed_is_asked_ahead_as_it_was(refreshing: Refreshing, clock: StillClock) -> None:
    ask(refreshing, request=asked(stream=True, cache="refresh", session_id="s", request_id="req", user="uid:1"))
    assert refreshing.stale() == []
    refreshing.changed(ROOT, ["c.py", "b.py"], False)
    clock.now_s += module.QUIET_S
    ((request, chance),) = refreshing.stale()
    assert (request.user, request.workspace, request.gather) == ("uid:1", ROOT, gather)
    assert (request.origin, request.stream, request.cache, request.session_id) == ("warming", False, "default", None)
    assert 0 < chance < 1


@pytest.mark.parametrize(("times", "root", "path"), [(1, ROOT, "a.py"), (2, "/srv/other", "a.py"), (2, ROOT, "c.py")])
def test_what_is_not_popular_or_not_touched_is_not(
    refreshing: Refreshing, clock: StillClock, times: int, root: str, path: str
) -> None:
    ask(refreshing, times)
    refreshing.changed(root, [path], False)
    clock.now_s += 60.0
    assert refreshing.stale() == []


def test_who_types_is_waited_for(refreshing: Refreshing, clock: StillClock) -> None:
    ask(refreshing)
    for _ in range(5):
        refreshing.changed(ROOT, ["a.py"], False)
        clock.now_s += module.QUIET_S - 1.0
        assert refreshing.stale() == []
    clock.now_s += 1.0
    assert len(refreshing.stale()) == 1


def test_what_was_made_anew_is_done_with_and_can_become_stale_again(refreshing: Refreshing, clock: StillClock) -> None:
    ask(refreshing)
    refreshing.changed(ROOT, ["a.py"], False)
    clock.now_s += 60.0
    ((request, _),) = refreshing.stale()
    refreshing.note(request, entry("one", "d.py"))
    assert refreshing.stale() == []
    refreshing.changed(ROOT, ["a.py"], False)
    clock.now_s += 60.0
    assert refreshing.stale() == [], "it is made from another file now"
    refreshing.changed(ROOT, ["d.py"], False)
    clock.now_s += 60.0
    assert len(refreshing.stale()) == 1


def test_what_the_daemon_asked_by_itself_is_not_popular(refreshing: Refreshing, clock: StillClock) -> None:
    ask(refreshing, 5, request=asked(origin="warming"))
    refreshing.changed(ROOT, ["a.py"], False)
    clock.now_s += 60.0
    assert refreshing.stale() == []


@pytest.mark.parametrize("fields", [{"digests": [Digest("a.py", "0")]}, {"opened": {"a.py": "unsaved"}}])
def test_a_request_that_shows_the_file_itself_is_another_one_now(
    refreshing: Refreshing, clock: StillClock, fields: dict[str, Any]
) -> None:
    ask(refreshing, request=asked(**fields))
    refreshing.changed(ROOT, ["a.py"], False)
    clock.now_s += 60.0
    assert refreshing.stale() == []


def test_the_most_popular_come_first(refreshing: Refreshing, clock: StillClock) -> None:
    ask(refreshing, 2, "two", asked("seldom"))
    ask(refreshing, 9, "six", asked("often"))
    refreshing.changed(ROOT, ["a.py"], True)
    clock.now_s += 60.0
    assert [request.messages[0].content for request, _ in refreshing.stale()] == ["often", "seldom"]


def test_it_remembers_little_and_not_for_long(refreshing: Refreshing, clock: StillClock) -> None:
    for number in range(2 * module.KNOWN_MAX):
        ask(refreshing, 2, f"{number:04}")
    ask(refreshing, 2, "long", asked("x" * (module.KEPT_MAX_CHARS + 1)))
    refreshing.changed(ROOT, ["a.py"], True)
    clock.now_s += 60.0
    assert len(refreshing.stale()) == module.KNOWN_MAX
    clock.now_s += module.WAITING_S
    assert refreshing.stale() == []
    clock.now_s += module.FORGOTTEN_S
    refreshing.stale()
    assert not refreshing._known
    ask(refreshing)
    refreshing.forget()
    refreshing.changed(ROOT, ["a.py"], True)
    clock.now_s += 60.0
    assert refreshing.stale() == []


def test_where_nothing_is_asked_ahead_nothing_is_remembered(clock: StillClock) -> None:
    refreshing = Refreshing(clock, lambda: False)
    ask(refreshing)
    assert not refreshing._known
