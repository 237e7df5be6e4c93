"""Hears from the system which folders changed, following no link; where it can not, it says that one must look."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from watchfiles._rust_notify import RustNotify

STEP_MS = 40
GATHER_MS = 250
FLOOD, PATHS_MAX = 50, 4000
TRIES, RETRY_S = 5, 60.0
FLOOD_QUIET_MS = 250
GATHER_MAX_S, LOCK_QUIET_S, LOCK_FRESH_S = 10.0, 1.0, 20.0
LOCKS = (".git/index.lock", ".git/HEAD.lock", ".hg/wlock")
"""While one of these is there, a program switches branches or merges: what changes meanwhile is one change."""


class Stop(Protocol):
    """Tells that all is to end."""

    def is_set(self) -> bool:
        """Whether it is."""


Notify = Callable[[list[str], bool, bool, int, bool, bool], Any]


class Watcher:
    """Watches the folders of one workspace.

    Args:
        root: The workspace.
        stop: Ends every wait.
        notify: What the system's events come from.

    Attributes:
        problem: Why changes are not told by the system; empty: they are.
        tip: What to do about it.
        may_have_missed: So much changed at once that the system may have told some of it to nobody.
    """

    def __init__(self, root: str, stop: Stop, notify: Notify = RustNotify) -> None:
        self._root = root
        self._stop = stop
        self._notify = notify
        self._source: Any = None
        self._watched: frozenset[str] = frozenset()
        self._left: set[str] = set()
        self._not_before_s = 0.0
        self.problem = ""
        self.tip = ""
        self.may_have_missed = False

    def watch(self, folders: Iterable[str]) -> frozenset[str]:
        """Watches these folders from now on; what changed in former ones is still told.

        Args:
            folders: As `a/b/`, the root empty.

        Returns:
            Those that were not watched before: what changed in them meanwhile is not known.
        """
        wanted = frozenset(folders)
        if self.problem and time.monotonic() < self._not_before_s:
            return frozenset()
        fresh = wanted - self._watched
        if not fresh and len(self._watched) < 2 * len(wanted) + 64:
            return fresh
        before, self._source = self._source, self._open(wanted)
        self._watched = frozenset() if self._source is None else wanted
        if before is not None:
            self._left.update(_raw(before, 1, 1, 1, self._stop))
            before.close()
        return fresh

    def _open(self, folders: frozenset[str]) -> Any:
        recursive = sys.platform == "darwin"  # FSEvents follows no link, and takes one folder at a time
        for _ in range(TRIES):
            paths = [self._root] if recursive else [self._path(one) for one in folders if self._can_watch(one)]
            try:
                source = self._notify(paths, False, False, 0, recursive, True)
            except FileNotFoundError as error:  # one of them went just now
                self._polls(error)
            except Exception as error:  # of many kinds, and none of them documented
                self._polls(error)
                return None
            else:
                self.problem = self.tip = ""
                return source
        return None

    def wait(self, limit_s: float) -> set[str] | None:
        """Waits for changes; those that come together are told together.

        Args:
            limit_s: Longest wait.

        Returns:
            The folders in which something changed, as `a/b/`; empty: the time is over. None: nothing is told by the
            system, the time is over, and everything is to be looked at.
        """
        if self._source is None:
            self._sleep(limit_s)
            return None
        paths, self._left = self._left, set()
        limit_ms = 1 if paths else max(int(limit_s * 1000), 1)
        paths.update(_raw(self._source, GATHER_MS, STEP_MS, limit_ms, self._stop))
        if paths:
            self._gather(paths)
        self.may_have_missed |= len(paths) > PATHS_MAX
        return self._folders(paths)

    def close(self) -> None:
        """Watches nothing any more."""
        if self._source is not None:
            self._source.close()
        self._source, self._watched = None, frozenset()

    def _gather(self, paths: set[str]) -> None:
        """Waits for the rest of what changes together: until a switch of branches is over, or a flood has run dry."""
        began_s = grew_s = time.monotonic()
        while not self._stop.is_set():
            locked = self._is_locked()
            if not locked and len(paths) < FLOOD:
                return
            before = len(paths)
            paths.update(_raw(self._source, GATHER_MS, STEP_MS, FLOOD_QUIET_MS, self._stop))
            now_s = time.monotonic()
            if len(paths) > before:
                grew_s = now_s
            if now_s - began_s > GATHER_MAX_S or (len(paths) == before and now_s - grew_s > LOCK_QUIET_S * locked):
                return

    def _is_locked(self) -> bool:
        for lock in LOCKS:
            with contextlib.suppress(OSError):
                if time.time() - Path(self._root, lock).lstat().st_mtime < LOCK_FRESH_S:
                    return True
        return False

    def _folders(self, paths: Iterable[str]) -> set[str]:
        """The folders in which something changed; one that went itself, or came, has to be watched anew."""
        found, itself = set(), set()
        start = len(self._root) + 1
        for path in paths:
            inside = path[start:] if path.startswith(f"{self._root}/") else ""
            found.add(inside.rpartition("/")[0] + "/" if "/" in inside else "")
            if f"{inside}/" in self._watched:
                itself.add(f"{inside}/")
        if itself:
            self._watched = frozenset(one for one in self._watched if itself.isdisjoint(_and_above(one)))
        return found | itself

    def _path(self, folder: str) -> str:
        return f"{self._root}/{folder}".rstrip("/") or "/"

    def _can_watch(self, folder: str) -> bool:
        try:
            return not Path(self._path(folder)).is_symlink() and os.access(self._path(folder), os.R_OK | os.X_OK)
        except (OSError, ValueError):
            return False

    def _polls(self, error: Exception) -> None:
        said = str(error).partition("\n")[0] or type(error).__name__
        self._not_before_s = time.monotonic() + RETRY_S
        self.problem = f"The system can not watch {self._root} ({said}); it is looked at from time to time instead."
        limited = "limit" in said.lower() or "too many" in said.lower() or "no space" in said.lower()
        self.tip = "see whether the disk is a local one, then: beast workspace open " + self._root
        if limited and sys.platform == "linux":
            self.tip = "sudo sysctl fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024"

    def _sleep(self, limit_s: float) -> None:
        until_s = time.monotonic() + limit_s
        while not self._stop.is_set() and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))


def _and_above(folder: str) -> list[str]:
    """A folder and those above it: `a/b/` and `a/`."""
    return [folder[: at + 1] for at, sign in enumerate(folder) if sign == "/"]


def _raw(source: Any, gather_ms: int, step_ms: int, limit_ms: int, stop: Stop) -> Iterable[str]:
    found = source.watch(gather_ms, step_ms, limit_ms, stop)
    return () if isinstance(found, str) else [path for _, path in found]
