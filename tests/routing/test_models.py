"""The registry keeps models on disk, answers at once, and helps where a name is not known."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.deployments import Limits, Price
from beastmode.core.errors import AccessError, BadInputError, UnknownModelError
from beastmode.routing import models
from beastmode.routing.models import Registry, check_model_id
from support.routing_parts import StillClock, deployment


async def reloaded(registry: Registry, clock: StillClock) -> Registry:
    again = Registry(registry._file, clock)
    await again.load()
    return again


async def test_a_model_is_there_after_a_restart(registry: Registry, clock: StillClock, tmp_path: Path) -> None:
    one = msgspec.structs.replace(
        deployment("custom:a", limits=Limits(context_tokens=4096)),
        price=Price(prompt=0.1, completion=0.2),
        has_key=True,
    )
    added = await registry.add(one)
    await registry.add(deployment("openai:gpt-4o", "https://api.openai.com/v1"), fallback=["custom:a", "auto"])
    again = await reloaded(registry, clock)
    assert again.list() == registry.list()
    assert again.get("custom:a").deployments == [one]
    assert again.get("openai:gpt-4o").fallback == ["custom:a", "auto"]
    assert added.model.added_at.endswith("Z")
    assert again.problem is None
    assert stat.S_IMODE((tmp_path / "models.json").stat().st_mode) == 0o600


async def test_models_are_listed_in_the_order_they_were_added(registry: Registry) -> None:
    for name in ("custom:z", "custom:a", "local:m"):
        await registry.add(deployment(name))
    await registry.add(deployment("custom:z", "http://127.0.0.1:2/v1"))
    assert [model.id for model in registry.list()] == ["custom:z", "custom:a", "local:m"]


async def test_adding_a_model_again_replaces_it_and_says_so(registry: Registry) -> None:
    await registry.add(deployment("custom:b"))
    first = await registry.add(deployment("custom:a"), fallback=["custom:b"])
    second = await registry.add(deployment("custom:a", "http://127.0.0.1:2/v1"))
    assert first.note == ""
    assert "http://127.0.0.1:1/v1" in second.note
    assert second.replaced == first.model.deployments
    assert [one.base_url for one in registry.get("custom:a").deployments] == ["http://127.0.0.1:2/v1"]
    assert registry.get("custom:a").fallback == ["custom:b"]


async def test_another_deployment_stands_beside_the_first_with_a_name_of_its_own(registry: Registry) -> None:
    await registry.add(deployment("custom:a"))
    await registry.add(deployment("custom:a", "http://127.0.0.1:2/v1"), another=True)
    expected = registry.place(deployment("custom:a"), another=True)
    added = await registry.add(deployment("custom:a"), another=True)
    assert added.deployment == expected
    assert added.replaced == []
    assert [one.id for one in registry.get("custom:a").deployments] == [
        "custom:a@127.0.0.1:1",
        "custom:a@127.0.0.1:2",
        "custom:a@127.0.0.1:1#2",
    ]
    assert (await registry.add(deployment("custom:a"), another=True)).deployment.id == "custom:a@127.0.0.1:1#3"


@pytest.mark.parametrize(
    "id",
    [
        "auto",
        "gpt-4o",
        "custom:",
        ":x",
        "Custom:x",
        "custom:a b",
        "custom:\n",
        "custom:" + "x" * 300,
        "",
        "custom:-x",
        "custom:ü",
    ],
)
def test_a_name_that_is_none_is_refused_with_one_that_is(id: str) -> None:
    with pytest.raises(BadInputError) as caught:
        check_model_id(id)
    assert any("custom:" in tip for tip in caught.value.tips)


@pytest.mark.parametrize(
    "id", ["custom:a", "openai:gpt-4o", "local:qwen2.5-coder:1.5b", "custom:org/model@rev+1", "my-plugin:x_y"]
)
def test_names_of_every_provider_are_taken(id: str) -> None:
    assert check_model_id(id) == id.partition(":")[0]


async def test_an_unknown_name_gets_the_nearest_ones_and_the_commands(registry: Registry) -> None:
    for name in ("openai:gpt-4o", "openai:gpt-4o-mini", "custom:qwen"):
        await registry.add(deployment(name))
    for typed, meant in (
        ("gpt-4o", "openai:gpt-4o"),
        ("openai:gpt4o", "openai:gpt-4o"),
        ("QWEN", "custom:qwen"),
        ("custom:qwem", "custom:qwen"),
        ("anthropic:qwen", "custom:qwen"),
    ):
        with pytest.raises(UnknownModelError) as caught:
            registry.get(typed)
        assert meant in caught.value.tips[0]
        assert "beast models list" in caught.value.tips[-1]
    assert "beast models add openai:o9" in registry.unknown("openai:o9").tips[1]
    assert registry.unknown("\n").tips == ["see what is registered: beast models list"]
    assert registry.find("nothing") is None


async def test_a_fallback_must_be_registered_and_not_the_model_itself(registry: Registry) -> None:
    await registry.add(deployment("custom:a"))
    with pytest.raises(UnknownModelError, match="custom:b"):
        await registry.add(deployment("custom:c"), fallback=["custom:b"])
    with pytest.raises(BadInputError, match="its own fallback"):
        await registry.add(deployment("custom:c"), fallback=["custom:c"])
    assert registry.find("custom:c") is None
    await registry.add(deployment("custom:c"), fallback=["custom:a", "custom:a"])
    assert registry.get("custom:c").fallback == ["custom:a"]


async def test_a_removed_model_leaves_the_fallback_lists_too(registry: Registry, clock: StillClock) -> None:
    await registry.add(deployment("custom:a"))
    await registry.add(deployment("custom:b"), fallback=["custom:a"])
    removed = await registry.remove("custom:a")
    assert removed.model.id == "custom:a"
    assert "custom:b" in removed.note
    assert (await reloaded(registry, clock)).get("custom:b").fallback == []
    assert (await registry.remove("custom:b")).note == ""
    with pytest.raises(UnknownModelError):
        await registry.remove("custom:b")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": 1}',
        b'{"schema": "1", "models": []}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"schema": 1, "models": [{"id": 1}]}',
    ],
)
async def test_a_damaged_file_is_moved_aside_and_named(tmp_path: Path, clock: StillClock, content: bytes) -> None:
    file = tmp_path / "models.json"
    file.write_bytes(content)
    file.chmod(0o600)
    registry = Registry(file, clock)
    await registry.load()
    assert registry.list() == []
    [aside] = tmp_path.iterdir()
    assert aside.read_bytes() == content
    assert registry.problem is not None
    assert str(aside) in registry.problem
    await registry.add(deployment("custom:a"))
    assert (await reloaded(registry, clock)).problem is None


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, clock: StillClock) -> None:
    file = tmp_path / "models.json"
    content = b'{"schema": 2, "models": {"of": "another shape"}}'
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(BadInputError, match="newer") as caught:
        await Registry(file, clock).load()
    assert "pip install --upgrade beastmode" in caught.value.tips[0]
    assert file.read_bytes() == content


async def test_a_file_that_others_can_write_is_refused(tmp_path: Path, clock: StillClock) -> None:
    file = tmp_path / "models.json"
    file.write_bytes(b'{"schema": 1, "models": []}')
    file.chmod(0o666)
    with pytest.raises(AccessError):
        await Registry(file, clock).load()


async def test_a_change_that_can_not_be_written_does_not_happen(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.add(deployment("custom:a"))

    def full(file: Path, content: bytes) -> None:
        raise AccessError("the disk is full")

    monkeypatch.setattr(models, "write_private", full)
    for change in (
        registry.add(deployment("custom:b")),
        registry.remove("custom:a"),
    ):
        with pytest.raises(AccessError):
            await change
    assert [model.id for model in registry.list()] == ["custom:a"]


async def test_changes_at_once_are_all_kept(registry: Registry, clock: StillClock) -> None:
    await asyncio.gather(*(registry.add(deployment(f"custom:m{number}")) for number in range(20)))
    assert len(registry.list()) == 20
    assert (await reloaded(registry, clock)).list() == registry.list()


async def test_a_caller_that_goes_away_leaves_disk_and_memory_the_same(registry: Registry, clock: StillClock) -> None:
    for number in range(10):
        task = asyncio.create_task(registry.add(deployment(f"custom:m{number}")))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await registry.add(deployment("custom:last"))
    assert registry.find("custom:last")
    assert (await reloaded(registry, clock)).list() == registry.list()


@settings(deadline=None, max_examples=100)
@given(text=st.text(max_size=30))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        assert check_model_id(text) == text.partition(":")[0]
    except BadInputError as error:
        assert error.tips
