"""What the tests of clients share: one daemon with scripted models for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.door import KINDS, Door, open_door


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with open_door() as door:
        yield door


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """What the provider behind the daemon speaks: Chat Completions, or Messages."""
    return str(request.param)
