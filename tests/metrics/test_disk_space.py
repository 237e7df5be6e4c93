"""A disk that is nearly full is said to be, wherever the daemon's folders are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beastmode.core.settings import HealthSettings
from beastmode.metrics.disk_space import DiskSpace, Space, space_of
from beastmode.metrics.health import Health
from beastmode.metrics.ledger import Ledger
from support.ledger import StillClock

MB = 1 << 20
FOLDERS = {"state": Path("/s"), "cache": Path("/c")}


def watch(**spaces: Space) -> DiskSpace:
    return DiskSpace(FOLDERS, HealthSettings, lambda folder: spaces[folder.name])


@pytest.mark.parametrize(
    ("free_bytes", "total_bytes", "full"),
    [
        (100 * MB, 1000 * MB, False),
        (100 * MB - 1, 1000 * MB, True),
        (1000 * MB, 100_000 * MB, False),
        (1000 * MB - 1, 100_000 * MB, True),
    ],
)
async def test_below_100_mb_or_one_percent_it_is_degraded(free_bytes: int, total_bytes: int, full: bool) -> None:
    disks = watch(s=Space(free_bytes, total_bytes), c=Space(10**12, 10**12))
    await disks.refresh()
    assert [issue.state for issue in disks.issues()] == (["degraded"] if full else [])


async def test_the_cause_names_the_folder_and_what_is_left_and_the_tip_what_to_do() -> None:
    disks = watch(s=Space(5 * MB, 1000 * MB), c=Space(10**12, 10**12))
    await disks.refresh()
    (issue,) = disks.issues()
    assert issue.cause == "The disk of /s has 5 MB left; below 100 MB history and answers may be lost."
    assert "df -h /s" in issue.tip


async def test_one_disk_with_both_folders_is_named_once() -> None:
    full = Space(5 * MB, 1000 * MB)
    disks = watch(s=full, c=full)
    await disks.refresh()
    assert len(disks.issues()) == 1


async def test_a_disk_that_can_not_be_asked_is_said_to_be_so() -> None:
    disks = DiskSpace({"state": Path("/nonexistent/folder")}, HealthSettings)
    await disks.refresh()
    (issue,) = disks.issues()
    assert "can not be asked: No such file or directory" in issue.cause
    assert disks.figures() == {"state": None}


def test_a_real_folder_has_room(tmp_path: Path) -> None:
    space = space_of(tmp_path)
    assert 0 < space.free_bytes <= space.total_bytes


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = Ledger(tmp_path, StillClock())
    ledger.start()
    yield ledger
    ledger.close()


async def test_a_disk_that_does_not_answer_holds_health_up_for_half_a_second_only(ledger: Ledger) -> None:
    answered = threading.Event()

    def hang(folder: Path) -> Space:
        answered.wait(30)
        return Space(10**12, 10**12)

    disks = DiskSpace({"state": Path("/s")}, HealthSettings, hang)
    health = Health(ledger, StillClock())
    health.add("disk", disks.issues, refresh=disks.refresh)
    async with asyncio.timeout(20):
        found = await health.check()
    assert found["status"] == "degraded"
    assert "does not answer" in found["issues"][0]["cause"]
    answered.set()
    await disks.refresh()
    await asyncio.sleep(0)
    assert (await health.check())["status"] == "healthy"
