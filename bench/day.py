"""A developer's days at an editor, drawn from a seed: what is opened, edited, saved and asked.

`python -P bench/day.py [--seed 1] [--days 1]` prints the steps as JSON lines. It imports nothing of the daemon.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Event = Literal["request", "open", "edit", "save", "branch"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the developer does.

    Attributes:
        at_s: When, in seconds since the midnight before the first day.
        event: `request`: asks a model; `open`, `edit`, `save`: of a file; `branch`: another branch is checked out.
        path: The file, inside the workspace; empty: none (a question about nothing in particular, a branch).
        symbol: The function or class that is meant, or was written.
        action: Of a request: explain, fix, docstring, tests, refactor, ask; `chat`: a question, in `text`.
        text: Of a request: the question or instruction, in the developer's words. Of an edit: all of the file's text
            from now on (unsaved until `save`). Of a branch: its name.
        first_line: Of the symbol in the file's text of now, from 0; -1: none.
        last_line: The last of them.
        diagnostic: Of `fix`: what the language server reports of it; empty: nothing.
        files: Of a branch: the text that each file has now, by path; what it does not name is as it was.
        noise: Nobody could have known that it comes: for tables only, no program may look at it.
    """

    at_s: float
    event: Event
    path: str = ""
    symbol: str = ""
    action: str = ""
    text: str = ""
    first_line: int = -1
    last_line: int = -1
    diagnostic: str = ""
    files: dict[str, str] = field(default_factory=dict)
    noise: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """What a seed gives.

    Attributes:
        seed: The seed.
        files: The workspace at the beginning: text by path.
        steps: What is done, in order of time.
    """

    seed: int
    files: dict[str, str]
    steps: list[Step]
