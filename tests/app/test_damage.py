"""Every state file truncated, flipped, zeroed or deleted in turn: the daemon starts, is never wrong, and heals."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer
from support.waiting import until
from support.weights import fetch

STORED = 40
KEY = "sk-0123456789abcdefghijkl"


def prompt(number: int) -> str:
    return f"What is the atomic number of element number {number} in the table?"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def home(upstream: ProviderServer) -> Iterator[Daemon]:
    """A daemon that has lived for a while, and was stopped."""
    weights = fetch("minilm")
    with Daemon(f'[plugins.options.minilm]\nweights_dir = "{weights}"\n') as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok", key=KEY)
        for number in range(STORED):
            daemon.call("cache.put", {"prompt": prompt(number), "response": str(number), "model": "m"})
        daemon.call("chat", {"message": "Hello", "model": "custom:ok", "session_id": "talk"})
        until(lambda: daemon.call("cache.stats")["semantic"]["index"]["snapshot_bytes"] > 0, 30)
        until(lambda: daemon.call("cache.stats")["l2"]["waiting"] == 0)
        daemon.call("cache.reject", {"entry": "00" * 16})
        daemon.stop()
        yield daemon


def state_files(home: Path) -> list[str]:
    """Everything that the daemon wrote and reads again."""
    found = [path.relative_to(home) for folder in ("state", "cache") for path in (home / folder).rglob("*")]
    kept = (path for path in found if (home / path).is_file() and "logs" not in path.parts)
    return sorted(str(path) for path in kept if (home / path).stat().st_size)


def damage(path: Path, how: str) -> None:
    raw = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
        return
    if how == "truncated":
        raw = raw[: len(raw) // 2]
    elif how == "zeroed":
        raw = bytearray(len(raw))
    else:
        chance = random.Random(len(raw))
        for _ in range(max(1, len(raw) // 500)):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    path.write_bytes(raw)


@pytest.mark.parametrize("how", ["truncated", "flipped", "zeroed", "deleted"])
def test_no_damage_brings_it_down_or_gives_a_wrong_answer(
    home: Daemon, upstream: ProviderServer, how: str, tmp_path: Path
) -> None:
    files = state_files(home.home)
    assert {"state/models.json", "state/keys.json", "state/ledger/ledger.db"} <= set(files)
    assert any("index" in name for name in files) and any(name.endswith("data.mdb") for name in files)
    whole = tmp_path / "whole"
    shutil.copytree(home.home, whole, ignore=shutil.ignore_patterns("run"))
    for name in files:
        for folder in ("state", "cache"):
            shutil.rmtree(home.home / folder)
            shutil.copytree(whole / folder, home.home / folder)
        damage(home.home / name, how)
        try:
            home.start()
            assert wrong_answers(home) == [], f"{name} {how}"
            answers_upstream(home, upstream, name)
            assert all(issue["cause"] and issue["tip"] for issue in home.call("health.get")["issues"]), f"{name} {how}"
        finally:
            assert home.stop() == 0, f"{name} {how}"


def wrong_answers(daemon: Daemon) -> list[Any]:
    """Looks everything up; what is gone is a miss, and nothing else is served in its place."""
    with daemon.client() as client:
        found = [client.call("cache.lookup", {"prompt": prompt(number), "model": "m"}) for number in range(STORED)]
    return [one for number, one in enumerate(found) if one["hit"] and one["response"] != str(number)]


def answers_upstream(daemon: Daemon, upstream: ProviderServer, name: str) -> None:
    """The model is there, or it is gone and can be registered again, with its key."""
    asked = {"message": f"After {name}", "model": "custom:ok", "cache": "off", "session_id": "talk"}
    try:
        answer = daemon.call("chat", asked)
    except BeastError as error:
        assert error.kind in ("unknown_model", "authentication") and error.tips, (name, error)
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok", key=KEY)
        answer = daemon.call("chat", asked)
    assert answer["text"] == f"You said: After {name}"
    assert daemon.call("requests.get", {"request_id": answer["request_id"]})["outcome"] == "success"


def causes(daemon: Daemon) -> str:
    return " ".join(issue["cause"] for issue in daemon.call("health.get")["issues"])


@pytest.mark.parametrize("how", ["truncated", "flipped", "zeroed", "deleted"])
def test_damage_while_it_runs_is_named_and_heals(home: Daemon, how: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(home.home, whole, ignore=shutil.ignore_patterns("run"))
    asked = {"prompt": f"Hello, {prompt(7)}", "model": "m"}
    home.start()
    try:
        until(lambda: home.call("cache.lookup", asked)["result"] == "hit_semantic", 30)
        until(lambda: home.call("cache.stats")["semantic"]["index"]["building"] is False, 30)
        index = [path for path in (home.home / "cache" / "index").rglob("*") if path.is_file() and path.stat().st_size]
        for path in index:
            damage(path, how)
        assert home.call("cache.lookup", asked)["response"] == "7"
        until(lambda: "index" in causes(home), 30)
        until(lambda: "index" not in causes(home), 30)
        assert home.call("cache.lookup", asked)["response"] == "7"
        until(
            lambda: home.call("cache.stats")["l2"]["waiting"] == 0
        )  # cut short in mid-commit, it would end the daemon
        damage(next((home.home / "cache").rglob("data.mdb")), how)
        assert wrong_answers(home) == []
        home.call("cache.put", {"prompt": prompt(7), "response": "seven", "model": "m"})
        assert home.call("cache.lookup", asked)["response"] in ("7", "seven")
        assert home.call("cache.lookup", {"prompt": prompt(7), "model": "m"})["response"] == "seven"
    finally:
        assert home.stop() == 0
        for folder in ("state", "cache"):
            shutil.rmtree(home.home / folder)
            shutil.copytree(whole / folder, home.home / folder)
