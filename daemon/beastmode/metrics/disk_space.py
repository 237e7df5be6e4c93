"""How much room the disks of the daemon's folders have left, looked at on a thread: a disk may not answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from beastmode.core.settings import HealthSettings
from beastmode.metrics.health import Issue

MB = 1 << 20


class Space(msgspec.Struct, frozen=True):
    """The disk of a folder.

    Attributes:
        free_bytes: What a program without privileges may still write.
        total_bytes: Its size.
    """

    free_bytes: int
    total_bytes: int


def space_of(folder: Path) -> Space:
    """Asks the system.

    Args:
        folder: A folder that is there.

    Raises:
        OSError: It is not, or can not be asked.
    """
    found = os.statvfs(folder)
    return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


class DiskSpace:
    """Watches disks.

    Args:
        folders: By a word for what they hold, such as `state`.
        rules: Gives the thresholds in force.
        ask: Asks the system; blocks.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        rules: Callable[[], HealthSettings],
        ask: Callable[[Path], Space] = space_of,
    ) -> None:
        self._folders = dict(folders)
        self._rules = rules
        self._ask = ask
        self._seen: dict[str, Space | str] = {}
        self._looking: asyncio.Future[dict[str, Space | str]] | None = None

    async def refresh(self) -> None:
        """Looks anew; while an earlier look has not come back, waits for that one."""
        if self._looking is None:
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._look))
            self._looking.add_done_callback(self._take)
        await asyncio.shield(self._looking)

    def _look(self) -> dict[str, Space | str]:
        found: dict[str, Space | str] = {}
        for name, folder in self._folders.items():
            try:
                found[name] = self._ask(folder)
            except OSError as error:
                found[name] = error.strerror or type(error).__name__
        return found

    def _take(self, looked: asyncio.Future[dict[str, Space | str]]) -> None:
        self._looking = None
        if not looked.cancelled() and looked.exception() is None:
            self._seen = looked.result()

    def issues(self) -> list[Issue]:
        """Disks that are nearly full, each once, and those that can not be asked."""
        found: dict[object, Issue] = {}
        if self._looking is not None:
            cause = "The disk of the daemon's folders does not answer."
            found[None] = Issue("disk", "degraded", cause, "look at what is mounted there: df -h")
        for name, space in self._seen.items():
            folder = self._folders[name]
            if isinstance(space, str):
                cause = f"The disk of {folder} can not be asked: {space}."
                found[name] = Issue("disk", "degraded", cause, f"ls -ld {folder}")
            elif space.free_bytes < self._least_bytes(space) and space not in found:
                found[space] = self._full(folder, space)
        return list(found.values())

    def _least_bytes(self, space: Space) -> float:
        rules = self._rules()
        return max(rules.disk_free_bytes, rules.disk_free_share * space.total_bytes)

    def _full(self, folder: Path, space: Space) -> Issue:
        free, least = space.free_bytes / MB, self._least_bytes(space) / MB
        return Issue(
            "disk",
            "degraded",
            f"The disk of {folder} has {free:.0f} MB left; below {least:.0f} MB history and answers may be lost.",
            f"free space on it (df -h {folder}; beast cache clear gives back what answers take)",
        )

    def figures(self) -> dict[str, Any]:
        """What is known of each folder's disk, by its word; None where it could not be asked."""
        return {
            name: msgspec.structs.asdict(space) if isinstance(space, Space) else None
            for name, space in self._seen.items()
        }
