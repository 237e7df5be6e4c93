"""Real weights for tests: fetched once, kept between runs, shared by all tests.

They are kept in the folder that `BEAST_TEST_WEIGHTS` names, else in `~/.cache/beastmode-tests`. To fetch them ahead of
the tests (set-up): `python tests/support/weights.py`. To use them: `from support.weights import weights_dir`, which is
a fixture; a plugin takes the folder as its option `weights_dir`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beastmode.core.clock import Clock
from beastmode.core.errors import BeastError
from beastmode.core.plugins import Progress
from beastmode_plugins.weights import LocalWeights

NAME = "smollm2"


def cache_folder() -> Path:
    """Where the tests keep weights."""
    chosen = os.environ.get("BEAST_TEST_WEIGHTS")
    return Path(chosen) if chosen else Path("~/.cache/beastmode-tests").expanduser()


def fetch(name: str = NAME, show: bool = False) -> Path:
    """Fetches weights unless they are there already.

    Args:
        name: Their name.
        show: Print the progress.

    Returns:
        The folder of all weights.
    """
    folder = cache_folder()
    weights = LocalWeights()
    weights.place(folder, Clock())
    last = [""]

    def on_progress(progress: Progress) -> None:
        line = f"{name}: {progress.phase} {100 * progress.done_bytes // progress.total_bytes}%"
        if show and line != last[0]:
            last[0] = line
            print(line, file=sys.stderr)

    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
        thread.submit(lambda: asyncio.run(weights.fetch(name, on_progress))).result()
    return folder


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The folder in which `smollm2` is installed."""
    try:
        return fetch()
    except BeastError as error:
        pytest.skip(f"the weights {NAME} can not be fetched: {error.message}")


if __name__ == "__main__":
    fetch(sys.argv[1] if len(sys.argv) > 1 else NAME, show=True)
