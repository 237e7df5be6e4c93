"""A feature, from a request to edits of several files: planned, written, checked, mended, and offered when it is right.

Nothing is written here, and every model is asked through what is handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from beastmode.core.types import Answer, Digest, Message, Piece
from beastmode.workspace.changes import Change, changes_in
from beastmode.workspace.checking import Texts, digest_of, edits_of, problems_of
from beastmode.workspace.drafting import CHARS_PER_TOKEN, max_tokens_of, repair_messages, shown_text, write_messages
from beastmode.workspace.edits import Edit
from beastmode.workspace.file_names import path_in, resolved
from beastmode.workspace.ground import Ground, RefusedPathError
from beastmode.workspace.languages import language_of
from beastmode.workspace.patching import PatchError, patched
from beastmode.workspace.planning import Plan, Step, plan_messages, read_plan
from beastmode.workspace.replies import code_in
from beastmode.workspace.scouting import Scouted

PLAN_MAX_TOKENS = 2048
NAMED_MAX = 6


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model.

    Attributes:
        stage: plan, edit or repair.
        file: What it writes; empty: not one file alone.
        messages: The prompt.
        digests: Files that are shown in it.
        max_tokens: Longest answer.
    """

    stage: str
    file: str
    messages: list[Message]
    digests: list[Digest]
    max_tokens: int


class Feedback(msgspec.Struct, frozen=True):
    """What a check that the caller ran said of a proposal.

    Attributes:
        proposal: Its `digest_of`.
        text: What was wrong.
    """

    proposal: str
    text: str


Ask = Callable[[Question], Awaitable[Answer]]
Tell = Callable[[str, str, str], None]
"""Takes stage, file and message."""
Check = Callable[[Texts], Awaitable[str | None]]
"""Runs the user's command on a proposal; gives what was wrong, None where nothing was."""


class Made(msgspec.Struct, kw_only=True):
    """What came of a request.

    Attributes:
        summary: One sentence.
        edits: What is offered; empty where nothing is right.
        problems: What is still wrong.
        draft: What was made and is not offered, for a person to look at.
        proposal: The name of the proposal.
        repairs: How often it was sent back.
        checked: What was looked at, in words.
        sources: Pieces of the workspace that were shown to the model.
    """

    summary: str
    edits: list[Edit] = []
    problems: list[str] = []
    draft: list[Edit] = []
    proposal: str = ""
    repairs: int = 0
    checked: list[str] = []
    sources: list[Piece] = []


class Generation:
    """One request for a feature.

    Args:
        request: In the person's words.
        ground: The files that it is built on.
        files: Files that the person named.
        scouted: What else of the workspace belongs to it.
        ask: Asks a model.
        tell: Is told how far it is.
        check: The user's own check; None: there is none.
        feedback: What checks of the caller said of earlier proposals.
        repairs: How often a proposal may be sent back.
        max_files: How many files may be touched.
        context_tokens: How much of other files is shown.
    """

    def __init__(
        self,
        request: str,
        ground: Ground,
        files: Sequence[str],
        scouted: Scouted,
        *,
        ask: Ask,
        tell: Tell,
        check: Check | None = None,
        feedback: Sequence[Feedback] = (),
        repairs: int = 2,
        max_files: int = 20,
        context_tokens: int = 6000,
    ) -> None:
        self._request = request
        self._ground = ground
        self._files = list(files)
        self._scouted = scouted
        self._ask = ask
        self._tell = tell
        self._check = check
        self._feedback = {one.proposal: one.text for one in feedback}
        self._repairs = repairs
        self._max_files = max_files
        self._budget_chars = context_tokens * CHARS_PER_TOKEN
        self._texts: Texts = {}
        self._unfit: dict[str, str] = {}
        self._checked: list[str] = []
        self._repaired = 0

    async def run(self) -> Made:
        """Plans, writes, checks and mends.

        Raises:
            BeastError: A model could not be asked.
        """
        plan = await self._plan()
        for index, step in enumerate(plan.steps):
            if step.path not in self._texts:
                await self._write(step, [one.path for one in plan.steps[index + 1 :] if one.path not in self._texts])
        problems = await self._judged()
        while problems and self._repaired < self._repairs:
            before = digest_of(self._texts), list(problems)
            self._repaired += 1
            await self._mend(problems, plan)
            problems = await self._judged()
            if before == (digest_of(self._texts), problems):
                break  # the same question would get the same answer
        return await asyncio.to_thread(self._made, plan, problems)

    @property
    def texts(self) -> Texts:
        """The new texts so far, by path."""
        return self._texts

    # -- plan -----------------------------------------------------------------------------------------------------

    async def _plan(self) -> Plan:
        """Which files; a single one that the person named needs no plan."""
        if len(self._files) == 1:
            return Plan([Step(self._files[0])])
        self._tell("plan", "", "looking which files it touches")
        shown, digests = await asyncio.to_thread(self._shown, self._files, {})
        names, left_out = self._scouted.listing
        messages = plan_messages(self._request, [*shown, *self._scouted.shown], names, left_out)
        answer = await self._ask(
            Question(stage="plan", file="", messages=messages, digests=digests, max_tokens=PLAN_MAX_TOKENS)
        )
        known = self._known()
        plan = read_plan(answer.text, known, self._max_files)
        if plan is None or _is_code(answer.text):
            changes = [one for one in changes_in(answer.text, known) if one.path and one.language != "json"]
            if changes:
                await asyncio.to_thread(self._take, changes)
                return Plan([Step(path) for path in dict.fromkeys(one.path for one in changes)])
        if plan is None:
            plan = Plan([Step(path) for path in (self._files or self._scouted.ranked[:1])])
        self._tell("plan", "", ", ".join(step.path for step in plan.steps) or "no file was named")
        return plan

    def _known(self) -> frozenset[str]:
        return frozenset([*self._scouted.names, *self._files, *self._texts])

    # -- write ----------------------------------------------------------------------------------------------------

    async def _write(self, step: Step, others: list[str]) -> None:
        try:
            text = await asyncio.to_thread(self._now, step.path)
        except RefusedPathError as error:
            self._unfit[step.path] = f"`{step.path}` must not be written: it {error}."
            return
        self._tell("edit", step.path, step.what or ("writing" if text is None else "changing"))
        near = [path for path in [*self._texts, *self._files, *others] if path != step.path]
        shown, digests = await asyncio.to_thread(self._shown, near, self._texts)
        found = [one for path, one in self._scouted.pieces if path not in near and path != step.path]
        messages = write_messages(self._request, step.path, step.what, text, [*found, *shown], others)
        question = Question(
            stage="edit",
            file=step.path,
            messages=messages,
            digests=[*digests, *await asyncio.to_thread(self._digests, [step.path])],
            max_tokens=max_tokens_of([text]),
        )
        await self._ask_and_take(question, step.path)

    async def _ask_and_take(self, question: Question, path: str) -> None:
        answer = await self._ask(question)
        if answer.finish_reason == "length":
            self._unfit[path] = (
                f"The answer about `{path or 'it'}` was cut off: be shorter, and change only what has to."
            )
            return
        changes = await asyncio.to_thread(self._read, answer.text, path)
        if not changes:
            self._unfit[path] = f"The answer holds no code for `{path}`." if path else "The answer holds no code."
        await asyncio.to_thread(self._take, changes)

    def _read(self, answer: str, path: str) -> list[Change]:
        """What an answer changes; what names no file is about the one that was asked for."""
        found = changes_in(answer, self._known() | {path})
        target = path or (next(iter(self._texts)) if len(self._texts) == 1 else "")
        named = [one for one in found if one.path]
        if target and not any(one.path == target for one in named):
            bare = [one for one in found if not one.path]
            pieces = [one for one in bare if one.kind != "whole"]
            code = code_in(answer, self._now(target) or "", language_of(target).id) if not pieces else None
            wholes = [one for one in bare if one.kind == "whole"]
            if wholes and code is not None:
                pieces = [one for one in wholes if one.text == code] or wholes[:1]
            elif code is not None and not named:
                pieces = [Change(target, "whole", "", code)]
            named += [msgspec.structs.replace(one, path=target) for one in pieces]
        return named

    def _take(self, changes: Sequence[Change]) -> None:
        """Puts changes to the texts so far; what does not fit is said at the next check."""
        for path in dict.fromkeys(one.path for one in changes):
            try:
                text = patched(path, self._now(path), [one for one in changes if one.path == path])
            except PatchError as error:
                self._unfit[path] = str(error)
            except RefusedPathError as error:
                self._unfit[path] = f"`{path}` must not be written: it {error}."
            else:
                self._texts[path] = text

    def _now(self, path: str) -> str | None:
        return self._texts[path] if path in self._texts else self._ground.text(path)

    # -- check and mend -------------------------------------------------------------------------------------------

    async def _judged(self) -> list[str]:
        """What is wrong with what there is."""
        self._tell("check", "", "paths, diffs and syntax")
        problems = [*self._unfit.values()]
        self._unfit.clear()
        problems += await asyncio.to_thread(problems_of, self._ground, self._texts, self._max_files)
        self._checked = ["paths", "diff", "syntax"]
        if not problems and not await asyncio.to_thread(edits_of, self._ground, self._texts):
            problems.append("Nothing is changed by it.")
        if not problems and (said := self._feedback.get(digest_of(self._texts))) is not None:
            problems.append(said)
        if not problems and self._check is not None:
            self._checked.append("command")
            said = await self._check(dict(self._texts))
            problems += [said] if said is not None else []
        return problems

    async def _mend(self, problems: list[str], plan: Plan) -> None:
        first = problems[0].strip().split("\n")
        self._tell("repair", "", first[-1] if len(first) > 1 else first[0])
        paths = list(dict.fromkeys([*self._texts, *(step.path for step in plan.steps)]))
        texts = await asyncio.to_thread(self._readable, paths)
        named = [path for path in self._named_in(problems) if path not in texts]
        shown, digests = await asyncio.to_thread(self._shown, named, {})
        question = Question(
            stage="repair",
            file=paths[0] if len(paths) == 1 else "",
            messages=repair_messages(self._request, texts, problems, shown),
            digests=[*digests, *await asyncio.to_thread(self._digests, list(texts))],
            max_tokens=max_tokens_of(list(texts.values())),
        )
        await self._ask_and_take(question, question.file)

    def _named_in(self, problems: list[str]) -> list[str]:
        """Files that an error names, such as the test that failed."""
        known, found = self._known(), []
        for word in " ".join(problems).replace("(", " ").replace('"', " ").split():
            name = word.strip("`',;)").partition("::")[0].partition(":")[0]
            if path_in(name, known) and (path := resolved(name, known)) in known:
                found.append(path)
        return list(dict.fromkeys(found))[:NAMED_MAX]

    # -- what is shown and offered --------------------------------------------------------------------------------

    def _readable(self, paths: Sequence[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for path in paths:
            try:
                found[path] = self._now(path)
            except RefusedPathError:
                continue
        return found

    def _shown(self, paths: Sequence[str], texts: Mapping[str, str | None]) -> tuple[list[str], list[Digest]]:
        """Files as a model sees them, as long as there is room, and their digests."""
        shown: list[str] = []
        kept: list[str] = []
        room = self._budget_chars
        for path in dict.fromkeys(paths):
            try:
                text = texts[path] if path in texts else self._ground.text(path)
            except RefusedPathError:
                continue
            if text is not None and len(text) <= room:
                room -= len(text)
                shown.append(shown_text(path, text))
                kept.append(path)
        return shown, self._digests(kept)

    def _digests(self, paths: Sequence[str]) -> list[Digest]:
        found = [(path, self._ground.sha256(path)) for path in paths]
        return [Digest(path, sha256) for path, sha256 in found if sha256 is not None]

    def _made(self, plan: Plan, problems: list[str]) -> Made:
        edits = edits_of(self._ground, self._texts)
        made = Made(
            summary=_summary(plan, edits) if not problems else _refusal(problems, self._repaired),
            problems=problems,
            proposal=digest_of(self._texts),
            repairs=self._repaired,
            checked=self._checked,
            sources=self._scouted.sources,
        )
        if problems:
            made.draft = edits
        else:
            made.edits = edits
        return made


def _is_code(answer: str) -> bool:
    return "<<<<<<<" in answer or "\n@@ " in answer or "*** Begin Patch" in answer


def _summary(plan: Plan, edits: Sequence[Edit]) -> str:
    words = {"create": "creates", "modify": "changes", "delete": "deletes"}
    done = [
        f"{word} {', '.join(one.path for one in edits if one.kind == kind)}"
        for kind, word in words.items()
        if any(one.kind == kind for one in edits)
    ]
    told = "; ".join(done)
    said = plan.summary.rstrip(". ")
    return f"{said}: {told}." if said else f"{told[:1].upper()}{told[1:]}."


def _refusal(problems: Sequence[str], repairs: int) -> str:
    first = " ".join(problems[0].split())
    tries = f" after {repairs} repair{'' if repairs == 1 else 's'}" if repairs else ""
    return f"Nothing is offered: it is not right{tries}. {first[:300]}"
