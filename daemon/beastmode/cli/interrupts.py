"""Ctrl-C and its like at moments that must not be cut in two, such as the birth of a process."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TIDY_S = 15.0


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Lets the body run to its end; a Ctrl-C meanwhile comes after it. For the main thread.

    Unlike a blocked or an ignored signal, this is not inherited by a process that the body starts.

    Raises:
        KeyboardInterrupt: One came meanwhile.
    """
    came: list[int] = []
    with _handling(lambda number, frame: came.append(number), ENDING):
        yield
    for number in came:
        signal.raise_signal(number)


@contextlib.contextmanager
def as_ctrl_c() -> Iterator[None]:
    """SIGTERM and a closed terminal end the body as Ctrl-C does: tidily. What nohup ignores stays ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    hung_up = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)
    with _handling(interrupt, (signal.SIGINT, signal.SIGTERM, *hung_up)):
        yield


@contextlib.contextmanager
def ignored() -> Iterator[None]:
    """Nothing interrupts the body."""
    with _handling(signal.SIG_IGN, ENDING):
        yield


@contextlib.contextmanager
def _handling(handler: Handler, numbers: Iterable[signal.Signals]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def end(child: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT, grace_s: float = 0.5) -> None:
    """Ends a child, and waits until it has gone.

    Args:
        child: The process.
        number: How it is asked.
        grace_s: How long it may take before it is asked: at a terminal, a Ctrl-C has reached it too.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace_s)
    if child.poll() is None:
        child.send_signal(number)
    try:
        child.wait(_TIDY_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
