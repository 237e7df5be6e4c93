"""Warming on a real daemon: a person's next request is an exact hit, whichever door it comes through."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BadInputError, BeastError
from support.daemon import Daemon, rpc
from support.http_caller import Door
from support.lsp_house import House
from support.told_provider import ToldProvider
from support.waiting import until

MODEL = "custom:t"
QUICK = {"BEAST_WARMING__IDLE_S": "0.2", "BEAST_WARMING__PER_MINUTE": "600", "BEAST_HTTP__PORT": "0"}
SLOW = {"BEAST_WARMING__IDLE_S": "3600", "BEAST_HTTP__PORT": "0"}
CODE = "import os\n\n\ndef add(a, b):\n    return a - b\n\n\ndef double(a):\n    return add(a, a)\n"
CURSOR = {"start": {"line": 4, "character": 4}, "end": {"line": 4, "character": 4}}


@pytest.fixture(scope="module")
def provider() -> Iterator[ToldProvider]:
    with ToldProvider() as server:
        assert isinstance(server, ToldProvider)
        yield server


@pytest.fixture(autouse=True)
def _fresh(provider: ToldProvider) -> None:
    provider.calls.clear()
    provider.says, provider.pause_s = "It is so.", 0.0


def running(provider: ToldProvider, settings: str = "", environ: dict[str, str] | None = None) -> Daemon:
    """A daemon with one model, not started yet."""
    return Daemon(f'routing.default_model = "{MODEL}"\n{settings}', QUICK if environ is None else environ)


def add(daemon: Daemon, provider: ToldProvider, name: str = MODEL, **more: Any) -> None:
    daemon.add(name, f"{provider.url}/v1", upstream_model="t", **more)


def stored(daemon: Daemon, number: int = 1) -> None:
    """Waits until so many answers were made ahead."""
    until(lambda: daemon.call("status")["warming"]["made"] >= number)


class TestThePersonsNextRequestIsAnExactHit:
    def test_over_the_socket_after_it_recurred_and_the_cache_was_lost(self, provider: ToldProvider) -> None:
        with running(provider) as daemon:
            add(daemon, provider)
            for _ in range(2):
                daemon.call("chat", {"message": "What is on today?", "temperature": 0, "client": "vscode"})
                time.sleep(0.1)
            until(lambda: daemon.call("patterns.get")["learned"]["events"] > 0)
            daemon.call("cache.clear")
            stored(daemon)
            answer = daemon.call("chat", {"message": "What is on today?", "temperature": 0})
            assert answer["cache"]["result"] == "hit_exact" and len(provider.calls) == 2

    def test_over_http_by_a_tool_of_its_own(self, provider: ToldProvider) -> None:
        with running(provider) as daemon:
            add(daemon, provider)
            body = {"model": MODEL, "messages": [{"role": "user", "content": "Morning?"}], "max_tokens": 50}
            door = Door.of(daemon)
            assert door.post("/v1/chat/completions", body).status == 200
            until(lambda: daemon.call("patterns.get")["learned"]["events"] > 0)
            daemon.call("cache.clear")
            stored(daemon)
            got = door.post("/v1/chat/completions", body)
            assert got.headers["x-beast-cache"].startswith("hit") and len(provider.calls) == 2

    def test_of_an_action_in_an_open_workspace_after_its_function_was_edited(
        self, provider: ToldProvider, tmp_path: Path
    ) -> None:
        (tmp_path / "add.py").write_text(CODE)
        with running(provider) as daemon:
            add(daemon, provider)
            daemon.call("workspace.open", {"path": str(tmp_path), "wait": True})
            params = {"kind": "tests", "path": "add.py", "workspace": str(tmp_path), "range": CURSOR, "client": "nvim"}
            for number in range(2):
                (tmp_path / "add.py").write_text(f"# {number}\n" * (number + 1) + CODE)
                moved = {"line": 5 + number, "character": 4}
                daemon.call("action", {**params, "range": {"start": moved, "end": moved}})
            until(lambda: daemon.call("patterns.get")["learned"]["events"] >= 2)
            before = daemon.call("status")["warming"]["made"]
            (tmp_path / "add.py").write_text("# moved on\n" * 7 + CODE.replace("a - b", "a + b"))
            stored(daemon, before + 1)
            at = {"line": 11, "character": 4}
            answer = daemon.call("action", {**params, "range": {"start": at, "end": at}, "client": "vscode"})
            assert answer["cache"]["result"] == "hit_exact"

    def test_of_an_editor(self, tmp_path: Path) -> None:
        settings = "[warming]\nidle_s = 3600.0\n"
        with House(settings, price=None) as house:
            (tmp_path / "add.py").write_text(CODE)
            house.daemon.call("workspace.open", {"path": str(tmp_path), "wait": True})
            template = {"kind": "explain", "path": "add.py", "workspace": str(tmp_path), "symbol": "add"}
            written = "\n".join(f"{name} = {json.dumps(value)}" for name, value in template.items())
            (house.daemon.home / "config.toml").write_text(f"{settings}[[warming.templates]]\n{written}\n")
            house.daemon.call("config.reload")
            assert house.daemon.call("cache.warm")["stored"] == 1
            editor = house.editor(workspaceFolders=[{"uri": tmp_path.as_uri(), "name": "w"}])
            uri = editor.open((tmp_path / "add.py").as_uri(), CODE)
            command = {"command": "beast.explain", "arguments": [{"uri": uri, "range": CURSOR, "show": False}]}
            got = editor.client.request("workspace/executeCommand", command)
            assert got["cache"]["result"] == "hit_exact" and len(house.coder.calls) == 1

    def test_of_a_template_after_the_cache_folder_was_deleted(self, provider: ToldProvider) -> None:
        with running(provider, '[[warming.templates]]\nmessage = "Hello?"\n') as daemon:
            add(daemon, provider)
            stored(daemon)
            daemon.stop()
            for file in sorted((daemon.home / "cache").rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            daemon.start()
            until(lambda: len(provider.calls) == 2)
            until(lambda: daemon.call("chat", {"message": "Hello?", "cache": "only"})["cache"]["result"] == "hit_exact")


class TestPeopleGoFirst:
    def test_what_is_asked_ahead_is_given_up_at_once(self, provider: ToldProvider) -> None:
        with running(provider, '[[warming.templates]]\nmessage = "Hello?"\n') as daemon:
            provider.says, provider.pause_s = "word " * 2000, 0.02
            add(daemon, provider)
            until(lambda: len(provider.calls) == 1)
            time.sleep(0.1)
            asked_s = time.monotonic()
            with daemon.raw() as wire:
                wire.send(rpc("chat", {"message": "mine", "stream": True}))
                assert wire.line()["method"] == "$/progress"
            until(lambda: provider.calls[0].ended == "left")
            assert provider.calls[0].ended_s - asked_s < 2.0
            until(lambda: bool(daemon.rows(origin="warming")))
            row = daemon.rows(origin="warming")[-1]
            assert (row["outcome"], row["error_kind"]) == ("cancelled", "gave_way")

    def test_who_asks_the_very_same_hears_it_as_it_comes(self, provider: ToldProvider) -> None:
        with running(provider, '[[warming.templates]]\nmessage = "Hello?"\n') as daemon:
            provider.says, provider.pause_s = "word " * 60, 0.02
            add(daemon, provider)
            until(lambda: len(provider.calls) == 1)
            pieces: list[Any] = []
            with daemon.client() as client:
                answer = client.call("chat", {"message": "Hello?", "stream": True}, on_progress=pieces.append)
            assert (answer["cache"]["tier"], len(provider.calls)) == ("flight", 1)
            assert len(pieces) > 3 and "".join(one["delta"] for one in pieces) == answer["text"]
            assert (len(daemon.rows(origin="warming")), len(daemon.rows())) == (1, 1)

    def test_a_stop_does_not_wait_for_it(self, provider: ToldProvider) -> None:
        with running(provider, '[[warming.templates]]\nmessage = "Hello?"\n') as daemon:
            provider.says, provider.pause_s = "word " * 2000, 0.02
            add(daemon, provider)
            until(lambda: len(provider.calls) == 1)
            assert daemon.stop() == 0
            until(lambda: provider.calls[0].ended == "left")
            daemon.start()
            assert daemon.rows(origin="warming")[0]["outcome"] == "cancelled"


class TestCacheWarm:
    TEMPLATES = "".join(f'[[warming.templates]]\nmessage = "question {n}"\n' for n in range(3))

    @pytest.fixture
    def daemon(self, provider: ToldProvider) -> Iterator[Daemon]:
        with running(provider, self.TEMPLATES, SLOW) as daemon:
            add(daemon, provider)
            yield daemon

    def test_stores_what_is_not_stored(self, daemon: Daemon, provider: ToldProvider) -> None:
        daemon.call("chat", {"message": "question 1"})
        told: list[Any] = []
        with daemon.client() as client:
            got = client.call("cache.warm", {}, on_progress=told.append)
        assert (got["asked"], got["stored"], got["skipped"], got["cost_usd"]) == (2, 2, {"stored": 1}, 0.0)
        assert [one["done"] for one in told] == [1, 2, 3] and told[-1]["total"] == 3
        assert daemon.call("cache.warm")["skipped"] == {"stored": 3}
        assert len(provider.calls) == 3

    def test_dry_asks_nobody(self, daemon: Daemon, provider: ToldProvider) -> None:
        got = daemon.call("cache.warm", {"dry_run": True})
        assert (got["dry_run"], got["asked"], got["may_cost_usd"], provider.calls) == (True, 0, 0.0, [])
        assert [one["question"] for one in got["wishes"]] == [f"question {n}" for n in range(3)]
        assert {one["outcome"] for one in got["wishes"]} == {"would_ask"}

    def test_asks_at_most_so_many(self, daemon: Daemon, provider: ToldProvider) -> None:
        got = daemon.call("cache.warm", {"limit": 1})
        assert (got["stored"], got["skipped"], len(provider.calls)) == (1, {"limit": 2}, 1)

    def test_only_for_a_workspace(self, daemon: Daemon, provider: ToldProvider, tmp_path: Path) -> None:
        got = daemon.call("cache.warm", {"workspace": str(tmp_path)})
        assert (got["asked"], got["skipped"], provider.calls) == (0, {}, [])

    @pytest.mark.parametrize("params", [{"workspace": "here"}, {"limit": -1}, {"workspaces": "/w"}])
    def test_refuses_what_it_does_not_understand(self, params: dict[str, Any], daemon: Daemon) -> None:
        with pytest.raises(BadInputError):
            daemon.call("cache.warm", params)

    def test_cancelled_lets_the_model_go(self, daemon: Daemon, provider: ToldProvider) -> None:
        provider.says, provider.pause_s = "word " * 2000, 0.02
        with daemon.raw() as wire:
            wire.send(rpc("cache.warm", {}, 5))
            until(lambda: len(provider.calls) == 1)
            wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
            while (said := wire.line()).get("method") == "$/progress":
                pass
            assert said["error"]["code"] == -32800
        until(lambda: provider.calls[0].ended == "left")
        assert len(provider.calls) == 1

    def test_ends_with_the_daemon(self, daemon: Daemon, provider: ToldProvider) -> None:
        provider.says, provider.pause_s = "word " * 2000, 0.02
        caught: list[BeastError] = []

        def warm() -> None:
            with pytest.raises(BeastError) as error:
                daemon.call("cache.warm")
            caught.append(error.value)

        asking = threading.Thread(target=warm)
        asking.start()
        until(lambda: len(provider.calls) == 1)
        assert daemon.stop() == 0
        asking.join(10)
        assert len(caught) == 1


class TestMoney:
    def test_a_dear_model_is_asked_within_the_budget_of_the_workspace_and_no_further(
        self, provider: ToldProvider, tmp_path: Path
    ) -> None:
        lines = [f'[warming.remote]\n"{tmp_path}" = 0.001\n']
        for number in range(6):
            lines.append(f'[[warming.templates]]\nmessage = "q{number}"\nmodel = "custom:dear"\nmax_tokens = 50\n')
            lines.append(f'workspace = "{tmp_path}"\n')
        lines.append('[[warming.templates]]\nmessage = "elsewhere"\nmodel = "custom:dear"\nmax_tokens = 50\n')
        with running(provider, "".join(lines), SLOW) as daemon:
            price = {"prompt": 1.0, "completion": 5.0}
            add(daemon, provider, "custom:dear", price=price)
            got = daemon.call("cache.warm")
            rows = daemon.rows(origin="warming")
            assert 0 < got["stored"] <= 6 and got["skipped"]["costs_money"] == 1
            assert sum(row["cost_usd"] for row in rows) == pytest.approx(got["cost_usd"]) and got["cost_usd"] <= 0.001
            standing = daemon.call("status")["warming"]
            assert standing["spent_usd"] == pytest.approx(got["cost_usd"]) and standing["budget_usd"] == 0.001
            daemon.kill()
            daemon.start()
            again = daemon.call("status")["warming"]
            assert again["spent_usd"] == pytest.approx(got["cost_usd"])

    def test_nothing_is_kept_of_what_was_asked_where_warming_is_off(self, provider: ToldProvider) -> None:
        with running(provider, "[warming]\nenabled = false\n") as daemon:
            add(daemon, provider)
            daemon.call("chat", {"message": "a secret wish"})
            standing = daemon.call("status")["warming"]
            daemon.stop()
            assert standing["enabled"] is False
            kept = [file for file in (daemon.home / "state" / "activity").rglob("*") if file.is_file()]
            assert not any(b"secret wish" in file.read_bytes() for file in kept)
