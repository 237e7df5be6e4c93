"""The registry: which models the user has, where each is served, and what may stand in for it."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment, Model
from beastmode.core.errors import BadInputError, UnknownModelError
from beastmode.core.statefile import move_aside, read_private, write_private

SCHEMA = 1
Names = list[str]

_ID = re.compile(r"[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}", re.ASCII)


class _Head(msgspec.Struct):
    schema: int


class _File(msgspec.Struct):
    schema: int
    models: list[Model]


class Added(msgspec.Struct, frozen=True):
    """What `Registry.add` did.

    Attributes:
        model: The model as it is registered now.
        deployment: The deployment that was added, with its final id.
        replaced: Deployments that are gone; their keys and breakers can go too.
        note: One sentence where something was replaced; empty otherwise.
    """

    model: Model
    deployment: Deployment
    replaced: list[Deployment] = []
    note: str = ""


class Removed(msgspec.Struct, frozen=True):
    """What `Registry.remove` did.

    Attributes:
        model: The model that is gone.
        note: Which fallback lists it was taken out of; empty where it was in none.
    """

    model: Model
    note: str = ""


def check_model_id(id: str) -> str:
    """Refuses a name that can not be registered.

    Args:
        id: `PROVIDER:NAME`.

    Returns:
        The provider's half.

    Raises:
        BadInputError: It is `auto`, has no provider, or holds other signs than letters, digits and `._:/@+-`.
    """
    if id == "auto":
        raise BadInputError(
            "The name auto is taken: it stands for whichever model fits best.",
            tips=["choose a name such as custom:NAME, openai:gpt-4o or local:NAME"],
        )
    if not _ID.fullmatch(id):
        name = re.sub(r"[^A-Za-z0-9._/@+-]", "-", id)[:60].strip("-.") or "NAME"
        raise BadInputError(
            f"{id[:100]!r} is no model id.",
            tips=[f"write PROVIDER:NAME, such as custom:{name}", "letters, digits and . _ - : / @ + are allowed"],
        )
    return id.partition(":")[0]


class Registry:
    """All registered models, kept in one JSON file and in memory.

    Reading is immediate and never waits; a change is on disk when its method returns.

    Args:
        file: Where they are kept.
        clock: For `added_at`.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._models: dict[str, Model] = {}
        self._lock = asyncio.Lock()
        self.problem: str | None = None

    async def load(self) -> None:
        """Reads the file. A damaged one is moved aside and named in `problem`.

        Raises:
            BadInputError: A newer BEAST MODE wrote it.
            AccessError: Others can write it.
        """
        models, self.problem = await asyncio.to_thread(self._read)
        self._models = {model.id: model for model in models}

    def _read(self) -> tuple[list[Model], str | None]:
        content = read_private(self._file)
        if content is None:
            return [], None
        try:
            schema = msgspec.json.decode(content, type=_Head).schema
            if schema > SCHEMA:
                raise BadInputError(
                    f"{self._file} was written by a newer BEAST MODE (schema {schema}; this one reads up to {SCHEMA}).",
                    tips=[
                        "install the newer version again: pip install --upgrade beastmode",
                        "or set BEAST_HOME to another folder",
                    ],
                )
            return msgspec.json.decode(content, type=_File).models, None
        except (ValueError, RecursionError):
            place = move_aside(self._file, self._clock.wall_s())
            return [], f"{self._file} was damaged and is now {place}; no model is registered."

    def list(self) -> list[Model]:
        """All models, in the order they were added."""
        return [*self._models.values()]

    def find(self, id: str) -> Model | None:
        """The model of that id, where there is one.

        Args:
            id: A model's id.
        """
        return self._models.get(id)

    def get(self, id: str) -> Model:
        """The model of that id.

        Args:
            id: A model's id.

        Raises:
            UnknownModelError: With the nearest names.
        """
        model = self._models.get(id)
        if model is None:
            raise self.unknown(id)
        return model

    def unknown(self, id: str) -> UnknownModelError:
        """Makes the error that says there is no such model, and what was perhaps meant.

        Args:
            id: What was asked for.
        """
        tips = []
        near = self._nearest(id)
        if near:
            tips.append("did you mean " + " or ".join(near) + "?")
        if _ID.fullmatch(id):
            tips.append(f"register it: beast models add {id}")
        tips.append("see what is registered: beast models list")
        return UnknownModelError(f"No model {id[:100]!r} is registered.", tips=tips, model=id[:100])

    def _nearest(self, id: str) -> Sequence[str]:
        low = id.lower()[:100]
        same = [one for one in self._models if one.partition(":")[2].lower() == low.rpartition(":")[2]]
        names = {one.lower(): one for one in self._models}
        close = difflib.get_close_matches(low, names, n=3, cutoff=0.6)
        bare = {one.partition(":")[2].lower(): one for one in self._models}
        close_bare = difflib.get_close_matches(low, bare, n=3, cutoff=0.6)
        found = [*same, *(names[one] for one in close), *(bare[one] for one in close_bare)]
        return list(dict.fromkeys(found))[:3]

    def place(self, deployment: Deployment, *, another: bool = False) -> Deployment:
        """Gives a deployment the id under which `add` will register it, so that its key can be stored first.

        Args:
            deployment: As `endpoints.describe` made it.
            another: It is to stand beside the deployments that its model has.
        """
        model = self._models.get(deployment.model)
        taken = {one.id for one in model.deployments} if model and another else set()
        name, count = deployment.id, 2
        while name in taken:
            name, count = f"{deployment.id}#{count}", count + 1
        return msgspec.structs.replace(deployment, id=name)

    async def add(
        self, deployment: Deployment, *, another: bool = False, fallback: Sequence[str] | None = None
    ) -> Added:
        """Registers a model, or one more deployment of it.

        Args:
            deployment: Where it is served; `place` gives it its id.
            another: Keep the deployments that the model has; otherwise they are replaced.
            fallback: Registered models (or `auto`) that may stand in for it; None keeps what the model has.

        Raises:
            BadInputError: The id or a fallback is not right.
            UnknownModelError: A fallback is not registered.
            AccessError: The file can not be written; nothing has changed.
        """
        check_model_id(deployment.model)
        async with self._lock:
            old = self._models.get(deployment.model)
            final = self.place(deployment, another=another)
            kept = old.deployments if old and another else []
            model = Model(
                id=final.model,
                deployments=[*kept, final],
                fallback=self._check_fallback(final.model, fallback)
                if fallback is not None
                else old.fallback
                if old
                else [],
                added_at=old.added_at if old else self._now(),
            )
            await self._commit({**self._models, model.id: model})
        gone = [] if another or old is None else old.deployments
        note = f"{model.id} was registered at {_places(gone)}; that is replaced." if gone else ""
        return Added(model=model, deployment=final, replaced=gone, note=note)

    def _check_fallback(self, id: str, fallback: Sequence[str]) -> Names:
        for name in fallback:
            if name == id:
                raise BadInputError(
                    f"{id} can not be its own fallback.", tips=["name another model: beast models list"]
                )
            if name != "auto":
                self.get(name)
        return [*dict.fromkeys(fallback)]

    async def remove(self, id: str) -> Removed:
        """Takes a model out, and out of every fallback list.

        Args:
            id: Its id.

        Raises:
            UnknownModelError: It is not registered.
            AccessError: The file can not be written; nothing has changed.
        """
        async with self._lock:
            gone = self.get(id)
            used = [model.id for model in self._models.values() if id in model.fallback]
            await self._commit(
                {
                    model.id: msgspec.structs.replace(model, fallback=[name for name in model.fallback if name != id])
                    for model in self._models.values()
                    if model.id != id
                }
            )
        note = f"{id} was a fallback of {', '.join(used)}; it no longer is." if used else ""
        return Removed(model=gone, note=note)

    async def _commit(self, models: dict[str, Model]) -> None:
        """Writes, then shows; a caller that is cancelled meanwhile leaves disk and memory the same."""
        content = msgspec.json.format(msgspec.json.encode(_File(schema=SCHEMA, models=[*models.values()])), indent=1)

        async def write() -> None:
            await asyncio.to_thread(write_private, self._file, content)
            self._models = models

        task = asyncio.ensure_future(write())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])  # still under the lock, so that the next change starts from this one
            raise

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.wall_s(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _places(deployments: Sequence[Deployment]) -> str:
    return ", ".join(one.base_url or "this machine" for one in deployments)
