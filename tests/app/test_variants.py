"""Variants of a stored answer, by hand and over a restart: kept, exported, explained, rejected, invalidated by file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import NotFoundError
from support.daemon import Daemon
from support.edits import SETTINGS, EchoProvider
from support.waiting import until

QUESTION = "What does paint_walrus return?"
A, B = "src/walrus.py", "src/brush.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "project"
    (root / "src").mkdir(parents=True)
    (root / A).write_text("def paint_walrus() -> int:\n    return brush(1)\n")
    return root


@pytest.fixture
def daemon(root: Path) -> Iterator[Daemon]:
    with EchoProvider() as provider, Daemon(SETTINGS) as daemon:
        daemon.add("custom:echo", f"{provider.url}/v1")
        daemon.call("workspace.open", {"path": str(root), "wait": True})
        yield daemon


def ask(daemon: Daemon, root: Path, **more: Any) -> Any:
    return daemon.call("chat", {"message": QUESTION, "model": "custom:echo", "workspace": str(root), **more})


def change(root: Path, number: int) -> None:
    (root / A).write_text(f"def paint_walrus() -> int:\n    return brush({number})\n")


def two_variants(daemon: Daemon, root: Path) -> tuple[Any, Any]:
    """Answers made from the file as it was, and as it is."""
    first = ask(daemon, root)
    change(root, 2)
    second = ask(daemon, root)
    assert [first["cache"]["result"], second["cache"]["result"]] == ["miss", "stale"]
    return first, second


def explained(daemon: Daemon, root: Path) -> Any:
    return daemon.call("cache.explain", {"prompt": QUESTION, "model": "custom:echo", "workspace": str(root)})


def test_they_survive_a_restart_and_a_kill(daemon: Daemon, root: Path) -> None:
    first, second = two_variants(daemon, root)
    for end in (daemon.stop, daemon.kill):
        end()
        daemon.start()
        daemon.call("workspace.open", {"path": str(root), "wait": True})
        assert ask(daemon, root)["text"] == second["text"]
        change(root, 1)
        again = ask(daemon, root)
        assert (again["text"], again["cache"]["result"]) == (first["text"], "hit_exact")
        change(root, 2)
    assert ask(daemon, root)["cache"]["tier"] in ("L1", "L2")


def test_an_answer_made_by_hand_of_the_file_is_found_by_its_name(daemon: Daemon, root: Path) -> None:
    two_variants(daemon, root)
    for path in ("src/other.py", "walrus.py", "sr", f"{root}/src/other.py"):
        assert daemon.call("cache.invalidate", {"workspace": str(root), "path": path})["entries"] == 0
    for path in (A, "src", "src/", f"{root}/{A}"):
        found = daemon.call("cache.invalidate", {"workspace": f"{root}/", "path": path, "dry_run": True})
        assert found == {"entries": 1, "dry_run": True}
    assert daemon.call("cache.invalidate", {"workspace": str(root), "path": A})["entries"] == 1
    assert ask(daemon, root)["cache"]["result"] == "miss"


def test_only_the_variants_that_were_made_from_a_file_go(daemon: Daemon, root: Path) -> None:
    first = ask(daemon, root)
    change(root, 2)
    (root / B).write_text("def brush(paint_walrus: int) -> int:\n    return paint_walrus\n")
    daemon.call("workspace.open", {"path": str(root), "wait": True})
    second = asked_until(daemon, root, B)
    assert {one["path"] for one in second["sources"]} == {A, B}
    assert any(B in one["paths"] for one in explained(daemon, root)["variants"])
    assert daemon.call("cache.invalidate", {"path": B}) == {"entries": 1, "dry_run": False}
    left = explained(daemon, root)["variants"]
    assert left
    assert not any(B in one["paths"] for one in left)
    change(root, 1)
    again = ask(daemon, root, cache="only")
    assert (again["text"], again["cache"]["result"]) == (first["text"], "hit_exact")


def asked_until(daemon: Daemon, root: Path, path: str) -> Any:
    """Asks anew until the index has seen a file."""
    for _ in range(200):
        answer = ask(daemon, root, cache="refresh")
        if any(one["path"] == path for one in answer["sources"]):
            return answer
    raise AssertionError(f"{path} is never found")


def test_rejecting_an_answer_takes_that_variant_alone(daemon: Daemon, root: Path) -> None:
    first, _ = two_variants(daemon, root)
    hit = ask(daemon, root)
    assert daemon.call("cache.reject", {"request_id": hit["request_id"]})["rejected"] == "variant"
    with pytest.raises(NotFoundError):
        daemon.call("cache.reject", {"request_id": hit["request_id"]})
    third = ask(daemon, root)
    assert third["cache"]["result"] == "stale"
    change(root, 1)
    assert ask(daemon, root)["text"] == first["text"]
    assert daemon.call("cache.reject", {"request_id": third["request_id"]})["rejected"] == "variant"
    assert ask(daemon, root)["cache"]["result"] == "hit_exact"


def test_the_last_variant_takes_the_entry_with_it(daemon: Daemon, root: Path) -> None:
    answer = ask(daemon, root)
    assert daemon.call("cache.reject", {"request_id": answer["request_id"]})["rejected"] == "entry"
    assert ask(daemon, root)["cache"]["result"] == "miss"


def test_explaining_says_which_holds_and_which_file_changed(daemon: Daemon, root: Path) -> None:
    first, second = two_variants(daemon, root)
    said = explained(daemon, root)
    assert said["result"] == "hit_exact"
    assert [(one["holds"], one["paths"], one["changed"], one["request_id"]) for one in said["variants"]] == [
        (True, [A], [], second["request_id"]),
        (False, [A], [A], first["request_id"]),
    ]
    change(root, 3)
    said = explained(daemon, root)
    assert (said["result"], said["why"]) == ("stale", f"changed since: {A}")


def test_export_and_import_keep_them(daemon: Daemon, root: Path) -> None:
    first, second = two_variants(daemon, root)
    (entry,) = daemon.call("cache.export")["entries"]
    assert len(entry["variants"]) == 1
    assert [one["path"] for one in entry["pieces"]] == [A]
    daemon.call("cache.clear")
    assert daemon.call("cache.import", {"entries": [entry]}) == {"imported": 1}
    assert (ask(daemon, root)["text"], ask(daemon, root)["cache"]["result"]) == (second["text"], "hit_exact")
    change(root, 1)
    assert (ask(daemon, root)["text"], ask(daemon, root)["cache"]["result"]) == (first["text"], "hit_exact")


def test_an_imported_answer_about_files_elsewhere_is_not_served(daemon: Daemon, root: Path) -> None:
    ask(daemon, root)
    (root.parent / "outside.py").write_bytes((root / A).read_bytes())
    (entry,) = daemon.call("cache.export")["entries"]
    for one in entry["pieces"]:
        one["path"] = "../outside.py"
    daemon.call("cache.import", {"entries": [entry]})
    assert ask(daemon, root)["cache"]["result"] == "stale"


def test_forgetting_a_workspace_forgets_its_answers(daemon: Daemon, root: Path) -> None:
    two_variants(daemon, root)
    assert daemon.call("forget", {"workspace": f"{root}/"})["entries"] == 1
    assert daemon.call("cache.export")["entries"] == []


def test_a_popular_answer_that_became_stale_is_made_anew_in_idle_time(root: Path) -> None:
    idle = "[warming]\nidle_s = 0.2\nper_minute = 600\n"
    with EchoProvider() as provider, Daemon(f"[cache]\nsemantic = 'off'\n{idle}") as daemon:
        daemon.add("custom:echo", f"{provider.url}/v1", price={"prompt": 0, "completion": 0})
        daemon.call("workspace.open", {"path": str(root), "wait": True})
        for _ in range(3):
            ask(daemon, root)
        change(root, 2)
        until(lambda: any(row["cache"]["result"] == "stale" for row in daemon.rows(origin="warming")), 60.0)
        answer = ask(daemon, root)
    assert answer["cache"]["result"] == "hit_exact"
    assert "brush(2)" in answer["text"]
