"""The life of one workspace in the process that reads it: scanned, watched, scanned where something changed, away."""

from __future__ import annotations

import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from beastmode.workspace.chunks import cut
from beastmode.workspace.index.catalogue import Catalogue, DamagedError
from beastmode.workspace.index.orders import PATHS_IN_A_WORD, Order, Word
from beastmode.workspace.index.scanning import AwayError, Scanning
from beastmode.workspace.index.watcher import Watcher

PROGRESS_S = 0.2
SURE_S = 0.2
LOOK_S = 1.0
AWAY_S = 1.0
BATCH = 50
POLL_SHARE = 5.0
"""How much longer a pause between two looks is than a look, at least."""


class ClosedError(Exception):
    """Nobody wants this workspace to be followed any more."""


class Following(threading.Thread):
    """Follows one workspace until it is closed.

    Args:
        order: The workspace.
        say: Takes what there is to be said.
        watcher: Makes its watcher.
    """

    def __init__(
        self,
        order: Order,
        say: Callable[[Word], None],
        watcher: Callable[[str, threading.Event], Watcher] = Watcher,
    ) -> None:
        super().__init__(name=f"workspace {order.root}", daemon=True)
        self._order = order
        self._say = say
        self._make_watcher = watcher
        self._closed = threading.Event()
        self._said_s = 0.0
        self._expected = 0
        self._look_s = 0.0
        self._tells = False

    def close(self) -> None:
        """Ends it; returns at once."""
        self._closed.set()

    def run(self) -> None:
        """Follows the workspace; what goes wrong is said, and tried again."""
        while not self._closed.is_set():
            try:
                self._follow()
            except ClosedError:
                return
            except AwayError as error:
                self._away(f"{self._order.root} can not be read: {error}.", "it is read again once it is back")
            except DamagedError:
                continue
            except (OSError, sqlite3.Error) as error:
                folder = Path(self._order.catalogue).parent
                self._away(f"The index of {self._order.root} can not be written: {error}.", f"df -h {folder}")
            except Exception as error:
                traceback.print_exc()
                cause = f"{self._order.root} could not be read: {type(error).__name__}: {error}."
                self._away(cause, "it is tried again; the log has more at level debug: state/logs/beast.log")

    def _away(self, problem: str, tip: str) -> None:
        self._say(Word(event="away", root=self._order.root, problem=problem, tip=tip))
        self._closed.wait(AWAY_S)

    def _follow(self) -> None:
        identity = _identity(self._order.root)
        watcher = self._make_watcher(self._order.root, self._closed)
        catalogue = Catalogue.open(self._order.catalogue)
        try:
            scanning = Scanning(self._order, catalogue, cut, self._tell)
            self._expected = scanning.files
            watcher.watch(scanning.places)
            self._tells = True
            changed = scanning.scan()
            self._tells = False
            self._settle(scanning, watcher, changed)
            self._report(scanning, watcher, catalogue, changed, ready=True)
            while not self._closed.is_set() and _identity(self._order.root) == identity:
                problem = watcher.problem
                changed = self._turn(scanning, watcher)
                if changed or watcher.problem != problem:
                    self._report(scanning, watcher, catalogue, changed)
        finally:
            catalogue.close()
            watcher.close()

    def _settle(self, scanning: Scanning, watcher: Watcher, changed: list[str]) -> None:
        """Watches every folder; what changed in new ones before they were watched is looked at once more."""
        while (fresh := watcher.watch(scanning.places)) and not watcher.problem:
            changed += scanning.look_again(fresh)

    def _turn(self, scanning: Scanning, watcher: Watcher) -> list[str]:
        """Waits for a change and takes it in; returns what is other than before."""
        began_s = time.monotonic()
        if watcher.problem:
            changed_folders = watcher.wait(max(self._order.poll_s, POLL_SHARE * self._look_s))
        else:
            changed_folders = watcher.wait(SURE_S if scanning.unsure else LOOK_S)
        if self._closed.is_set():
            raise ClosedError
        if changed_folders is None or (not changed_folders and watcher.may_have_missed):
            watcher.may_have_missed = False
            scanning.unsure.clear()
            began_s = time.monotonic()
            changed = scanning.scan()
            self._look_s = time.monotonic() - began_s
        else:
            unsure, scanning.unsure = scanning.unsure, set()
            if not changed_folders and not unsure:
                return []
            if time.monotonic() - began_s < SURE_S and unsure and not unsure & changed_folders:
                scanning.unsure |= unsure
                unsure = set()
            changed = scanning.look_again(changed_folders | unsure)
        self._settle(scanning, watcher, changed)
        return changed

    def _report(
        self, scanning: Scanning, watcher: Watcher, catalogue: Catalogue, changed: list[str], ready: bool = False
    ) -> None:
        """Says what changed, in words of a bearable length, and how everything is."""
        files, chunks = catalogue.counts()
        paths = list(dict.fromkeys(changed))
        batch = len(paths) >= BATCH
        while len(paths) > PATHS_IN_A_WORD:
            head, paths = paths[:PATHS_IN_A_WORD], paths[PATHS_IN_A_WORD:]
            self._say(Word(event="changed", root=self._order.root, paths=head, batch=batch, more=True))
        self._say(
            Word(
                event="ready" if ready else "changed",
                root=self._order.root,
                files=files,
                chunks=chunks,
                paths=paths,
                batch=batch,
                watching="polling" if watcher.problem else "events",
                problem=watcher.problem,
                tip=watcher.tip,
                left_out=scanning.left_out(),
            )
        )

    def _tell(self, seen: int, path: str) -> None:
        if self._closed.is_set():
            raise ClosedError
        if path:
            self._say(Word(event="cutting", root=self._order.root, paths=[path]))
        now_s = time.monotonic()
        if self._tells and now_s - self._said_s >= PROGRESS_S:
            self._said_s = now_s
            self._say(Word(event="progress", root=self._order.root, seen=seen, expected=self._expected))


def _identity(root: str) -> tuple[int, int]:
    """Which folder lies at the workspace's path.

    Raises:
        AwayError: None does.
    """
    try:
        found = Path(root).lstat()
    except OSError as error:
        raise AwayError(error.strerror or str(error)) from None
    return found.st_dev, found.st_ino
