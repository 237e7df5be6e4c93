"""Who lends pieces of open workspaces: what a request may look into, and how much of that a model has room for."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from beastmode.core.settings import Settings
from beastmode.core.types import Gathered, Message, Request
from beastmode.routing.models import Registry
from beastmode.routing.names import resolve
from beastmode.wire.anthropic_events import estimated
from beastmode.workspace.actions import Task
from beastmode.workspace.attachments import Document, attach
from beastmode.workspace.context import Disk, Found, Looking, gathered, question_of, text_of, whole
from beastmode.workspace.index.workspaces import Workspaces
from beastmode.workspace.subject import BOM, name_inside
from beastmode.workspace.widening import widened

if TYPE_CHECKING:
    from beastmode.core.deployments import Deployment
    from beastmode.workspace.index.workspace import Workspace

LOCAL_CONTEXT_TOKENS = 4096
"""What a model in a child process takes where the user sets nothing else."""
USABLE = 0.8
"""Share of a model's room that is counted on: tokens are estimated."""
ROLE_TOKENS = 150


class Standing(msgspec.Struct, omit_defaults=True):
    """Whether a question can be looked up in the workspace that it names.

    Attributes:
        state: `ready`; `scanning`: what was read so far is known; `away`: its folder can not be read
            now; `closed`: it is not open; `off`: the caller wants
            nothing to be added.
        path: The open workspace.
        tip: What to do.
    """

    state: Literal["ready", "scanning", "away", "closed", "off"]
    path: str | None = None
    tip: str = ""


class Library(msgspec.Struct, frozen=True):
    """What requests may look into.

    Attributes:
        workspaces: The open ones.
        disk: Knows what files are now; None: nothing can be found.
        settings: Those in force.
        registry: The models, for their room.
    """

    workspaces: Workspaces
    disk: Disk | None
    settings: Callable[[], Settings]
    registry: Registry

    def standing(self, path: str | None, *, retrieve: bool = True) -> Standing:
        """How the workspace stands that a path lies in.

        Args:
            path: As the request names it.
            retrieve: The caller wants something to be found in it.
        """
        workspace = self._find(path)
        if workspace is None:
            tip = f"beast workspace open {shlex.quote(path)}" if path is not None else "name a `workspace`"
            return Standing("closed", tip=tip)
        if not retrieve:
            return Standing("off", workspace.root)
        known: dict[str, Literal["ready", "away"]] = {"ready": "ready", "away": "away"}
        return Standing(known.get(workspace.state, "scanning"), workspace.root)

    async def looking(
        self,
        path: str | None,
        *,
        opened: Sequence[Document] = (),
        named: Sequence[str] = (),
        named_tokens: int = 0,
        budget_tokens: int | None = None,
    ) -> Looking | None:
        """A look into the workspace that a path lies in; None where it is not open.

        Args:
            path: As the request names it, an absolute path.
            opened: Texts that an editor holds.
            named: Files that the model sees anyway; the first is what the question is about.
            named_tokens: What they take; half of the budget stays, whatever they take.
            budget_tokens: Most that is added; None: as the settings say.
        """
        workspace = self._find(path)
        if workspace is None or path is None or self.disk is None:
            return None
        texts, shown = await asyncio.to_thread(_names, workspace.root, path, opened, named)
        budget = self.budget(budget_tokens)
        return Looking(
            root=workspace.root,
            retriever=workspace.retriever,
            disk=self.disk,
            opened=texts,
            near=shown[0] if shown else None,
            shown=frozenset(shown),
            budget_tokens=max(budget // 2, budget - named_tokens),
        )

    def _find(self, path: str | None) -> Workspace | None:
        """The open workspace of a path; callers over HTTP may put any word there."""
        return self.workspaces.find(path) if path is not None and Path(path).is_absolute() else None

    def budget(self, budget_tokens: int | None = None) -> int:
        """Most tokens that may be added to a question.

        Args:
            budget_tokens: As the caller says; None: as the settings do.
        """
        return self.settings().workspace.context_tokens if budget_tokens is None else budget_tokens

    async def named(self, path: str, files: list[str]) -> list[Found]:
        """Files that a question names, as they would be attached to it.

        Args:
            path: The workspace as the request names it.
            files: Paths inside it.

        Raises:
            BadInputError: One leads out of the workspace, is too large, binary, or looks like a secret.
            NotFoundError: One is not there.
        """
        attachment = await attach(path, files, [])
        return [
            whole(digest, text_of(message))
            for digest, message in zip(attachment.digests, attachment.messages, strict=True)
        ]

    def gather(self, looking: Looking, request: Request, before: Sequence[Message]) -> Request:
        """Puts into a request what finds the pieces for it once it is to be sent.

        Args:
            looking: Into which workspace.
            request: What is asked; its last message is the question.
            before: What was said before, without what is attached.

        Returns:
            The request.
        """
        messages = request.messages
        question, earlier = question_of([*before, messages[-1]])

        async def find() -> Gathered:
            budget_tokens = min(looking.budget_tokens, self.room(request))
            return await gathered(
                msgspec.structs.replace(looking, budget_tokens=budget_tokens), messages, question, earlier
            )

        request.workspace, request.opened, request.gather = looking.root, dict(looking.opened), find
        return request

    def widen(self, looking: Looking, request: Request, task: Task) -> Request:
        """Puts into the request of an action what finds the parts of its project that belong to it.

        Args:
            looking: Into which workspace.
            request: What is asked.
            task: The action.

        Returns:
            The request.
        """

        async def find() -> Gathered:
            budget_tokens = min(looking.budget_tokens // 2, self.room(request))
            return await widened(msgspec.structs.replace(looking, budget_tokens=budget_tokens), task)

        request.workspace, request.opened, request.gather = looking.root, dict(looking.opened), find
        return request

    def room(self, request: Request) -> int:
        """About how many tokens the model of a request has room for, beside the request and its answer.

        Args:
            request: What is asked.
        """
        settings = self.settings()
        model = resolve(request.model, self.registry, settings.routing)
        found = [_limit(one, settings) for one in self._deployments(model, settings)]
        known = [limit for limit in found if limit is not None]
        if not known:
            return 1 << 30
        limit = min(known)
        wanted = request.params.get("max_tokens")
        answer = wanted if isinstance(wanted, int) else limit // 4
        prompt = sum(estimated(len(text_of(one).encode(errors="replace"))) for one in request.messages)
        return max(0, int((limit - answer) * USABLE) - prompt - ROLE_TOKENS)

    def _deployments(self, model: str, settings: Settings) -> list[Deployment]:
        """Where a model is served; of `auto` that one which comes first."""
        if model != "auto":
            found = self.registry.find(model)
            return found.deployments if found is not None else []
        preferred = [self.registry.find(name) for name in settings.routing.auto]
        others = sorted(self.registry.list(), key=lambda one: one.id.startswith("local:"))
        return next((one.deployments for one in (*preferred, *others) if one is not None), [])


def _limit(deployment: Deployment, settings: Settings) -> int | None:
    """Tokens that a deployment takes, prompt and answer together; None where nobody said."""
    known = deployment.limits.context_tokens
    if known is None and deployment.provider == "local_model":
        told = settings.plugins.options.get("local_model", {}).get("n_ctx")
        return told if isinstance(told, int) else LOCAL_CONTEXT_TOKENS
    return known


def _names(root: str, path: str, opened: Sequence[Document], named: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Paths as the workspace has them: relative to its root, with slashes; what lies elsewhere is left out."""
    texts = {_name(root, path, one.path): one.text.removeprefix(BOM) for one in opened}
    return {name: text for name, text in texts.items() if name}, [
        name for name in (_name(root, path, one) for one in named) if name
    ]


def _name(root: str, path: str, name: str) -> str:
    """What a path that the caller gave is called in the workspace; empty: it does not lie there."""
    found = name_inside(root, str(Path(path, name)))
    return "" if Path(found).is_absolute() else found
