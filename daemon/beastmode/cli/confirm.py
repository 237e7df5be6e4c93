"""Asking before what can not be undone."""

from __future__ import annotations

import sys

import click

from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError


def confirmed(screen: Screen, question: str, yes: bool, command: str) -> bool:
    """Says whether a person wants it: asked at a terminal, said with `--yes` elsewhere.

    Args:
        screen: Where to ask.
        question: What is asked.
        yes: It was said on the command line.
        command: The command line without `--yes`, for the tip.

    Raises:
        BadInputError: There is nobody to ask.
    """
    if yes:
        return True
    if screen.as_json or not (sys.stdin.isatty() and screen.can_overwrite):
        raise BadInputError(
            f"This can not be undone, and there is no terminal to ask at. {question}", tips=[f"{command} --yes"]
        )
    screen.flush()
    return click.confirm(question, default=False, err=True)
