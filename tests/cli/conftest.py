"""The command line against a daemon whose answers a test chooses."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from beastmode.cli import main
from support.fake_daemon import FakeDaemon


class Done(NamedTuple):
    """What a command did.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session", autouse=True)
def _children_hear_ctrl_c() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C, and children would inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


Beast = Callable[..., Done]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with FakeDaemon() as running:
        monkeypatch.setenv("BEAST_HOME", str(running.home))
        yield running


@pytest.fixture
def beast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Beast:
    """Runs `beast WORDS` in this process; `stdin` is piped in, None is /dev/null."""

    def run(*words: str, stdin: str | None = None) -> Done:
        capsys.readouterr()
        with Path(os.devnull).open() if stdin is None else _pipe(stdin) as source:
            monkeypatch.setattr(sys, "stdin", source)
            code = main(list(words))
        out, err = capsys.readouterr()
        return Done(code, out, err)

    monkeypatch.setenv(
        "BEAST_HOME", os.environ.get("BEAST_HOME", "/nonexistent")
    )  # what --home sets ends with the test
    return run


def _pipe(text: str) -> Any:
    read, write = os.pipe()

    def feed() -> None:
        with os.fdopen(write, "w") as end:
            end.write(text)

    threading.Thread(target=feed, daemon=True).start()
    return os.fdopen(read)
