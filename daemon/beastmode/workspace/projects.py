"""What a project's `.beastmode.toml` says for requests about it: names of models, labels, files to leave out, bounds.

Whoever can write into a folder can write that file, a stranger's repository too. So it can name nothing that calls out,
runs, holds a key or spends more: what is not in `KEYS` is refused, with the reason.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable, Mapping
from math import inf
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from beastmode.core.clock import Clock
from beastmode.core.errors import BadInputError
from beastmode.core.fields import Field, fields_of, fit, misfit, unknown
from beastmode.core.settings import Settings
from beastmode.core.types import Request
from beastmode.workspace.files import LeftOutError, Look, opened_folder, read_text

FILE = ".beastmode.toml"
MAX_BYTES = 64 << 10
LOOK_S = 1.0
SURE_S = 0.1
"""Two writes within one tick of the system's clock look alike."""
WAIT_S = 2.0
Usd = Annotated[float, Meta(ge=0)]
SAME = {"routing.aliases": "alias", "aliases": "alias", "workspace.ignore": "ignore"}
"""What `config.toml` calls the same; it may be written so, too."""

FORBIDDEN = frozenset(
    (
        *("url", "base_url", "api_base", "endpoint", "http", "webhook", "model", "models", "provider", "providers"),
        *("key", "api_key", "apikey", "token", "secret", "password", "env", "environment"),
        *("plugin", "plugins", "command", "commands", "cmd", "run", "exec", "shell", "hook", "hooks", "checks"),
    )
)
"""Names that other tools have for what a project can not set here, whatever table they stand in."""

_UNREADABLE = {
    "link": "it is a link",
    "special": "it is no file",
    "large": f"it has more than {MAX_BYTES >> 10} kB",
    "secret": "something in it looks like a key; keys do not belong there",
    "binary": "it is no text in UTF-8",
}


class BudgetOfProject(msgspec.Struct, frozen=True):
    """Bounds that only lower what holds anyway.

    Attributes:
        max_cost_usd: The most that one request may cost; a request's own lower bound holds.
        warming_usd: The most that asking ahead may cost a day, where `warming.remote` allows more.
    """

    max_cost_usd: Usd = inf
    warming_usd: Usd = inf


class Project(msgspec.Struct, frozen=True):
    """Everything that a project can set.

    Attributes:
        alias: Other names of models, for requests about this workspace: `fast = "custom:qwen"`. A name may end in `*`.
        tags: Labels that requests about it bear beside their own.
        ignore: Patterns of files that are left out, as in `.gitignore`.
        budget: Bounds that only lower what holds anyway.
    """

    alias: dict[str, str] = {}
    tags: list[str] = []
    ignore: list[str] = []
    budget: BudgetOfProject = BudgetOfProject()


KEYS: dict[str, Field] = fields_of(Project)
SETTINGS = frozenset(fields_of(Settings))
NOTHING = Project()


def parsed(text: str) -> Project:
    """Reads the file.

    Args:
        text: What it holds.

    Raises:
        BadInputError: It is no TOML, holds a key that is none or no project's to set, or a value that does not fit.
    """
    where = f"{FILE}: "
    try:
        found = {name: fit(where, name, value, KEYS[name].type) for name, value in _flat(_table(text), where).items()}
    except BadInputError as error:
        error.tips = [*error.tips[:1], "what a project can set: docs/configuration.md"]
        raise
    budget = {name.partition(".")[2]: value for name, value in found.items() if name.startswith("budget.")}
    plain = {name: value for name, value in found.items() if "." not in name}
    return msgspec.convert({**plain, "budget": budget}, Project)


def _table(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInputError(f"{FILE} is no valid TOML: {error}.", tips=["mend it, at the place named"]) from None


def _flat(table: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = SAME.get(prefix + key, prefix + key)
        if name in KEYS:
            found[name] = value
        elif isinstance(value, dict) and any(one.startswith(f"{name}.") for one in (*KEYS, *SETTINGS)):
            found |= _flat(value, where, f"{name}.")
        elif any(one.startswith(f"{name}.") for one in KEYS):
            raise misfit(where, name, value, "a table")
        else:
            raise _refused(where, name) or unknown(where, name, KEYS)
    return found


def _refused(where: str, name: str) -> BadInputError | None:
    """The error for a setting that a project can not set; None for a name that is no setting."""
    is_setting = name in SETTINGS or any(one.startswith(f"{name}.") for one in SETTINGS)
    if not is_setting and FORBIDDEN.isdisjoint(name.lower().split(".")):
        return None
    return BadInputError(
        f"{where}{name} is not taken from a project: whoever can write into its folder could call out, run something, "
        "read a key or spend money with it.",
        tips=[f"set {name} in your own config.toml: beast config edit", f"a project sets {', '.join(KEYS)}"],
    )


class _Held(msgspec.Struct):
    """What is known of the file of one workspace.

    Attributes:
        project: What it says, or said when it was sound last.
        problem: What is wrong with it.
        tip: What to do about it.
        look: What `stat` said of it; None: there is none, or it was too fresh for that to tell it from a later one.
    """

    project: Project = NOTHING
    problem: str = ""
    tip: str = ""
    look: Look | None = None


class Projects:
    """The files of all open workspaces, read in threads. What was sound last holds; a bad one changes nothing.

    Args:
        clock: Time.

    Attributes:
        on_change: Called on the loop with a workspace whose file says something else now.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._looked_s: dict[str, float] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self.on_change: list[Callable[[str], object]] = []

    def of(self, root: str) -> Project:
        """What a workspace's file says; nothing where it has none.

        Args:
            root: The workspace, a real path.
        """
        held = self._held.get(root)
        return NOTHING if held is None else held.project

    def problem(self, root: str) -> tuple[str, str]:
        """What is wrong with a workspace's file, and what to do about it; empty where nothing is."""
        held = self._held.get(root)
        return ("", "") if held is None else (held.problem, held.tip)

    async def open(self, root: str) -> None:
        """Reads the file for the first time; does not wait for long.

        Args:
            root: The workspace.
        """
        self._held.setdefault(root, _Held())
        await asyncio.wait([self.look(root)], timeout=WAIT_S)

    def look(self, root: str) -> asyncio.Task[None]:
        """Begins to read the file of an open workspace, where it is not what it was."""
        task = self._looking.get(root)
        if task is None:
            task = self._looking[root] = asyncio.ensure_future(self._look(root))
            task.add_done_callback(lambda _: self._looking.pop(root, None))
        return task

    async def _look(self, root: str) -> None:
        held = self._held.get(root)
        if held is None:
            return
        self._looked_s[root] = self._clock.mono_s()
        fresh = await asyncio.to_thread(_read, root, held, self._clock.wall_s)
        if self._held.get(root) is not held:
            return
        self._held[root] = fresh
        if (fresh.project, fresh.problem) != (held.project, held.problem):
            for told in self.on_change:
                told(root)

    def changed(self, root: str, paths: list[str], batch: bool) -> None:
        """Takes note of changes in a workspace.

        Args:
            root: The workspace.
            paths: What changed in it.
            batch: It is one change of many files.
        """
        if batch or FILE in paths:
            self.look(root)

    def is_due(self, root: str) -> bool:
        """Whether nobody has looked at the file for a moment: it may be one of those that are not watched."""
        return self._clock.mono_s() - self._looked_s.get(root, inf) >= LOOK_S

    def close(self, root: str) -> None:
        """Lets go of a workspace."""
        self._held.pop(root, None)
        self._looked_s.pop(root, None)


def adapt(request: Request, project: Project) -> None:
    """Gives a request the labels and bounds of its project; doing it twice is the same as once.

    Args:
        request: It is changed.
        project: The project of its workspace.
    """
    missing = [tag for tag in project.tags if tag not in request.tags]
    if missing:
        request.tags = [*request.tags, *missing]
    most_usd = project.budget.max_cost_usd
    if most_usd < inf and (request.max_cost_usd is None or request.max_cost_usd > most_usd):
        request.max_cost_usd = most_usd


def _read(root: str, held: _Held, wall_s: Callable[[], float]) -> _Held:
    """The file as it is now; the same object where it is what it was."""
    where = f"{root}/{FILE}"
    now_s = wall_s()
    look: Look | None = None
    try:
        with opened_folder(root) as folder:
            raw, look = read_text(folder, FILE, MAX_BYTES)
        if look == held.look:
            return held
        project, problem, tip = parsed(raw.decode()), "", ""
    except LeftOutError as error:
        if error.reason == "gone":
            return _Held()
        why = _UNREADABLE.get(error.reason, "it can not be opened")
        project, problem, tip = held.project, f"{where} is not read: {why}.", f"put it right: {where}"
    except BadInputError as error:
        project, problem, tip = held.project, f"{root}/{error.message}", error.tips[0]
    except OSError:  # the whole folder is away
        return held
    if look is not None and now_s - look.ctime_ns / 1e9 < SURE_S:
        look = None
    return _Held(project, problem, tip, look)
