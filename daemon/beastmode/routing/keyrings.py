"""Keys in the operating system's keyring, asked in threads that nobody has to wait for: a locked keyring may hang."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from beastmode.core.deployments import Deployment

SERVICE = "beastmode"

T = TypeVar("T")


class Held(msgspec.Struct, frozen=True):
    """What the keyring keeps for a deployment.

    Attributes:
        endpoint: The base URL that the key was entered for.
        key: The key.
    """

    endpoint: str
    key: str

    def __repr__(self) -> str:
        """Shows no key."""
        return f"Held({self.endpoint!r})"


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Runs blocking work in a thread that does not keep the process from ending.

    Args:
        work: What to do.

    Returns:
        A future that may stay unfinished for good; cancelling it stops nothing.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # T may be None itself

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # a backend may raise anything, and the thread has nobody else to tell
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="beast-keyring", daemon=True).start()
    return future


class Keyring:
    """The keyring of this user.

    Args:
        folder: The state folder; two homes of one user keep their keys apart by it.
        module: Stands in for the `keyring` package in tests.
        least_priority: A backend below this is not used; the package recommends those from 1 on, the others
            keep keys as plain text or not at all.
    """

    def __init__(self, folder: Path, module: Any = None, least_priority: float = 1.0) -> None:
        self._home = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:12]
        self._module = module
        self._least_priority = least_priority

    def _name(self, deployment_id: str) -> str:
        return f"{self._home}:{deployment_id}"

    def backend(self) -> Any:
        """The backend that would be used, or None; blocks."""
        try:
            module = self._module or importlib.import_module("keyring")
            backend = module.get_keyring()
            usable = backend.priority >= self._least_priority
        except Exception:  # a backend may raise anything when its service is away
            return None
        room = type(backend).__module__
        return backend if usable and not room.endswith((".fail", ".null")) else None

    def get_all(self, deployments: Iterable[Deployment]) -> dict[str, Held | None]:
        """Reads what the keyring keeps for some deployments; blocks.

        Args:
            deployments: Whose keys.

        Returns:
            By deployment id; None where something else than ours was found. Without an entry: nothing was found.
        """
        backend = self.backend()
        found: dict[str, Held | None] = {}
        if backend is None:
            return found
        for one in deployments:
            text = backend.get_password(SERVICE, self._name(one.id))
            if text is not None:
                found[one.id] = _read(text)
        return found

    def put(self, deployment: Deployment, key: str) -> bool:
        """Stores a key and reads it back; blocks.

        Args:
            deployment: Whose.
            key: The key.

        Returns:
            It is there now.
        """
        backend = self.backend()
        if backend is None:
            return False
        held = Held(deployment.base_url, key)
        try:
            backend.set_password(SERVICE, self._name(deployment.id), msgspec.json.encode(held).decode())
            text = backend.get_password(SERVICE, self._name(deployment.id))
        except Exception:  # locked, refused by the user, service gone: the caller has another place
            return False
        return text is not None and _read(text) == held

    def remove(self, deployment_id: str) -> None:
        """Drops a key, where there is one; blocks.

        Args:
            deployment_id: Whose.
        """
        backend = self.backend()
        if backend is not None:
            with contextlib.suppress(Exception):  # each backend has its own error for "was not there"
                backend.delete_password(SERVICE, self._name(deployment_id))


def _read(text: str) -> Held | None:
    try:
        return msgspec.json.decode(text, type=Held)
    except (ValueError, RecursionError):
        return None
