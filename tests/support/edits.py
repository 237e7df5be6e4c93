"""A workspace that is edited at random while questions about it repeat: what may be answered, and what must be a hit.

The model answers with the pieces that it was shown. So every answer says what it was made from, and can be compared
with what the files were between the question and the answer.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from beastmode.client import AsyncClient
from beastmode.workspace.chunks import cut, digest
from support.scripted_provider import ScriptedChat, ScriptedProvider
from support.scripts import Say

FILES = 16
FUNCTIONS = 6
MAIN = "main"
SETTINGS = "[cache]\nsemantic = 'off'\n[workspace]\ncontext_tokens = 260\n[warming]\nenabled = false\n"
NAMES = ("walrus", "badger", "heron", "otter", "lynx", "raven", "stoat", "bison")
VERBS = ("fetch", "drop", "merge", "split", "paint", "weigh")
_SHOWN = re.compile(r"`([^`\n]+)`(?:, `[^`\n]*`)?:\n\n```\w*\n(.*?)\n```", re.DOTALL)

Shown = frozenset[tuple[str, str]]
"""Path and digest of each piece that a model was shown."""


class EchoProvider(ScriptedProvider):
    """A model that answers with the last thing it was told."""

    pause_s = 0.0

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        call = await self._note(request)
        said = call.body["messages"][-1]["content"]
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        try:
            reply = await self._send(request, call, Say(said), ScriptedChat(call.body))
        except BaseException:
            call.end("left")
            raise
        call.end("whole")
        return reply


class Version(NamedTuple):
    """What a file was for a while.

    Attributes:
        began_s: When it may have become so.
        pieces: Digests of its pieces; None: it was not there.
    """

    began_s: float
    pieces: frozenset[str] | None


class World:
    """The files, as they are and as they were.

    Args:
        root: An empty folder.
        seed: Draws the edits.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.draw = random.Random(seed)
        self.count = 0
        self.kinds: Counter[str] = Counter()
        self.texts: dict[str, str] = {}
        self.versions: dict[str, list[tuple[Version, float]]] = {}
        self._cuts: dict[tuple[str, str], frozenset[str]] = {}
        self._older: dict[str, list[str]] = {}
        for number in range(FILES):
            self._write(f"src/part{number % 4}/{NAMES[number % 8]}{number}.py", self._fresh(number))
        self._branches = {MAIN: dict(self.texts), "topic": self._other()}
        self._branch = MAIN

    # -- edits ----------------------------------------------------------------------------------------------------

    def edit(self) -> str:
        """Makes one edit, whose file system calls have returned when this does."""
        kinds: list[tuple[Callable[[], None], int]] = [
            (self.same_size, 30),
            (self.put_back, 12),
            (self.replaced, 14),
            (self.moved_down, 8),
            (self.reverted, 18),
            (self.renamed, 8),
            (self.removed, 3),
            (self.switched, 7),
        ]
        (kind,) = self.draw.choices([one for one, _ in kinds], [weight for _, weight in kinds])
        kind()
        self.count += 1
        self.kinds[kind.__name__] += 1
        return kind.__name__

    def same_size(self) -> None:
        """Other bytes, as many, into the same file."""
        path = self._any()
        self._put(path, self._other_number(self.texts[path]))

    def put_back(self) -> None:
        """The same, and the time of writing is put back to what it was."""
        path = self._any()
        found = (self.root / path).stat()
        self._put(path, self._other_number(self.texts[path]))
        os.utime(self.root / path, ns=(found.st_atime_ns, found.st_mtime_ns))

    def replaced(self) -> None:
        """Another file in its place, as editors save; some keep the time of writing."""
        path = self._any()
        found = (self.root / path).stat()
        text = self._other_number(self.texts[path])
        self._write(path, text, keep_ns=found.st_mtime_ns if self.draw.random() < 0.5 else None)

    def moved_down(self) -> None:
        """A line above everything: the pieces stay what they are."""
        path = self._any()
        head = self.draw.choice(("import os", "import re", "# A comment."))
        self._write(path, f"{head}\n\n\n{self.texts[path]}")

    def reverted(self) -> None:
        """A file becomes what it was before, or a few edits before that."""
        path = self._any()
        older = self._older.get(path, [])
        if older:
            self._write(path, older[-self.draw.randrange(1, min(len(older), 3) + 1)])

    def renamed(self) -> None:
        """A file gets another name, or its old one back."""
        path = self._any()
        other = path.removesuffix("_moved.py") + ".py" if path.endswith("_moved.py") else path[:-3] + "_moved.py"
        if other in self.texts:
            return
        text = self.texts.pop(path)
        began_s = time.perf_counter()
        (self.root / path).rename(self.root / other)
        self.texts[other] = text
        self._note(path, None, began_s)
        self._note(other, text, began_s)

    def removed(self) -> None:
        """A file goes; a revert or a switch may bring it back."""
        if len(self.texts) > FILES // 2:
            path = self._any()
            text = self.texts.pop(path)
            self._older.setdefault(path, []).append(text)
            began_s = time.perf_counter()
            (self.root / path).unlink()
            self._note(path, None, began_s)

    def switched(self) -> None:
        """Another branch: many files at once, as git writes them."""
        self._branches[self._branch] = dict(self.texts)
        self._branch = next(name for name in self._branches if name != self._branch)
        wanted = self._branches[self._branch]
        for path in sorted(set(self.texts) | set(wanted)):
            if path not in wanted:
                began_s = time.perf_counter()
                (self.root / path).unlink()
                del self.texts[path]
                self._note(path, None, began_s)
            elif self.texts.get(path) != wanted[path]:
                (self.root / path).unlink(missing_ok=True)
                self._put(path, wanted[path])

    # -- what is true ---------------------------------------------------------------------------------------------

    def was(self, shown: Shown, asked_s: float) -> bool:
        """Whether each piece was in its file at some moment since a question was asked."""
        return all(self._was(path, sha256, asked_s) for path, sha256 in shown)

    def holds(self, shown: Shown) -> bool:
        """Whether each piece is in its file now."""
        return all(path in self.texts and sha256 in self._pieces(path, self.texts[path]) for path, sha256 in shown)

    def lies(self, source: dict[str, Any]) -> bool:
        """Whether the lines that a source names hold its text."""
        lines = self.texts[source["path"]].split("\n")[source["first_line"] - 1 : source["last_line"]]
        return digest("\n".join(lines)) == source["sha256"]

    def _was(self, path: str, sha256: str, asked_s: float) -> bool:
        for version, ended_s in reversed(self.versions.get(path, [])):
            if ended_s < asked_s:
                return False
            if version.pieces is not None and sha256 in version.pieces:
                return True
        return False

    def _pieces(self, path: str, text: str) -> frozenset[str]:
        key = (path, digest(text))
        if key not in self._cuts:
            self._cuts[key] = frozenset(one.sha256 for one in cut(path, text))
        return self._cuts[key]

    # -- files ----------------------------------------------------------------------------------------------------

    def _any(self) -> str:
        return self.draw.choice(sorted(self.texts))

    def _write(self, path: str, text: str, keep_ns: int | None = None) -> None:
        """Writes a file beside it, then puts it in its place."""
        if path in self.texts:
            self._older.setdefault(path, []).append(self.texts[path])
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.fresh")
        fresh.write_text(text)
        if keep_ns is not None:
            os.utime(fresh, ns=(keep_ns, keep_ns))
        began_s = time.perf_counter()
        fresh.replace(place)
        self.texts[path] = text
        self._note(path, text, began_s)

    def _put(self, path: str, text: str) -> None:
        """Writes into the file that is there."""
        if path in self.texts:
            self._older.setdefault(path, []).append(self.texts[path])
        began_s = time.perf_counter()
        descriptor = os.open(self.root / path, os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, text.encode())
        os.ftruncate(descriptor, len(text.encode()))
        os.close(descriptor)
        self.texts[path] = text
        self._note(path, text, began_s)

    def _note(self, path: str, text: str | None, began_s: float) -> None:
        """Remembers what a file is since `began_s`, and that until now it may have been what it was before."""
        versions = self.versions.setdefault(path, [])
        if versions:
            last, _ = versions[-1]
            versions[-1] = (last, time.perf_counter())
        pieces = None if text is None else self._pieces(path, text)
        versions.append((Version(began_s, pieces), float("inf")))
        del versions[:-50]

    def _fresh(self, number: int) -> str:
        functions = [
            f"def {VERBS[place]}_{NAMES[number % 8]}{number}(value: int) -> int:\n"
            f'    """Does what {VERBS[place]} means for {NAMES[number % 8]}{number}."""\n'
            f"    return value + {100_000 + 1000 * number + place}\n"
            for place in range(FUNCTIONS)
        ]
        return "\n\n".join(functions)

    def _other_number(self, text: str) -> str:
        """The same text with another number of as many digits in one of its functions."""
        numbers = list(re.finditer(r"\b\d{6}\b", text))
        one = self.draw.choice(numbers)
        return f"{text[: one.start()]}{self.draw.randrange(100_000, 1_000_000)}{text[one.end() :]}"

    def _other(self) -> dict[str, str]:
        """Another branch: half of the files are other ones, one is not there."""
        texts = dict(self.texts)
        for path in sorted(texts)[::2]:
            texts[path] = self._other_number(texts[path])
        del texts[sorted(texts)[1]]
        return texts


class Tally:
    """What came of the questions."""

    def __init__(self) -> None:
        self.asked = self.empty = self.within_1_ms = self.stale = self.still_true = self.hit_of_true = 0
        self.results: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.missed: Counter[str] = Counter()
        self.latency_ms: dict[str, list[float]] = {}


class Asker:
    """Asks questions about a world, and compares what comes with what its files were.

    Args:
        client: Of the daemon.
        world: The files.
        model: Who answers.
        tally: Where to count.
    """

    def __init__(self, client: AsyncClient, world: World, model: str, tally: Tally) -> None:
        self._client = client
        self._world = world
        self._model = model
        self._tally = tally
        self._known: dict[str, dict[Shown, int]] = {}

    def question(self) -> str:
        """One of the questions, some of them more often than others."""
        number = min(int(self._world.draw.expovariate(0.3)), FILES - 1)
        return f"What does {VERBS[number % FUNCTIONS]}_{NAMES[number % 8]}{number} do?"

    async def ask(self, question: str, *, at_once: bool = False) -> dict[str, Any]:
        """Asks, and judges the answer.

        Args:
            question: Anything.
            at_once: An edit returned just now.
        """
        world, tally = self._world, self._tally
        known_before = enumerate(reversed(self._known.get(question, {})))
        true_before = {shown: number for number, shown in known_before if world.holds(shown)}
        asked_s, edits = time.perf_counter(), world.count
        answer: dict[str, Any] = await self._client.call(
            "chat", {"message": question, "model": self._model, "workspace": str(world.root)}
        )
        took_ms = (time.perf_counter() - asked_s) * 1e3
        shown = shown_in(answer["text"])
        result = answer["cache"]["result"]
        tally.asked += 1
        tally.within_1_ms += at_once
        tally.empty += not shown
        tally.results[result] += 1
        tally.latency_ms.setdefault(result, []).append(took_ms)
        right = shown == {(one["path"], one["sha256"]) for one in answer["sources"]}
        if world.count == edits:
            right = right and all(world.lies(one) for one in answer["sources"])
        if not world.was(shown, asked_s) or not right:
            tally.stale += 1
            tally.wrong.append(f"{question} after edit {edits}: {result}, {answer['cache']}")
        if any(world.count == edits and world.holds(one) for one in true_before):
            tally.still_true += 1
            tally.hit_of_true += result.startswith("hit")
            if not result.startswith("hit"):
                tally.missed[f"{min(true_before.values())} variants ago"] += 1
        known = self._known.setdefault(question, {})
        if shown:
            known.pop(shown, None)
            known[shown] = edits
        return answer


def shown_in(text: str) -> Shown:
    """The pieces in what a model was told."""
    return frozenset((path, digest(code)) for path, code in _SHOWN.findall(text))


async def replay(client: AsyncClient, world: World, model: str, edits: int, tasks: int = 3) -> Tally:
    """Edits and asks until there were so many edits.

    Args:
        client: Of the daemon, in which the world is open.
        world: The files.
        model: Who answers.
        edits: How many.
        tasks: How many ask beside the one who edits.
    """
    tally = Tally()
    asker = Asker(client, world, model, tally)
    ended = asyncio.Event()

    async def asking() -> None:
        while not ended.is_set():
            await asker.ask(asker.question())
            await asyncio.sleep(world.draw.choice((0, 0, 0.001, 0.004)))

    others = [asyncio.ensure_future(asking()) for _ in range(tasks)]
    try:
        while world.count < edits:
            for _ in range(world.draw.choice((1, 1, 1, 2, 5))):
                world.edit()
            await asker.ask(asker.question(), at_once=True)
            for _ in range(world.draw.choice((0, 1, 3))):
                await asker.ask(asker.question())
            await asyncio.sleep(world.draw.choice((0, 0, 0.002, 0.01)))
    finally:
        ended.set()
        await asyncio.gather(*others)
    return tally
