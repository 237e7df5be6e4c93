"""The real embedder for tests: its weights are fetched once and kept between runs, as `support.weights` does it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from beastmode.core.clock import Clock
from beastmode.core.errors import BeastError
from beastmode.core.plugins import Context
from beastmode_plugins.minilm import MiniLM
from beastmode_plugins.minilm_build import build
from support.weights import fetch


@pytest.fixture(scope="session")
def minilm_dir() -> Path:
    """The folder of all weights, with `minilm` ready for use."""
    for package in ("onnxruntime", "onnx"):
        pytest.importorskip(package, reason=f"the embedder needs {package} (pip install 'beastmode[embed]')")
    try:
        folder = fetch("minilm")
    except BeastError as error:
        pytest.skip(f"the weights minilm can not be fetched: {error.message}")
    build(folder / "minilm")
    return folder


def started_minilm(folder: Path, clock: Clock | None = None, **options: Any) -> MiniLM:
    """An embedder that is started.

    Args:
        folder: Folder of all weights.
        clock: Its clock.
        **options: Its options.
    """
    made = MiniLM()
    context = Context(
        http=cast(Any, None),  # it asks nobody
        data=folder,
        run=folder,
        clock=clock or Clock(),
        options={"weights_dir": str(folder), **options},
    )
    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
        thread.submit(lambda: asyncio.run(made.start(context))).result()
    return made


def ready_minilm(folder: Path) -> MiniLM:
    """An embedder that can be used."""
    made = started_minilm(folder)
    assert made.ready() is None
    return made
