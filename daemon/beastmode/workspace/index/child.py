"""The process that reads and watches workspaces, beside the daemon and behind everything else that the machine does.

Orders come as lines of JSON by standard input, whose end is the daemon's end and its own. Words go out the same way.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import threading
from collections.abc import Iterable

import msgspec

from beastmode.workspace.index.following import Following
from beastmode.workspace.index.orders import Order, Word

NICE = 19
IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
IOPRIO_IDLE = 3 << 13


def main() -> int:
    """Does as it is ordered, until nobody orders any more."""
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for our word
    os.umask(0o077)
    stand_back()
    child = Child(answer)
    try:
        child.obey(sys.stdin.buffer)
    finally:
        os._exit(0)  # threads in the middle of a file hold nothing up: the catalogue is written in transactions
    return 0


def stand_back() -> None:
    """Takes the processor and the disk only where nobody else wants them."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    number = IOPRIO_SET.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).syscall(number, 1, 0, IOPRIO_IDLE)


class Child:
    """The workspaces that are followed.

    Args:
        answer: Descriptor that words are written to.
    """

    def __init__(self, answer: int) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._followed: dict[str, Following] = {}

    def obey(self, lines: Iterable[bytes]) -> None:
        """Takes orders until there are no more.

        Args:
            lines: Each an order.
        """
        for line in lines:
            order = msgspec.json.decode(line, type=Order)
            former = self._followed.pop(order.root, None)
            if former is not None:
                former.close()
                former.join()
            if order.op == "open":
                following = self._followed[order.root] = Following(order, self.say)
                following.start()

    def say(self, word: Word) -> None:
        """Tells the daemon; where it has gone, this process goes too.

        Args:
            word: What there is to be said.
        """
        left = memoryview(msgspec.json.encode(word) + b"\n")
        try:
            with self._lock:
                while left:
                    left = left[os.write(self._answer, left) :]
        except OSError:
            os._exit(0)
