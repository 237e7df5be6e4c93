"""What was asked and answered is kept only where the user says so, beside the rows, and goes with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.rows import Content
from beastmode.metrics import content
from support.daemon import Daemon
from support.figures import DAY_S, Desk
from support.ledger import NOON_S

ON = "[retention]\ncontent = true\n"
WORD = "xylophone"


@pytest.fixture(scope="module")
def keeping() -> Iterator[Daemon]:
    with Daemon(ON) as daemon:
        daemon.add("echo:echo")
        yield daemon


def asked(daemon: Daemon, text: str, **more: Any) -> dict[str, Any]:
    request_id = daemon.call("chat", {"message": text, "model": "echo:echo", **more})["request_id"]
    row: dict[str, Any] = daemon.call("requests.get", {"request_id": request_id})
    return row


class TestOff:
    def test_nothing_that_was_said_is_anywhere_in_the_ledger(self) -> None:
        with Daemon("[cache]\nenabled = false\n") as daemon:
            daemon.add("echo:echo")
            row = asked(daemon, f"play the {WORD}")
            assert "content" not in row
            daemon.stop()
            for path in (daemon.home / "state" / "ledger").rglob("*"):
                assert path.is_dir() or WORD.encode() not in path.read_bytes()
            with sqlite3.connect(daemon.home / "state" / "ledger" / "ledger.db") as connection:
                assert connection.execute("SELECT count(*) FROM content").fetchone() == (0,)

    def test_no_variable_turns_it_on(self) -> None:
        with Daemon(environ={"BEAST_RETENTION__CONTENT": "1"}) as daemon:
            daemon.add("echo:echo")
            assert "content" not in asked(daemon, "hello")

    def test_what_was_kept_is_not_shown_any_more_when_it_is_off_again(self) -> None:
        with Daemon(ON) as daemon:
            daemon.add("echo:echo")
            row = asked(daemon, "hello")
            assert row["content"]
            (daemon.home / "config.toml").write_text("")
            daemon.call("config.reload")
            assert "content" not in daemon.call("requests.get", {"request_id": row["request_id"]})


class TestOn:
    def test_a_request_shows_its_prompt_and_its_answer(self, keeping: Daemon) -> None:
        row = asked(keeping, "what is new?")
        assert row["content"] == {"prompt": "user: what is new?", "answer": "what is new?"}

    def test_a_hit_and_a_failure_show_theirs(self, keeping: Daemon) -> None:
        asked(keeping, "again and again")
        hit = asked(keeping, "again and again")
        assert (hit["cache"]["result"], hit["content"]["answer"]) == ("hit_exact", "again and again")
        with keeping.client() as client, pytest.raises(Exception, match="is registered"):
            client.call("chat", {"message": "anybody there?", "model": "custom:nobody"})
        newest = keeping.call("requests.list", {"limit": 1})["requests"][0]
        failed = keeping.call("requests.get", {"request_id": newest["request_id"]})
        assert failed["content"] == {"prompt": "user: anybody there?", "answer": None}

    def test_of_a_long_conversation_its_end_is_kept(self, keeping: Daemon) -> None:
        row = asked(keeping, "ä" * 100_000 + "the end")
        prompt, answer = row["content"]["prompt"], row["content"]["answer"]
        assert prompt.endswith("the end")
        assert 60_000 < len(prompt.encode()) <= 65_536
        assert 60_000 < len(answer.encode()) <= 65_536

    def test_lists_and_exports_have_none_of_it(self, keeping: Daemon) -> None:
        asked(keeping, f"the {WORD} again")
        assert WORD not in str(keeping.call("requests.list")["requests"])
        assert WORD not in str(keeping.call("requests.export"))

    def test_forgetting_takes_it_from_the_file_and_leaves_the_row(self) -> None:
        with Daemon(ON) as daemon:
            daemon.add("echo:echo")
            row = asked(daemon, "a secret that nobody needs")
            assert daemon.call("forget", {"all": True, "dry_run": True})["contents"] == 1
            assert daemon.call("forget", {"all": True})["contents"] == 1
            found = daemon.call("requests.get", {"request_id": row["request_id"]})
            assert (found["content"], found["outcome"]) == (None, "success")


class TestKept:
    async def test_it_goes_with_its_row_and_survives_a_restart(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        for number in range(20):
            desk.record(at_s=NOON_S - number * DAY_S, content=Content(f"question {number}", f"answer {number}"))
        await desk.ledger.written()
        assert await desk.ledger.prune(max_age_s=9.5 * DAY_S) == 10
        desk.ledger.close()
        again = Desk(tmp_path)
        kept = [await again.ledger.read(lambda c, n=n: content.read(c, f"req_{n}")) for n in (0, 9, 10, 19)]
        assert [one and one["answer"] for one in kept] == ["answer 0", "answer 9", None, None]
        again.ledger.close()
