"""What people ask and work on is noted in a journal that survives a crash, stays small, and can be forgotten."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.background import activity_files
from beastmode.background.activity import Activities, Activity, Asked, digest_of
from beastmode.background.activity_files import ActivityFiles
from beastmode.core.clock import Clock
from beastmode.core.errors import BadInputError

EXPLAIN = Asked("action", {"kind": "explain", "path": "a.py", "workspace": "/w"})


def explain(symbol: str = "one", at_s: float = 1000.0, **more: Any) -> Activity:
    more = {"workspace": "/w", "path": "a.py", "user": "me", "asked": EXPLAIN, **more}
    return Activity(at_s=at_s, kind="action", action="explain", symbol=symbol, **more)


def journal(folder: Path, enabled: bool = True) -> Activities:
    return Activities(folder / "activity", Clock(), lambda: enabled)


async def again(folder: Path) -> Activities:
    """What the next daemon finds."""
    found = journal(folder)
    await found.load()
    return found


async def test_what_was_noted_is_there_after_a_restart_with_how_to_ask_it_again(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.note(explain())
    first.note(Activity(at_s=1001.0, kind="saved", workspace="/w", path="a.py", symbol="one"))
    await first.close()
    second = await again(tmp_path)
    assert [one.kind for one in second.all()] == ["action", "saved"]
    assert second.asked(explain().identity) == EXPLAIN
    assert [one.is_request for one in second.all()] == [True, False]


async def test_the_same_thing_is_the_same_whenever_and_by_whichever_model_it_is_asked() -> None:
    assert explain(at_s=1.0, model="auto", client="vscode").identity == explain(at_s=2.0, model="custom:m").identity
    assert explain("one").identity != explain("two").identity
    assert explain(user="me").identity != explain(user="you").identity


async def test_listeners_hear_of_it_at_once(tmp_path: Path) -> None:
    activity = journal(tmp_path)
    heard: list[Activity] = []
    activity.listeners.append(heard.append)
    activity.note(explain())
    assert heard == [explain()]
    await activity.close()


async def test_nothing_is_kept_where_warming_is_off(tmp_path: Path) -> None:
    activity = journal(tmp_path, enabled=False)
    activity.note(explain())
    await activity.close()
    assert activity.all() == []
    assert not (tmp_path / "activity").exists()


async def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    activity = journal(tmp_path)
    activity.note(explain())
    await activity.close()
    (file,) = (tmp_path / "activity").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("cut", [1, 5, 40])
async def test_a_last_line_that_a_crash_cut_short_is_passed_over_and_the_next_one_begins_anew(
    tmp_path: Path, cut: int
) -> None:
    first = journal(tmp_path)
    first.note(explain("one"))
    first.note(explain("two"))
    await first.close()
    (file,) = (tmp_path / "activity").iterdir()
    file.write_bytes(file.read_bytes()[:-cut])
    second = await again(tmp_path)
    kept = ["one", "two"] if cut == 1 else ["one"]
    assert [one.symbol for one in second.all()] == kept
    second.note(explain("three"))
    await second.close()
    assert [one.symbol for one in (await again(tmp_path)).all()] == [*kept, "three"]


async def test_lines_of_something_else_are_passed_over(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.note(explain("one"))
    await first.close()
    (file,) = (tmp_path / "activity").iterdir()
    file.write_bytes(file.read_bytes() + b'\xff\xfe\n{"at_s": "yesterday"}\n[[[[\n\n')
    assert [one.symbol for one in (await again(tmp_path)).all()] == ["one"]


async def test_what_a_newer_version_wrote_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "activity").mkdir()
    file = tmp_path / "activity" / "activity-00000001.jsonl"
    file.write_text('{"schema":2}\n{"something":"else"}\n')
    with pytest.raises(BadInputError, match="newer") as raised:
        await again(tmp_path)
    assert raised.value.tips
    assert file.read_text().startswith('{"schema":2}')


def test_it_is_rotated_by_size_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_files, "FILE_MAX_BYTES", 2000)
    files = ActivityFiles(tmp_path / "activity", Activity)
    for number in range(400):
        files.append([explain(f"f{number}")])
    sizes = [file.stat().st_size for file in (tmp_path / "activity").iterdir()]
    assert len(sizes) == activity_files.FILES_MAX
    assert max(sizes) < 2500
    newest = files.read(5000)
    assert newest[-1].symbol == "f399"
    assert 0 < len(newest) < 400
    assert [one.symbol for one in files.read(3)] == ["f397", "f398", "f399"]


async def test_memory_is_bounded_too(tmp_path: Path) -> None:
    activity = journal(tmp_path)
    for number in range(6000):
        activity.note(explain(f"f{number}"))
    assert len(activity.all()) == 5000
    assert activity.asked(explain("f0").identity) is None
    assert activity.asked(explain("f5999").identity) == EXPLAIN
    await activity.close()


@pytest.mark.parametrize(
    ("which", "gone", "left"),
    [
        ({"workspace": "/w"}, 2, ["other"]),
        ({"since_s": 1500.0}, 2, ["old"]),
        ({}, 3, []),
    ],
    ids=["a workspace", "since a time", "all"],
)
async def test_it_can_be_forgotten(tmp_path: Path, which: dict[str, Any], gone: int, left: list[str]) -> None:
    activity = journal(tmp_path)
    activity.note(explain("old", at_s=1000.0))
    activity.note(explain("new", at_s=2000.0))
    activity.note(explain("other", at_s=2000.0, workspace="/v"))
    assert await activity.forget(**which, dry_run=True) == gone
    assert len(activity.all()) == 3
    assert await activity.forget(**which) == gone
    assert [one.symbol for one in activity.all()] == left
    assert [one.symbol for one in (await again(tmp_path)).all()] == left
    on_disk = b"".join(file.read_bytes() for file in (tmp_path / "activity").iterdir())
    assert all(name in left or name.encode() not in on_disk for name in ("old", "new", "other"))
    assert (activity.asked(explain("old").identity) is not None) == ("old" in left)
    await activity.close()


async def test_a_full_disk_is_told_and_what_was_noted_is_written_once_it_has_room(tmp_path: Path) -> None:
    (tmp_path / "activity").write_text("in the way")
    activity = journal(tmp_path)
    activity.note(explain())
    assert not await activity.written()
    assert activity.problem is not None and str(tmp_path) in activity.problem
    (tmp_path / "activity").unlink()
    await activity.close()
    assert activity.problem is None
    assert len((await again(tmp_path)).all()) == 1


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_digest_of_a_question_minds_its_words_and_not_the_space_around_them(left: str, right: str) -> None:
    assert digest_of(f"  {left}\n") == digest_of(left)
    assert (digest_of(left) == digest_of(right)) == (left.strip() == right.strip())
