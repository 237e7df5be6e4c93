"""Writes docs/reference/*.md from the code; --check fails where a page is stale or something public has no words."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import msgspec

from beastmode.cli.root import beast
from beastmode.core import config, errors
from beastmode.core.fields import Field, attribute_docs
from beastmode.servers.methods import METHODS

FOLDER = Path(__file__).resolve().parent / "reference"
HEAD = "<!-- Written from the code by `make fix`; edit the docstrings instead. -->\n"
SIMPLE = {str: "text", int: "integer", float: "number", bool: "boolean", type(None): "null", Any: "anything"}


class Page:
    """A page in the making, and what it lacks.

    Args:
        title: Its heading.
        intro: What it is for.
    """

    def __init__(self, title: str, intro: str) -> None:
        self.lines = [HEAD, f"# {title}\n", f"{intro}\n"]
        self.missing: list[str] = []

    def say(self, text: str) -> None:
        """Adds a paragraph or heading; nothing where there is none."""
        if text:
            self.lines.append(f"{text}\n")

    def table(self, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """Adds a table; one without rows is left out."""
        if not rows:
            return
        shown = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
        self.lines.append("".join("| " + " | ".join(row) + " |\n" for row in shown))

    def need(self, text: str | None, what: str) -> str:
        """Takes a documentation, and notes where there is none.

        Args:
            text: The documentation.
            what: Whose it is.
        """
        if not (text or "").strip():
            self.missing.append(what)
        return " ".join((text or "").split())

    def __str__(self) -> str:
        return "\n".join(self.lines)


def settings_page() -> Page:
    """Every setting, from the structs of core/settings.py."""
    page = Page(
        "Settings",
        "Set in `config.toml` (`beast config path` says where), or by an environment variable, which wins. "
        "See [configuration](../configuration.md).",
    )
    rows = [
        (
            f"`{setting.name}`",
            setting.type,
            f"`{msgspec.json.encode(setting.default).decode()}`",
            page.need(setting.doc, f"the setting {setting.name}"),
            f"`{setting.variable}`" if setting.variable else "none",
        )
        for setting in config.describe()
    ]
    page.table(("Setting", "Takes", "Default", "What it does", "Variable"), rows)
    return page


def errors_page() -> Page:
    """Every kind of error, from the tree of core/errors.py and its table of codes."""
    page = Page(
        "Errors",
        "Every error has a `kind`, a message that says what happened and where, and tips that say what to do next. "
        "See [errors](../errors.md).",
    )
    rows = []
    for kind, codes in errors.CODES.items():
        error = errors.KINDS[kind]
        meaning = page.need(inspect.getdoc(error), f"the error {kind}")
        rows.append((f"`{kind}`", meaning, f"`{codes.rpc}`", str(codes.exit)))
    page.table(("Kind", "Meaning", "JSON-RPC code", "Exit code of `beast`"), rows)
    return page


def rpc_page() -> Page:
    """Every method of the socket, from the table of servers/methods."""
    page = Page(
        "Methods of the socket",
        "JSON-RPC 2.0, one object a line, on the Unix socket that `beast status` names. "
        "`rpc.discover` answers the same as an OpenRPC document. A field without a default must be there.",
    )
    shared: dict[str, type[msgspec.Struct]] = {}
    for name, method in sorted(METHODS.items()):
        page.say(f"## `{name}`")
        page.need(method.doc, f"the method {name}")
        page.say(method.doc)
        page.say("Takes:" if msgspec.structs.fields(method.params) else "Takes nothing.")
        _fields(page, method.params, shared, f"the parameter {name}: ")
        page.say(f"Gives: {type_words(method.result, shared)}")
    page.say("## Types")
    done: set[str] = set()
    while remaining := sorted(shared.keys() - done):
        for name in remaining:
            done.add(name)
            page.say(f"### {name}")
            page.say(page.need((inspect.getdoc(shared[name]) or "").partition("Attributes:")[0], f"the type {name}"))
            _fields(page, shared[name], shared, f"the field {name}.")
    return page


def _fields(page: Page, struct: type[msgspec.Struct], shared: dict[str, type[msgspec.Struct]], what: str) -> None:
    docs: dict[str, str] = {}
    for base in reversed(struct.__mro__):  # a field that is inherited has its words there
        docs |= attribute_docs(base.__doc__ or "")
    rows = []
    for info in msgspec.structs.fields(struct):
        name = info.encode_name
        doc = page.need(docs.get(info.name), f"{what}{name}")
        default = "" if info.required else f"`{_plain(Field(info, doc).default)}`"
        rows.append((f"`{name}`", type_words(info.type, shared), default, doc))
    page.table(("Field", "Type", "Default", "Meaning"), rows)


def _plain(value: object) -> str:
    return msgspec.json.encode(value).decode()


def type_words(kind: Any, shared: dict[str, type[msgspec.Struct]]) -> str:
    """Writes a type as JSON people call it.

    Args:
        kind: An annotation.
        shared: Gathers the structs that were named, which get a section of their own.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        shared[kind.__name__] = kind
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if origin is Annotated:
        return type_words(inner[0], shared)
    if origin in (Union, types.UnionType):
        return " or ".join(type_words(part, shared) for part in inner)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is list:
        return f"list of {type_words(inner[0], shared)}"
    if origin is dict:
        return f"object of {type_words(inner[1], shared)}"
    return SIMPLE.get(kind, str(getattr(kind, "__name__", "object")))


def cli_page() -> Page:
    """Every command of `beast`, from click's own tables."""
    page = Page(
        "Commands",
        "`beast COMMAND --help` shows the same. Every command takes the options of `beast` itself, too. "
        "What the exit codes mean: [errors](errors.md).",
    )
    shared: set[str | None] = {"help", *(option.name for option in beast.params)}
    for path, command, context in commands(beast, "beast", None):
        page.say(f"## `{path}`")
        page.need(command.help, f"the command {path}")
        page.say(_prose(command.help))
        page.say(f"```\n{path} {' '.join(command.collect_usage_pieces(context))}\n```")
        rows = _options(page, path, command, context, {"help"} if command is beast else shared)
        page.table(("Option", "Meaning"), rows)
        page.say(_prose(command.epilog))
    return page


def _options(
    page: Page, path: str, command: click.Command, context: click.Context, shared: set[str | None]
) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for option in command.get_params(context):
        if isinstance(option, click.Option) and not option.hidden and option.name not in shared:
            spelled = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
            rows.append((spelled, page.need(option.help, f"the option {path} {option.opts[-1]}")))
        elif isinstance(option, click.Argument):
            names = option.make_metavar(context).strip("[]."), option.human_readable_name.upper()
            if not any(name in (command.help or "") for name in names):
                page.missing.append(f"the argument {names[1]} of {path} (its help does not name it)")
    return rows


def _prose(text: str | None) -> str:
    """Turns click's help into Markdown: what must keep its lines becomes a block of code."""
    paragraphs = inspect.cleandoc(text or "").partition("\f")[0].strip().split("\n\n")
    shown = []
    for paragraph in paragraphs:
        kept = paragraph.removeprefix("\b\n")
        shown.append(f"```\n{kept}\n```" if kept != paragraph else paragraph)
    return "\n\n".join(shown)


def commands(
    command: click.Command, path: str, parent: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Walks a command and everything below it.

    Args:
        command: Where to begin.
        path: How a person calls it.
        parent: The context above it.

    Yields:
        Path, command and context of each command that is shown to people.
    """
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    yield path, command, context
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            yield from commands(child, f"{path} {name}", context)


PAGES = {"cli.md": cli_page, "errors.md": errors_page, "rpc.md": rpc_page, "settings.md": settings_page}


def main(arguments: list[str]) -> int:
    """Writes the pages, or checks them.

    Args:
        arguments: `--check`, or nothing.

    Returns:
        An exit code.
    """
    wrong = []
    for name, make in PAGES.items():
        page = make()
        wrong += [f"{what} has no documentation" for what in page.missing]
        file = FOLDER / name
        if "--check" not in arguments:
            FOLDER.mkdir(exist_ok=True)
            file.write_text(str(page), "utf-8")
        elif not file.exists() or file.read_text("utf-8") != str(page):
            wrong.append(f"docs/reference/{name} is stale: run `make fix`")
    print("".join(f"{line}\n" for line in wrong), end="", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
