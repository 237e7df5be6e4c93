"""A feature, from a request to edits of several files: planned, written, checked, mended, and offered when it is right.

Nothing is written here, and every model is asked through what is handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from beastmode.core.errors import ContextTooLongError
from beastmode.core.types import Answer, Digest, Message, Piece
from beastmode.workspace.edits import Edit
from beastmode.workspace.features.changes import changes_in
from beastmode.workspace.features.checking import Texts, digest_of, edits_of, problems_of
from beastmode.workspace.features.draft import Draft
from beastmode.workspace.features.drafting import CHARS_PER_TOKEN, max_tokens_of, repair_messages, write_messages
from beastmode.workspace.features.ground import Ground, RefusedPathError
from beastmode.workspace.features.planning import Plan, Step, plan_messages, read_plan
from beastmode.workspace.features.scouting import Scouted, imported_by

PLAN_MAX_TOKENS = 2048
CUT_OFF = "The answer was cut off before its end: change only what has to be changed."
ROOM_SHARES = (1.0, 0.4, 0.0)
"""How much of the room for other files is used, where a model's context turns out to be too short."""


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
Asked = Callable[[int], Question]
"""Makes a question with so many characters of other files."""
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


class Questions:
    """What a model is asked on the way to a feature, with so much of other files as there is room for.

    Args:
        request: In the person's words.
        files: Files that the person named.
        scouted: What else of the workspace belongs to it.
        draft: The texts so far.
    """

    def __init__(self, request: str, files: Sequence[str], scouted: Scouted, draft: Draft) -> None:
        self._request = request
        self._files = list(files)
        self._scouted = scouted
        self._draft = draft

    def plan(self, room_chars: int) -> Question:
        """Which files it touches.

        Args:
            room_chars: How much of other files is shown.
        """
        shown, digests = self._draft.shown(self._files, room_chars)
        names, left_out = self._scouted.listing
        messages = plan_messages(self._request, [*shown, *self._scouted.shown(room_chars)], names, left_out)
        return Question(stage="plan", file="", messages=messages, digests=digests, max_tokens=PLAN_MAX_TOKENS)

    def write(self, step: Step, text: str | None, others: list[str], room_chars: int) -> Question:
        """One file.

        Args:
            step: Which, and what is to be done in it.
            text: Its text now; None: it is new.
            others: The other files of the plan.
            room_chars: How much of other files is shown.
        """
        imported = imported_by(step.path, text, self._draft.known)
        near = [path for path in [*self._draft.texts, *self._files, *others, *imported] if path != step.path]
        shown, digests = self._draft.shown(near, room_chars)
        found = self._scouted.found(room_chars - sum(map(len, shown)), {*near, step.path})
        return Question(
            stage="edit",
            file=step.path,
            messages=write_messages(self._request, step.path, step.what, text, [*found, *shown], others),
            digests=[*digests, *self._draft.digests([step.path])],
            max_tokens=max_tokens_of([text]),
        )

    def repair(self, problems: list[str], paths: list[str], alone: str, room_chars: int) -> Question:
        """What is wrong, to be mended.

        Args:
            problems: In words.
            paths: The files so far.
            alone: The file, where there is one alone.
            room_chars: How much of other files is shown.
        """
        texts = self._draft.readable(paths)
        shown, digests = self._draft.shown(self._draft.named_in(problems, texts), room_chars)
        return Question(
            stage="repair",
            file=alone,
            messages=repair_messages(self._request, texts, problems, shown),
            digests=[*digests, *self._draft.digests(list(texts))],
            max_tokens=max_tokens_of(list(texts.values())),
        )


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

    Attributes:
        draft: The texts so far.
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
        self.draft = Draft(ground, [*scouted.names, *files])
        self._questions = Questions(request, files, scouted, self.draft)
        self._ground = ground
        self._files = list(files)
        self._scouted = scouted
        self._ask = ask
        self._tell = tell
        self._check = check
        self._feedback = {one.proposal: one.text for one in feedback}
        self._repairs = repairs
        self._max_files = max_files
        self._room_chars = context_tokens * CHARS_PER_TOKEN
        self._checked: list[str] = []
        self._repaired = 0

    async def run(self) -> Made:
        """Plans, writes, checks and mends.

        Raises:
            BeastError: A model could not be asked.
        """
        plan = await self._plan()
        for step in plan.steps:
            if step.path not in self.draft.texts:
                await self._write(step, [one.path for one in plan.steps if one.path != step.path])
        problems = await self._judged()
        while problems and self._repaired < self._repairs:
            before = digest_of(self.draft.texts), list(problems)
            self._repaired += 1
            await self._mend(problems, plan)
            problems = await self._judged()
            if before == (digest_of(self.draft.texts), problems):
                break  # the same question would get the same answer
        return await asyncio.to_thread(self._made, plan, problems)

    async def _asked(self, make: Asked) -> Answer:
        """Asks, with less of other files where the model's context is too short."""
        for share in ROOM_SHARES:
            question = await asyncio.to_thread(make, int(share * self._room_chars))
            try:
                return await self._ask(question)
            except ContextTooLongError:
                if share == ROOM_SHARES[-1]:
                    raise
                self._tell(question.stage, question.file, "the model's context is too short: showing it less")
        raise AssertionError("unreachable")

    # -- plan -----------------------------------------------------------------------------------------------------

    async def _plan(self) -> Plan:
        """Which files; a single one that the person named needs no plan."""
        if len(self._files) == 1:
            return Plan([Step(self._files[0])])
        self._tell("plan", "", "looking which files it touches")
        text = (await self._asked(self._questions.plan)).text
        plan = read_plan(text, self.draft.known, self._max_files)
        if plan is None or _is_code(text):
            changes = [one for one in changes_in(text, self.draft.known) if one.path and one.language != "json"]
            if changes:
                await asyncio.to_thread(self.draft.take, changes)
                return Plan([Step(path) for path in dict.fromkeys(one.path for one in changes)])
        if plan is None:
            plan = Plan([Step(path) for path in (self._files or self._scouted.ranked[:1])])
        self._tell("plan", "", ", ".join(step.path for step in plan.steps) or "no file was named")
        return plan

    # -- write ----------------------------------------------------------------------------------------------------

    async def _write(self, step: Step, others: list[str]) -> None:
        try:
            text = await asyncio.to_thread(self.draft.now, step.path)
        except RefusedPathError as error:
            self.draft.unfit[step.path] = f"`{step.path}` must not be written: it {error}."
            return
        self._tell("edit", step.path, step.what or ("writing" if text is None else "changing"))
        await self._ask_and_take(lambda room: self._questions.write(step, text, others, room), step.path)

    async def _ask_and_take(self, make: Asked, path: str, *, mending: bool = False) -> None:
        answer = await self._asked(make)
        if answer.finish_reason != "length":
            await asyncio.to_thread(self.draft.take_answer, answer.text, path, mending=mending)
        elif mending:
            self.draft.remark = CUT_OFF
        else:
            self.draft.unfit[path] = CUT_OFF

    # -- check and mend -------------------------------------------------------------------------------------------

    async def _judged(self) -> list[str]:
        """What is wrong with what there is."""
        self._tell("check", "", "paths, diffs and syntax")
        texts, problems = self.draft.texts, self.draft.take_problems()
        problems += await asyncio.to_thread(problems_of, self._ground, texts, self._max_files)
        self._checked = ["paths", "diff", "syntax"]
        if not problems and not await asyncio.to_thread(edits_of, self._ground, texts):
            problems.append("Nothing is changed by it.")
        if not problems and (said := self._feedback.get(digest_of(texts))) is not None:
            problems.append(said)
        if not problems and self._check is not None:
            self._checked.append("command")
            said = await self._check(dict(texts))
            problems += [said] if said is not None else []
        return [*problems, self.draft.remark] if problems and self.draft.remark else problems

    async def _mend(self, problems: list[str], plan: Plan) -> None:
        first = problems[0].strip().split("\n")
        self._tell("repair", "", first[-1] if len(first) > 1 else first[0])
        paths = list(dict.fromkeys([*self.draft.texts, *(step.path for step in plan.steps)]))
        alone = paths[0] if len(paths) == 1 else ""
        await self._ask_and_take(lambda room: self._questions.repair(problems, paths, alone, room), alone, mending=True)

    # -- what is offered ------------------------------------------------------------------------------------------

    def _made(self, plan: Plan, problems: list[str]) -> Made:
        edits = edits_of(self._ground, self.draft.texts)
        made = Made(
            summary=_summary(plan, edits) if not problems else _refusal(problems, self._repaired),
            problems=problems,
            proposal=digest_of(self.draft.texts),
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
    words = {"modify": "changes", "create": "creates", "delete": "deletes"}
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
