"""What every command shares: `--json`, `--home`, lazy groups, a default subcommand, and suggestions for a typo."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from beastmode.cli.screen import Screen

pass_screen: Callable[[Callable[..., Any]], Callable[..., Any]] = click.make_pass_decorator(Screen)
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _set_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.find_object(Screen).as_json = True  # type: ignore[union-attr]  # run() gave the root context its Screen


def _set_home(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        os.environ["BEAST_HOME"] = str(Path(value).expanduser().absolute())


def shared_options() -> list[click.Parameter]:
    """The options that every command takes, before or after its name."""
    return [
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_set_json,
            help="Print JSON, errors too (those on standard error).",
        ),
        click.Option(
            ["--home"],
            metavar="DIR",
            type=click.Path(file_okay=False),
            is_eager=True,
            expose_value=False,
            callback=_set_home,
            help="Folder of the daemon to use; sets BEAST_HOME.",
        ),
    ]


class Command(click.Command):
    """A command with the shared options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = {**_CONTEXT, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)
        self.params.extend(shared_options())


class Group(click.Group):
    """A group of commands.

    Args:
        default: The command that is meant when none is named.
        lazy: Commands that are loaded when they are asked for: name -> `module:attribute`.
    """

    command_class = Command

    def __init__(
        self, *args: Any, default: str | None = None, lazy: dict[str, str] | None = None, **kwargs: Any
    ) -> None:
        kwargs["context_settings"] = {**_CONTEXT, **kwargs.get("context_settings", {})}
        kwargs["no_args_is_help"] = default is None
        super().__init__(*args, **kwargs)
        self.params.extend(shared_options())
        self._default = default
        self._lazy = lazy or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the words; without a command's name the default one is meant."""
        names = {*self.list_commands(ctx), "-h", "--help"}
        if self._default and not ctx.resilient_parsing and not names.intersection(args):
            known = [arg for arg in args if not arg.startswith("-")]
            if not known or args[0].startswith("-"):
                args = [self._default, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, those of unloaded commands among them, in the order they were declared."""
        return [*self._lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, loaded now where it has to be."""
        if cmd_name in self._lazy:
            module, _, attribute = self._lazy[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command; an unknown name gets the nearest known ones."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise click.UsageError(f"There is no command {args[0]!r}.{self._near(ctx, args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def _near(self, ctx: click.Context, name: str) -> str:
        near = difflib.get_close_matches(name.lower(), self.list_commands(ctx), n=3, cutoff=0.5)
        return f" Did you mean {' or '.join(near)}?" if near else ""
