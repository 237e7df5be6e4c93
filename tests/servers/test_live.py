"""What dashboards show: counted once for all who see the same, sent when it changed, the newest for who was slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from beastmode.core.clock import Clock
from beastmode.servers.live import Frame, Live, Part, Viewer


class Page(Viewer):
    """A viewer that keeps what it is shown."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.events: list[bytes] = []
        self.pings = 0
        self.slow = self.gone = False

    @property
    def ready(self) -> bool:
        return not self.slow

    def show(self, frame: Frame) -> None:
        self.events.append(frame.event)
        self.frames.append(json.loads(frame.event.partition(b"data: ")[2]))

    def ping(self, at_s: float) -> None:
        self.pings += 1

    def leave(self) -> None:
        self.gone = True


class House:
    """Something to look at: a number that tests change, and how often it was counted."""

    def __init__(self) -> None:
        self.number = self.revision = self.counted = 0
        self.epoch = "first"
        self.fails = False
        self.live = Live(
            clock=Clock(),
            revision=lambda: self.revision,
            spent_s=lambda: 0.0,
            epoch=lambda: self.epoch,
            parts_of=lambda view: [Part("number", self._count, (0.0, 0.2))],
            shared=[Part("still", self._still, (0.0, 0.2))],
        )

    async def _count(self) -> int:
        self.counted += 1
        if self.fails:
            raise ValueError("it can not be counted")
        return self.number

    async def _still(self) -> str:
        return "always the same"

    def change(self, number: int) -> None:
        self.number = number
        self.revision += 1


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_viewer_is_shown_everything_at_once_and_then_what_changed() -> None:
    house, page = House(), Page()
    house.live.watch("a", page)
    await until(lambda: bool(page.frames))
    assert (page.frames[0]["number"], page.frames[0]["still"]) == (0, "always the same")
    house.change(5)
    await until(lambda: len(page.frames) > 1)
    assert page.frames[1]["number"] == 5
    assert "still" not in page.frames[1]
    await house.live.close()


async def test_viewers_of_one_view_share_one_count_and_the_same_bytes() -> None:
    house, pages = House(), [Page() for _ in range(8)]
    for page in pages:
        house.live.watch("a", page)
    await until(lambda: all(page.frames for page in pages))
    assert house.counted == 1
    assert all(page.events[0] is pages[0].events[0] for page in pages)
    await house.live.close()


async def test_where_nothing_changed_there_is_a_ping_and_no_frame() -> None:
    house, page = House(), Page()
    house.live.watch("a", page)
    await until(lambda: page.pings > 0)
    assert len(page.frames) == 1
    await house.live.close()


async def test_who_was_slow_gets_the_newest_and_no_queue() -> None:
    house, slow, quick = House(), Page(), Page()
    house.live.watch("a", slow)
    house.live.watch("a", quick)
    await until(lambda: bool(slow.frames and quick.frames))
    slow.slow = True
    for number in (1, 2, 3):
        house.change(number)
        await until(lambda wanted=number: quick.frames[-1].get("number") == wanted)  # type: ignore[misc]  # bound now
    assert len(slow.frames) == 1
    slow.slow = False
    await until(lambda: len(slow.frames) > 1)
    assert slow.frames[1]["number"] == 3
    await house.live.close()


async def test_frames_come_at_most_four_times_a_second() -> None:
    house, page = House(), Page()
    house.live.watch("a", page)
    await until(lambda: bool(page.frames))
    began_s = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began_s < 1.0:
        house.change(house.number + 1)
        await asyncio.sleep(0.005)
    assert len(page.frames) <= 7
    await house.live.close()


async def test_without_viewers_nothing_is_counted() -> None:
    house, page = House(), Page()
    house.live.watch("a", page)
    await until(lambda: bool(page.frames))
    house.live.forget("a", page)
    await asyncio.sleep(0.4)
    counted = house.counted
    house.change(1)
    await asyncio.sleep(0.6)
    assert (house.counted, house.live.viewers) == (counted, 0)
    await house.live.close()


async def test_a_part_that_fails_is_null_and_the_others_go_on() -> None:
    house, page = House(), Page()
    house.fails = True
    house.live.watch("a", page)
    await until(lambda: bool(page.frames))
    assert (page.frames[0]["number"], page.frames[0]["still"]) == (None, "always the same")
    await house.live.close()


async def test_everybody_leaves_when_the_sessions_end() -> None:
    house, page = House(), Page()
    house.live.watch("a", page)
    await until(lambda: bool(page.frames))
    house.epoch = "second"
    await until(lambda: page.gone)
    assert house.live.viewers == 0
    await house.live.close()


async def test_everybody_leaves_when_the_daemon_ends() -> None:
    house, page = House(), Page()
    house.live.watch("a", page)
    await house.live.close()
    assert page.gone
