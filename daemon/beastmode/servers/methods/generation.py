"""`generate`: a feature request becomes edits of several files, checked before they are offered; writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from beastmode.core.errors import BadInputError, NotFoundError
from beastmode.core.types import Answer, CacheInfo, Request, Usage
from beastmode.servers.methods.answers import ask
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.attachments import Document
from beastmode.workspace.edits import Edit
from beastmode.workspace.features.checking import Texts
from beastmode.workspace.features.copying import copy_with, remove
from beastmode.workspace.features.ground import Ground, RefusedPathError, real_root
from beastmode.workspace.features.resuming import Said, Saved, Shelf, key_of
from beastmode.workspace.features.scouting import Scouted, scout, with_found
from beastmode.workspace.features.trying import steadied, try_command
from beastmode.workspace.generation import PLAN_MAX_TOKENS, Check, Feedback, Generation, Made, Question
from beastmode.workspace.requests import Asking
from beastmode.workspace.subject import name_inside


class GenerateParams(Asking, kw_only=True):
    """What `generate` takes.

    Attributes:
        request: What is wanted, in a person's words. Absent only with `resume`.
        workspace: The folder that it is for, an absolute path; a scope that no answer crosses.
        files: Files that it is about, inside the workspace; with a single one nothing is planned.
        documents: Unsaved text; it wins over the disk.
        check: False: the command of `generation.checks` is not run. No other command can be named.
        resume: Goes on with a generation by its `id`; what a model said then is not asked again.
        feedback: What a check that the caller ran said of the edits that `resume` names.
        stage: Leave a copy of the workspace with the edits in it, at `staged`, for a check that the caller runs; it is
            the caller's to remove.
    """

    request: str = ""
    workspace: str | None = None
    files: list[str] = []
    documents: list[Document] = []
    check: bool = True
    resume: str | None = None
    feedback: str | None = None
    stage: bool = False


class Generated(Answer, kw_only=True):
    """What a caller gets back from `generate`: usage, cost and saving are those of all its calls together.

    Attributes:
        id: Its name, for `resume`.
        summary: What comes of it, in one sentence.
        edits: What to change, each checked; nothing is written by the daemon. Empty where nothing is right.
        problems: What is still wrong, where nothing is offered.
        draft: What was made and is not offered, for a person to look at.
        proposal: The name of the proposal: the same for the same new texts.
        calls: How many answers of models went into it.
        repairs: How often it was sent back with an error.
        checked: What was looked at: paths, diff, syntax, command.
        staged: The copy, where `stage` asked for one.
    """

    id: str
    summary: str
    edits: list[Edit] = []
    problems: list[str] = []
    draft: list[Edit] = []
    proposal: str = ""
    calls: int = 0
    repairs: int = 0
    checked: list[str] = []
    staged: str | None = None


@method("generate")
async def generate(services: Services, caller: Caller, params: GenerateParams) -> Generated:
    """Turns a request for a feature into edits of several files, which nobody applied yet.

    It plans, writes file by file, checks paths, diffs and syntax, runs the command that `generation.checks` names for
    the workspace in a copy of it, and sends what is wrong back to the model, `generation.repairs` times at most. With
    `stream` it says how far it is: `$/progress {token, value: {stage, file, message}}`, and the text of the model.
    """
    return await Work(services, caller, params).run()


class Calls:
    """The calls of models of one generation: each through the gateway, kept once it is answered.

    Args:
        services: The daemon's parts.
        caller: Who asks, and where progress goes.
        params: What is asked.
        saved: Where answers are kept.
        shelf: Where that is kept.
    """

    def __init__(self, services: Services, caller: Caller, params: GenerateParams, saved: Saved, shelf: Shelf) -> None:
        self.answers: list[Answer] = []
        self._services = services
        self._caller = caller
        self._params = params
        self._saved = saved
        self._shelf = shelf

    async def ask(self, question: Question) -> Answer:
        """Asks the gateway, or takes what was answered to the very same question before."""
        key = key_of(self._params.model or "", question.messages)
        answer = self._saved.answer_to(key)
        if answer is None:
            answer = await self._asked(question)
            self._saved.said.append(Said(key=key, answer=answer))
            await asyncio.to_thread(self._shelf.save, self._saved)
        self.answers.append(answer)
        return answer

    async def _asked(self, question: Question) -> Answer:
        params = self._params
        request = Request(model=params.model or "", messages=question.messages, digests=question.digests)
        request.params = {
            "temperature": 0 if params.temperature is None else params.temperature,
            "max_tokens": params.max_tokens or question.max_tokens,
        }
        request.workspace = self._saved.root
        request.user = params.user or self._caller.user
        request.client = params.client or self._caller.client
        request.stream, request.cache, request.tags = params.stream, params.cache, params.tags
        request.max_cost_usd = self._cost_left()
        reply = ask(self._services, Caller(request.user, self._saying(question), request.client), request)
        return reply if isinstance(reply, Answer) else await reply

    def _cost_left(self) -> float | None:
        """The bound holds for all calls together."""
        bound = self._params.max_cost_usd
        return None if bound is None else max(0.0, bound - sum(one.cost_usd or 0.0 for one in self.answers))

    def _saying(self, question: Question) -> Any:
        progress = self._caller.progress
        if progress is None or not self._params.stream:
            return None

        def say(value: dict[str, Any]) -> None:
            progress({**value, "stage": question.stage, "file": question.file})

        return say

    def tell(self, stage: str, file: str, message: str) -> None:
        """Says how far it is.

        Args:
            stage: plan, edit, check, repair or done.
            file: What it is about; empty: nothing single.
            message: In words.
        """
        if self._caller.progress is not None and self._params.stream:
            self._caller.progress({"id": self._saved.id, "stage": stage, "file": file, "message": message})

    def summed(self) -> dict[str, Any]:
        """The fields of an answer, for all calls together."""
        last = self.answers[-1]
        fields: dict[str, Any] = {name: getattr(last, name) for name in last.__struct_fields__}
        return fields | {
            "usage": usage_of(self.answers),
            "cost_usd": _sum([one.cost_usd for one in self.answers]),
            "saved_usd": _sum([one.saved_usd for one in self.answers]),
            "ttft_ms": self.answers[0].ttft_ms,
            "cache": cache_of(self.answers),
        }


class Work:
    """One call of `generate`.

    Args:
        services: The daemon's parts.
        caller: Who asks, and where progress goes.
        params: What is asked.
    """

    def __init__(self, services: Services, caller: Caller, params: GenerateParams) -> None:
        self._services = services
        self._caller = caller
        self._given = params
        self._params = params
        self._shelf = Shelf(services.paths.state / "generation")
        self._saved = Saved(id="")
        self._calls = Calls(services, caller, params, self._saved, self._shelf)
        self._began_s = services.clock.mono_s()

    async def run(self) -> Generated:
        """Makes it.

        Raises:
            BeastError: The request is wrong, or a model could not be asked.
        """
        await self._begin()
        ground, files = await asyncio.to_thread(self._ground)
        self._saved.root = ground.root
        settings = self._services.settings
        generation = Generation(
            self._params.request,
            ground,
            files,
            await self._scouted(ground, files),
            ask=self._calls.ask,
            tell=self._calls.tell,
            check=await self._check_of(ground),
            feedback=self._saved.feedback,
            repairs=settings.generation.repairs,
            max_files=settings.generation.max_files,
            context_tokens=self._context_tokens(),
        )
        made = await generation.run()
        self._saved.proposal = made.proposal
        await asyncio.to_thread(self._shelf.save, self._saved)
        staged = await self._stage(ground, generation.draft.texts) if self._given.stage and made.edits else None
        self._calls.tell("done", "", made.summary)
        return self._result(made, staged)

    # -- what is asked --------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """A new generation, or one that goes on."""
        given = self._given
        if given.resume is None:
            if given.feedback is not None:
                raise BadInputError("`feedback` belongs to a generation.", tips=["name it in `resume`"])
            if not given.request.strip():
                raise BadInputError("`request` is empty.", tips=["say what is wanted"])
            kept = msgspec.to_builtins(given)
            self._saved = Saved(id=self._services.clock.new_id("gen"), at_s=self._services.clock.wall_s(), params=kept)
        else:
            self._saved = await asyncio.to_thread(self._shelf.load, given.resume)
            self._params = msgspec.convert({**self._saved.params, "stream": given.stream}, GenerateParams)
            if given.feedback is not None:
                self._saved.feedback.append(Feedback(self._saved.proposal, steadied(given.feedback)))
        self._calls = Calls(self._services, self._caller, self._params, self._saved, self._shelf)
        await asyncio.to_thread(self._shelf.save, self._saved)

    def _ground(self) -> tuple[Ground, list[str]]:
        params, settings = self._params, self._services.settings.workspace
        if params.workspace is None or "\0" in params.workspace or not Path(params.workspace).is_absolute():
            raise BadInputError(
                f"The workspace {params.workspace!r} is no absolute path.", tips=["send its absolute path"]
            )
        root = real_root(params.workspace)
        if root is None:
            raise NotFoundError(f"There is no folder {params.workspace}.", tips=["check the path of the workspace"])
        documents = {name_inside(params.workspace, one.path): one.text for one in params.documents}
        ground = Ground(root, documents, settings.ignore, settings.max_file_bytes)
        files = [name_inside(params.workspace, one) for one in params.files]
        for path in files:
            try:
                ground.text(path)
            except RefusedPathError as error:
                raise BadInputError(f"{path!r} {error}.", tips=["name text files inside the workspace"]) from None
        ground.leave_out_refused()
        return ground, files

    async def _scouted(self, ground: Ground, files: list[str]) -> Scouted:
        """What else belongs to the request: found by the index where the workspace is open, else by names and words."""
        params = self._params
        found = await asyncio.to_thread(scout, ground, params.request)
        looking = await self._services.library.looking(ground.root, opened=params.documents, named=files)
        if looking is None:
            return found
        return with_found(found, await looking.find(params.request), looking.root, ground.root)

    def _context_tokens(self) -> int:
        """How much of other files is shown: what the user allows, and what the model has room for."""
        answer = Request(model=self._params.model or "", messages=[], params={"max_tokens": PLAN_MAX_TOKENS})
        library = self._services.library
        return min(library.budget(), library.room(answer) // 2)

    # -- the user's own check -------------------------------------------------------------------------------------

    def _command(self, root: str) -> list[str]:
        """The command that the user named for this workspace; empty: none, or it is not wanted."""
        checks = self._services.settings.generation.checks if self._params.check else {}
        return next((command for path, command in checks.items() if real_root(path) == root), [])

    async def _check_of(self, ground: Ground) -> Check | None:
        command = await asyncio.to_thread(self._command, ground.root)
        if not command:
            return None
        timeout_s = self._services.settings.generation.check_timeout_s

        async def check(texts: Texts) -> str | None:
            self._calls.tell("check", "", " ".join(command))
            copy = await asyncio.to_thread(copy_with, ground, texts, self._copies)
            try:
                return await try_command(command, copy, ground.root, timeout_s)
            finally:
                await asyncio.shield(asyncio.to_thread(remove, copy))

        return check

    @property
    def _copies(self) -> Path:
        return self._services.paths.cache / "generation"

    async def _stage(self, ground: Ground, texts: Texts) -> str:
        return str(await asyncio.to_thread(copy_with, ground, texts, self._copies))

    # -- the result -----------------------------------------------------------------------------------------------

    def _result(self, made: Made, staged: str | None) -> Generated:
        fields = self._calls.summed()
        fields |= {"latency_ms": 1e3 * (self._services.clock.mono_s() - self._began_s), "sources": made.sources}
        told = {name: getattr(made, name) for name in made.__struct_fields__ if name != "sources"}
        return Generated(**fields, **told, id=self._saved.id, calls=len(self._calls.answers), staged=staged)


def usage_of(answers: Sequence[Answer]) -> Usage:
    """The tokens of several calls together; what one of them did not tell is unknown.

    Args:
        answers: At least one.
    """
    names = Usage.__struct_fields__
    return Usage(**{name: _sum([getattr(one.usage, name) for one in answers]) for name in names})


def cache_of(answers: Sequence[Answer]) -> CacheInfo:
    """What the cache did for several calls together: a hit where all of them were, else what the first other one was.

    Args:
        answers: At least one.
    """
    hits = sum(one.cache.result.startswith("hit") for one in answers)
    first = next((one.cache for one in answers if not one.cache.result.startswith("hit")), answers[-1].cache)
    return msgspec.structs.replace(first, why=f"{hits} of {len(answers)} calls were answered from the cache")


def _sum(values: Sequence[Any]) -> Any:
    return None if any(one is None for one in values) else sum(values)
