"""Popular answers whose files have changed: remembered here, so that warming may make them anew before they are asked.

Nothing here decides what is true: that is looked up at each hit. Who takes from here looks, too, whether what is stored
holds again by then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.types import Entry, Request

POPULAR = 2
"""So often must an answer have been asked for."""
KNOWN_MAX = 400
KEPT_MAX_CHARS = 32_000
QUIET_S = 5.0
"""So long must its files have been left alone: whoever types saves often."""
FORGOTTEN_S = 24 * 3600.0
WAITING_S = 3600.0


class Popular(msgspec.Struct):
    """A question that was asked about a workspace.

    Attributes:
        request: As it was asked last.
        paths: The files that its last answer was made from.
        used: How often it was asked.
        used_s: Monotonic clock at which it was asked last.
        changed_s: The same of the last change of one of the files since; None: none has changed.
    """

    request: Request
    paths: frozenset[str]
    used: int
    used_s: float
    changed_s: float | None = None


class Refreshing:
    """Remembers what people ask about workspaces, and which of it has become stale. Used on the event loop.

    Args:
        clock: Time.
        enabled: Whether anything may be remembered.
    """

    def __init__(self, clock: Clock, enabled: Callable[[], bool] = lambda: True) -> None:
        self._clock = clock
        self._enabled = enabled
        self._known: OrderedDict[bytes, Popular] = OrderedDict()

    def note(self, request: Request, entry: Entry) -> None:
        """An answer that was made from pieces of a workspace was served, or stored.

        Args:
            request: What was asked, by whomever.
            entry: The answer in front is the one that holds.
        """
        before = self._known.pop(entry.key, None)
        paths = frozenset(piece.path for piece in entry.pieces)
        if request.origin != "person":
            if before is not None:  # it was made anew
                before.paths, before.changed_s = paths, None
                self._known[entry.key] = before
            return
        if not self._enabled() or _chars(request) > KEPT_MAX_CHARS:
            return
        used = 1 if before is None else before.used + 1
        self._known[entry.key] = Popular(_again(request), paths, used, self._clock.mono_s())
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def changed(self, root: str, paths: Sequence[str], batch: bool) -> None:
        """Files of a workspace have changed.

        Args:
            root: The workspace.
            paths: Inside it.
            batch: They are among many.
        """
        now_s, there = self._clock.mono_s(), frozenset(paths)
        for key, one in list(self._known.items()):
            if one.request.workspace != root:
                continue
            if there & _own(one.request):  # who asks again shows another text, and that is another question
                del self._known[key]
            elif there & one.paths:
                one.changed_s = now_s

    def stale(self) -> list[tuple[Request, float]]:
        """What was asked often and may be stale by now, each with about how likely it is asked again."""
        now_s = self._clock.mono_s()
        found = []
        for key, one in list(self._known.items()):
            if now_s - one.used_s > FORGOTTEN_S:
                del self._known[key]
            elif one.changed_s is not None and one.used >= POPULAR and QUIET_S <= now_s - one.changed_s <= WAITING_S:
                found.append((msgspec.structs.replace(one.request), one.used / (one.used + 3.0)))
        return sorted(found, key=lambda one: -one[1])

    def forget(self) -> None:
        """Forgets what was asked."""
        self._known.clear()


def _again(request: Request) -> Request:
    """A request as the daemon would ask it."""
    return msgspec.structs.replace(
        request,
        origin="warming",
        cache="default",
        native=None,
        stream=False,
        max_cost_usd=None,
        session_id=None,
        traceparent=None,
        request_id="",
    )


def _own(request: Request) -> set[str]:
    """Files whose text the request itself shows, or holds unsaved."""
    return {*(digest.path for digest in request.digests), *request.opened}


def _chars(request: Request) -> int:
    said = sum(len(one.content) if isinstance(one.content, str) else KEPT_MAX_CHARS for one in request.messages)
    return said + sum(map(len, request.opened.values()))
