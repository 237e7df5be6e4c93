"""What the doors tell of: taken down in an instant, made into activities a moment later, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from beastmode.background.activity import Activities, Activity, Asked, Identity, SignalKind, digest_of
from beastmode.background.symbols import Symbols, symbol_of
from beastmode.core.clock import Clock
from beastmode.core.errors import BeastError
from beastmode.core.types import Request
from beastmode.workspace.actions import Task
from beastmode.workspace.index.workspace import Active
from beastmode.workspace.requests import ActionParams
from beastmode.workspace.secrets import holds_secret

PAUSE_S = 0.2
WAITING_MAX = 40
NEWEST_MAX = 200
ASKED_MAX_BYTES = 8_000
SAME_SIGN_S = 30.0
BURST, PER_S, SIGNS_LEAVE = 120.0, 1.0, 40.0
"""People ask some requests a minute. What comes faster for long is a program's, and would only crowd out the rest."""
CHANGED_MAX = 30
SYMBOLS_MAX = 4

_ACTION = ("kind", "language", "instruction", "model", "max_tokens", "temperature")

ReadText = Callable[[str, str], str | None]
OnFile = Callable[[str, str, list[str]], None]
Said = Callable[[], list[Activity]]


class Hearing:
    """Takes down what the doors tell of.

    Args:
        activity: Where it is noted.
        clock: Time.
        enabled: Whether the user wants anything kept.
        read: Reads a file of a workspace; None where that can not, or must not, be read. Blocks.
        on_file: Is told the symbols of each file that was looked at. Called in a thread.
    """

    def __init__(
        self, activity: Activities, clock: Clock, enabled: Callable[[], bool], read: ReadText, on_file: OnFile
    ) -> None:
        self._activity = activity
        self._clock = clock
        self._enabled = enabled
        self._read = read
        self._on_file = on_file
        self._symbols = Symbols()
        self._waiting: deque[Said] = deque()
        self._work: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._newest: dict[tuple[str, Identity], float] = {}
        self._allowance = BURST
        self._allowed_s = clock.mono_s()

    def chat(self, request: Request) -> None:
        """Somebody asks a question; costs about a microsecond, and less where a program asks more than people can."""
        waiting = len(self._waiting)
        if waiting and waiting >= self._allowance:  # what would get no note is not even looked at
            return
        if request.origin == "person" and self._enabled():
            at_s = self._clock.wall_s()
            self._hear(lambda: _chat(at_s, request))

    def action(self, params: ActionParams, task: Task, request: Request) -> None:
        """Somebody asks for an action."""
        if request.origin == "person" and self._enabled():
            at_s = self._clock.wall_s()
            self._hear(lambda: [self._action(at_s, params, task, request)])

    def active(self, told: Active) -> None:
        """An editor tells what somebody works on."""
        if self._enabled():
            at_s = self._clock.wall_s()
            self._hear(lambda: self._active(at_s, told))

    def changed(self, workspace: str, paths: list[str], many: bool) -> None:
        """Files of a workspace changed on the disk.

        Args:
            workspace: Which.
            paths: Of the files.
            many: They are one of many changes at once, as where a branch is checked out.
        """
        if self._enabled():
            at_s = self._clock.wall_s()
            self._hear(lambda: self._changed(at_s, workspace, paths, many))

    async def close(self) -> None:
        """Notes what is left."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        await self.heard()

    async def heard(self) -> None:
        """Notes what was told so far."""
        async with self._turn:
            while self._waiting:
                some = [*self._waiting]
                self._waiting.clear()
                for one in await asyncio.to_thread(_all, some):
                    if self._is_worth_it(one):
                        self._activity.note(one)

    def _hear(self, said: Said) -> None:
        if len(self._waiting) >= WAITING_MAX:
            return
        self._waiting.append(said)
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._soon())

    async def _soon(self) -> None:
        while self._waiting:
            await self._clock.sleep(PAUSE_S)
            await asyncio.shield(asyncio.ensure_future(self.heard()))

    def _is_worth_it(self, one: Activity) -> bool:
        """Whether something gets a note: not the same sign within moments, nor more than people can do."""
        if not one.is_request:
            key = one.kind, one.identity
            last_s = self._newest.pop(key, None)
            self._newest[key] = one.at_s
            if len(self._newest) > NEWEST_MAX:
                del self._newest[next(iter(self._newest))]
            if last_s is not None and 0 <= one.at_s - last_s < SAME_SIGN_S:
                return False
        now_s = self._clock.mono_s()
        self._allowance = min(BURST, self._allowance + (now_s - self._allowed_s) * PER_S)
        self._allowed_s = now_s
        if self._allowance < (1.0 if one.is_request else SIGNS_LEAVE):
            return False
        self._allowance -= 1.0
        return True

    def _action(self, at_s: float, params: ActionParams, task: Task, request: Request) -> Activity:
        subject, selection = task.subject, task.selection
        symbol = symbol_of(subject.path, subject.text, selection.first_line, selection.last_line)
        self._look(subject.root or "", subject.path, subject.text)
        return Activity(
            at_s=at_s,
            kind="action",
            action=params.kind,
            workspace=subject.root or "",
            path=subject.path,
            symbol=symbol,
            question=digest_of(params.instruction or ""),
            user=request.user,
            model=request.model,
            client=request.client,
            asked=_asked_action(params, task) if request.cache == "default" else None,
        )

    def _active(self, at_s: float, told: Active) -> list[Activity]:
        def one(symbol: str = "") -> Activity:
            return Activity(
                at_s=at_s,
                kind=told.event,
                workspace=told.workspace,
                path=told.path,
                symbol=symbol,
                user=told.user,
                client=told.client,
            )

        workspace, path = told.workspace, told.path
        if told.event == "edited":
            if not self._symbols.known(workspace, path):
                self._look_on_disk(workspace, path)
            return [one(self._symbols.at(workspace, path, told.first_line) if told.first_line is not None else "")]
        changed = self._look_on_disk(workspace, path) if told.event in ("opened", "saved") else []
        return [one(symbol) for symbol in changed[:SYMBOLS_MAX] if told.event == "saved"] or [one()]

    def _changed(self, at_s: float, workspace: str, paths: list[str], many: bool) -> list[Activity]:
        kind: SignalKind = "switched" if many else "saved"
        found = [Activity(at_s=at_s, kind="switched", workspace=workspace)] if many else []
        for path in paths[:CHANGED_MAX]:
            if self._symbols.known(workspace, path):
                found += [
                    Activity(at_s=at_s, kind=kind, workspace=workspace, path=path, symbol=symbol)
                    for symbol in self._look_on_disk(workspace, path)[:SYMBOLS_MAX]
                ]
        return found

    def _look_on_disk(self, workspace: str, path: str) -> list[str]:
        text = self._read(workspace, path)
        return self._look(workspace, path, text) if text is not None else []

    def _look(self, workspace: str, path: str, text: str) -> list[str]:
        symbols, changed = self._symbols.look(workspace, path, text)
        self._on_file(workspace, path, symbols)
        return changed


def _all(said: list[Said]) -> list[Activity]:
    found: list[Activity] = []
    for one in said:
        with contextlib.suppress(BeastError, OSError, ValueError, RecursionError):  # a note, and no more than that
            found += one()
    return found


def _chat(at_s: float, request: Request) -> list[Activity]:
    """What a question comes to: only what people type is noted, and not what programs say in long conversations."""
    asked = _asked_chat(request)
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "user" or not isinstance(last.content, str) or request.kind != "chat":
        return []
    if asked is None and request.session_id is None and not request.digests:
        return []
    return [
        Activity(
            at_s=at_s,
            kind="chat",
            workspace=request.workspace or "",
            question=digest_of(last.content),
            user=request.user,
            model=request.model,
            client=request.client,
            asked=asked,
        )
    ]


def _asked_chat(request: Request) -> Asked | None:
    """How a single question is asked again; None where more belongs to it than its words."""
    messages = request.messages
    plain = all(
        isinstance(one.content, str) and one.role in ("system", "developer", "user") and one.tool_calls is None
        for one in messages
    )
    single = plain and sum(one.role == "user" for one in messages) == 1 and request.session_id is None
    if not single or request.digests or request.cache != "default" or request.params.get("tools"):
        return None
    params = {
        "model": request.model,
        "messages": msgspec.to_builtins(messages),
        "params": msgspec.to_builtins(request.params),
        "gather": request.gather is not None,
    }
    return _within_bounds(Asked("chat", params))


def _asked_action(params: ActionParams, task: Task) -> Asked | None:
    kept: dict[str, Any] = {name: value for name in _ACTION if (value := getattr(params, name)) is not None}
    kept |= {"path": task.subject.path, "workspace": task.subject.root}
    if params.range is not None:
        kept["range"] = msgspec.to_builtins(params.range)
    if params.diagnostics:
        kept["diagnostics"] = msgspec.to_builtins(params.diagnostics)
    return _within_bounds(Asked("action", kept)) if task.subject.root is not None else None


def _within_bounds(asked: Asked) -> Asked | None:
    """Neither large nor with anything in it that looks like a key."""
    encoded = msgspec.json.encode(asked)
    return None if len(encoded) > ASKED_MAX_BYTES or holds_secret(encoded) else asked
