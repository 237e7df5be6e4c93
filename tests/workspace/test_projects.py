"""`.beastmode.toml`: what a project may say for requests about it, what not, and that a bad one harms nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.background.warm_budget import Budget
from beastmode.core.clock import Clock
from beastmode.core.errors import BadInputError
from beastmode.core.settings import WarmingSettings
from beastmode.core.types import Request
from beastmode.workspace.projects import FILE, NOTHING, Project, Projects, adapt, parsed
from support.daemon import Daemon
from support.waiting import until as until_within

WHOLE = """
tags = ["shop"]
ignore = ["fixtures/"]

[alias]
fast = "echo:echo"

[budget]
max_cost_usd = 0.05
warming_usd = 0
"""


def until(holds: Any) -> None:
    """Waits as long as a busy machine may need."""
    until_within(holds, 60)


class TestWhatItMaySay:
    def test_everything(self) -> None:
        project = parsed(WHOLE)
        assert (project.tags, project.ignore, project.alias) == (["shop"], ["fixtures/"], {"fast": "echo:echo"})
        assert (project.budget.max_cost_usd, project.budget.warming_usd) == (0.05, 0.0)

    def test_nothing(self) -> None:
        assert parsed("") == NOTHING == Project()
        assert parsed("tags = []").budget.max_cost_usd == inf

    def test_the_file_of_this_repository_is_sound(self) -> None:
        own = parsed((Path(__file__).parents[2] / FILE).read_text())
        assert (own.tags, own.alias) == (["beastmode"], {"coder": "local:qwen-coder"})

    def test_aliases_and_patterns_as_config_toml_writes_them(self) -> None:
        project = parsed("routing.aliases.fast = 'echo:echo'\n[workspace]\nignore = ['out/']")
        assert (project.alias, project.ignore) == ({"fast": "echo:echo"}, ["out/"])

    @pytest.mark.parametrize(("project", "holds"), [(0.25, 0.25), (5.0, 1.0), (inf, 1.0)])
    async def test_asking_ahead_costs_no_more_than_the_user_allows(
        self, tmp_path: Path, project: float, holds: float
    ) -> None:
        allowed = WarmingSettings(remote={str(tmp_path): 1.0})
        nothing: Any = None
        budget = Budget(lambda: allowed, nothing, nothing, Clock(), lambda _: project)
        await budget.refresh()
        assert budget.limit_usd(str(tmp_path)) == holds
        assert budget.limit_usd("/elsewhere") == 0.0

    @pytest.mark.parametrize(
        ("text", "wrong", "nearest"),
        [
            ("tgas = ['x']", "tgas", "tags"),
            ("[budget]\nmax_cost = 1", "budget.max_cost", "budget.max_cost_usd"),
            ("[aliass]\nfast = 'x'", "aliass", "alias"),
        ],
    )
    def test_an_unknown_key_is_an_error_that_names_the_nearest(self, text: str, wrong: str, nearest: str) -> None:
        with pytest.raises(BadInputError) as caught:
            parsed(text)
        assert FILE in caught.value.message
        assert repr(wrong) in caught.value.message
        assert repr(nearest) in caught.value.message

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("http.host = '0.0.0.0'", "http.host"),
            ("[cache.redis]\nurl = 'redis://elsewhere'", "cache.redis.url"),
            ("[generation.checks]\n'/x' = ['rm']", "generation.checks"),
            ("[warming.remote]\n'/x' = 5.0", "warming.remote"),
            ("plugins.disabled = ['echo']", "plugins.disabled"),
            ("retention.content = true", "retention.content"),
            ("[health.on_change]\ncommand = ['sh']", "health.on_change"),
            ("base_url = 'http://elsewhere'", "base_url"),
            ("api_key = 'x'", "api_key"),
            ("command = ['sh']", "command"),
            ("[models.mine]\nbase_url = 'http://elsewhere'", "models"),
            ("[budget]\nurl = 'x'", "budget.url"),
        ],
    )
    def test_what_calls_out_runs_or_spends_is_refused_with_the_reason(self, text: str, key: str) -> None:
        with pytest.raises(BadInputError) as caught:
            parsed(text)
        assert key.split(".")[0] in caught.value.message
        assert "is not taken from a project" in caught.value.message
        assert "config.toml" in " ".join(caught.value.tips)

    @pytest.mark.parametrize(
        "text",
        [
            "tags = 'shop'",
            "tags = [1]",
            "alias = 'x'",
            "alias.fast = 3",
            "ignore = {}",
            "budget = 3",
            "budget.max_cost_usd = -1",
            "budget.max_cost_usd = 'much'",
            "budget.warming_usd = nan",
            "tags = [",
            "a.b" * 3000 + " = 1",
        ],
    )
    def test_a_value_that_does_not_fit_is_an_error_with_a_tip(self, text: str) -> None:
        with pytest.raises(BadInputError) as caught:
            parsed(text)
        assert caught.value.message.startswith(FILE)
        assert caught.value.tips

    @given(st.text(max_size=200))
    def test_any_text_is_a_project_or_an_error(self, text: str) -> None:
        try:
            project = parsed(text)
        except BadInputError as error:
            assert error.tips
        else:
            assert isinstance(project, Project)


class TestRequests:
    def test_labels_of_the_project_join_those_of_the_request(self) -> None:
        request = Request(model="auto", messages=[], tags=["mine", "shop"])
        adapt(request, Project(tags=["shop", "team"]))
        adapt(request, Project(tags=["shop", "team"]))
        assert request.tags == ["mine", "shop", "team"]

    @pytest.mark.parametrize(("own", "project", "holds"), [(None, 0.05, 0.05), (0.5, 0.05, 0.05), (0.01, 0.05, 0.01)])
    def test_the_lower_bound_holds(self, own: float | None, project: float, holds: float) -> None:
        request = Request(model="auto", messages=[], max_cost_usd=own)
        adapt(request, parsed(f"budget.max_cost_usd = {project}"))
        assert request.max_cost_usd == holds

    def test_no_file_changes_nothing(self) -> None:
        request = Request(model="auto", messages=[])
        adapt(request, NOTHING)
        assert (request.tags, request.max_cost_usd) == ([], None)


class TestTheFile:
    async def told(self, root: Path, content: bytes | None = None) -> tuple[Projects, str]:
        projects = Projects(Clock())
        if content is not None:
            (root / FILE).write_bytes(content)
        await projects.open(str(root))
        return projects, projects.problem(str(root))[0]

    async def test_none_is_fine(self, tmp_path: Path) -> None:
        projects, problem = await self.told(tmp_path)
        assert projects.of(str(tmp_path)) == NOTHING
        assert not problem

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"tags = ['\0']", b"#" * 70_000, b"# sk-ant-" + b"a" * 40])
    async def test_what_is_no_short_text_without_keys_is_not_read(self, tmp_path: Path, content: bytes) -> None:
        projects, problem = await self.told(tmp_path, content)
        assert "is not read" in problem
        assert projects.of(str(tmp_path)) == NOTHING

    async def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        elsewhere, root = tmp_path / "elsewhere.toml", tmp_path / "project"
        root.mkdir()
        elsewhere.write_text(WHOLE)
        (root / FILE).symlink_to(elsewhere)
        projects, problem = await self.told(root)
        assert "a link" in problem
        assert projects.of(str(root)) == NOTHING

    async def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / FILE)
        async with asyncio.timeout(20):
            _, problem = await self.told(tmp_path)
        assert "no file" in problem

    async def test_a_change_is_told_and_a_bad_one_leaves_what_held(self, tmp_path: Path) -> None:
        root = str(tmp_path)
        projects, _ = await self.told(tmp_path, b"tags = ['one']")
        told: list[str] = []
        projects.on_change.append(told.append)
        (tmp_path / FILE).write_text("tags = ['two']")
        await projects.look(root)
        assert (projects.of(root).tags, told) == (["two"], [root])
        (tmp_path / FILE).write_text("tgas = ['three']")
        await projects.look(root)
        assert projects.of(root).tags == ["two"]
        assert "'tags'" in projects.problem(root)[0]
        (tmp_path / FILE).unlink()
        await projects.look(root)
        assert projects.of(root) == NOTHING
        assert projects.problem(root) == ("", "")

    async def test_what_changed_elsewhere_is_no_reason_to_look(self, tmp_path: Path) -> None:
        root = str(tmp_path)
        projects, _ = await self.told(tmp_path, b"tags = ['one']")
        (tmp_path / FILE).write_text("tags = ['other']")
        projects.changed(root, ["a.py"], False)
        await asyncio.sleep(0)
        assert projects.of(root).tags == ["one"]
        projects.changed(root, ["a.py", FILE], False)
        await projects.look(root)
        assert projects.of(root).tags == ["other"]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon("[routing]\naliases = { fast = 'custom:nowhere', mine = 'echo:echo' }\n") as daemon:
        daemon.add("echo:echo", price={"prompt": 1000.0, "completion": 1000.0})
        yield daemon


@pytest.fixture
def project(tmp_path: Path, daemon: Daemon) -> Iterator[Path]:
    (tmp_path / "a.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "b.py").write_text("def take(a, b):\n    return a - b\n")
    yield tmp_path
    daemon.call("workspace.close", {"path": str(tmp_path)})


def row(daemon: Daemon, root: Path) -> dict[str, Any]:
    rows = daemon.call("workspace.list")["workspaces"]
    return next(one for one in rows if one["path"] == str(root))  # type: ignore[no-any-return]  # JSON


def ask(daemon: Daemon, root: Path | None, model: str = "fast", **more: Any) -> Any:
    about = {"workspace": str(root)} if root is not None else {}
    return daemon.call("chat", {"message": "hello", "model": model, "cache": "off", "retrieve": False, **about, **more})


class TestInTheDaemon:
    def test_names_labels_and_ignored_files_hold_in_the_workspace_alone(self, daemon: Daemon, project: Path) -> None:
        (project / FILE).write_text("tags = ['shop']\nignore = ['fixtures/']\nalias = { fast = 'echo:echo' }\n")
        daemon.call("workspace.open", {"path": str(project), "wait": True})
        answer = ask(daemon, project)
        assert answer["model"] == "echo:echo"
        assert daemon.call("requests.get", {"request_id": answer["request_id"]})["tags"] == ["shop"]
        assert ask(daemon, project, "mine")["model"] == "echo:echo"  # the user's own names hold beside them
        with pytest.raises(Exception, match="nowhere"):
            ask(daemon, None)
        found = daemon.call("workspace.context", {"workspace": str(project), "question": "take a from b"})
        assert {piece["path"] for piece in found["pieces"]} <= {"a.py", FILE}

    def test_a_change_holds_without_a_restart(self, daemon: Daemon, project: Path) -> None:
        daemon.call("workspace.open", {"path": str(project), "wait": True})
        (project / FILE).write_text("ignore = ['*.py']\nalias = { fast = 'echo:echo' }\n")
        until(lambda: row(daemon, project)["files"] == 1)  # the file itself is all that is left
        assert ask(daemon, project)["model"] == "echo:echo"

    def test_a_bad_file_is_told_and_the_workspace_works(self, daemon: Daemon, project: Path) -> None:
        (project / FILE).write_text("tgas = ['shop']\n")
        daemon.call("workspace.open", {"path": str(project), "wait": True})
        told = row(daemon, project)
        assert told["state"] == "ready"
        assert "'tags'" in told["problem"]
        assert "'tags'" in str(daemon.call("health.get"))
        assert ask(daemon, project, "mine")["text"]
        (project / FILE).write_text("http.host = '0.0.0.0'\n")
        until(lambda: "is not taken from a project" in row(daemon, project)["problem"])
        (project / FILE).write_text("tags = ['shop']\n")
        until(lambda: not row(daemon, project)["problem"])

    def test_a_request_about_it_costs_no_more_than_it_allows(self, daemon: Daemon, project: Path) -> None:
        (project / FILE).write_text("budget.max_cost_usd = 0.000001\n")
        daemon.call("workspace.open", {"path": str(project), "wait": True})
        with pytest.raises(Exception, match="cost"):
            ask(daemon, project, "mine", max_tokens=50)
        with pytest.raises(Exception, match="cost"):  # a request can not raise it
            ask(daemon, project, "mine", max_tokens=50, max_cost_usd=5.0)
        assert ask(daemon, None, "mine", max_tokens=50)["text"]
