"""What a request may look into: the workspace that its path lies in, and as much as its model has room for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from beastmode.core.deployments import Deployment, Limits, Model
from beastmode.core.settings import PluginSettings, RoutingSettings, Settings, WorkspaceSettings
from beastmode.core.types import Message, Request
from beastmode.workspace.attachments import Document
from beastmode.workspace.library import Library
from support.workspaces import Disk, WordRetriever


class Registered:
    """The models."""

    def __init__(self, *models: Model) -> None:
        self._models = models

    def find(self, name: str) -> Model | None:
        return next((one for one in self._models if one.id == name), None)

    def list(self) -> list[Model]:
        return [*self._models]


def model(id: str, context_tokens: int | None = None, provider: str = "custom") -> Model:
    limits = Limits(context_tokens=context_tokens)
    return Model(id=id, deployments=[Deployment(id=id, model=id, provider=provider, limits=limits)])


def library(root: Path | None, *models: Model, **settings: Any) -> Library:
    class Open:
        def find(self, path: str | None) -> Any:
            if root is None or path is None or not Path(path).is_relative_to(root):
                return None
            return SimpleNamespace(root=str(root), state="ready", retriever=WordRetriever(root))

    return Library(cast(Any, Open()), Disk(), lambda: Settings(**settings), cast(Any, Registered(*models)))


def asked(name: str, **params: Any) -> Request:
    return Request(model=name, messages=[Message("user", "q")], params=params)


class TestRoom:
    def test_nobody_said_means_as_the_settings_say(self) -> None:
        assert library(None, model("custom:m")).room(asked("custom:m")) > 1_000_000

    def test_prompt_answer_and_a_margin_are_left(self) -> None:
        found = library(None, model("custom:m", 4000))
        assert 0 < found.room(asked("custom:m")) < 4000 * 0.75
        assert found.room(asked("custom:m", max_tokens=100)) > found.room(asked("custom:m", max_tokens=2000))
        assert found.room(asked("custom:m", max_tokens=4000)) == 0

    def test_a_model_of_this_machine_has_what_it_was_given(self) -> None:
        local = model("local:m", provider="local_model")
        more = PluginSettings(options={"local_model": {"n_ctx": 16_384}})
        assert library(None, local).room(asked("local:m")) < 4096
        assert library(None, local, plugins=more).room(asked("local:m")) > 8000

    def test_auto_is_the_model_that_comes_first(self) -> None:
        models = (model("local:s", 2000), model("custom:large", 100_000))
        assert library(None, *models).room(asked("auto")) > 10_000
        first = RoutingSettings(auto=["local:s"])
        assert library(None, *models, routing=first).room(asked("auto")) < 2000


class TestLooking:
    async def test_paths_are_those_of_the_root_wherever_the_caller_stands(self, tmp_path: Path) -> None:
        (tmp_path / "inner").mkdir()
        opened = [
            Document("a.py", "x = 1\n"),
            Document(f"{tmp_path}/b.py", "\ufeffy = 2\n"),
            Document("/else/c.py", "z"),
        ]
        look = await library(tmp_path).looking(str(tmp_path / "inner"), opened=opened, named=["a.py", "../../out.py"])
        assert look is not None
        assert look.opened == {"inner/a.py": "x = 1\n", "b.py": "y = 2\n"}
        assert (look.near, look.shown) == ("inner/a.py", frozenset({"inner/a.py"}))

    @pytest.mark.parametrize("path", [None, "alpha", "relative/path", "/elsewhere"])
    async def test_what_is_not_open_can_not_be_looked_into(self, tmp_path: Path, path: str | None) -> None:
        found = library(tmp_path)
        assert await found.looking(path) is None
        assert found.standing(path).state == "closed"

    async def test_what_is_named_takes_its_part_of_the_budget_but_not_all(self, tmp_path: Path) -> None:
        found = library(tmp_path, workspace=WorkspaceSettings(context_tokens=1000))
        budgets = []
        for named_tokens in (0, 300, 5000):
            look = await found.looking(str(tmp_path), named_tokens=named_tokens)
            assert look is not None
            budgets.append(look.budget_tokens)
        assert budgets == [1000, 700, 500]

    def test_a_caller_may_want_nothing(self, tmp_path: Path) -> None:
        assert library(tmp_path).standing(str(tmp_path), retrieve=False).state == "off"
        assert library(tmp_path).standing(str(tmp_path)).state == "ready"
