"""The vault: API keys, kept in the OS keyring or an encrypted file, each bound to the endpoint it was entered for."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.errors import AccessError, BadInputError, BeastError
from beastmode.routing.keyfile import KeyFile, bound_elsewhere, unreadable
from beastmode.routing.keyrings import Held, Keyring, in_thread

Store = Literal["auto", "keyring", "file"]

KEY_MAX_CHARS = 8192
READ_TIMEOUT_S = 5.0
UNLOCK_TIMEOUT_S = 30.0  # a person may have to type a password


def clean_key(text: str) -> str:
    """Brings a key as a person pasted it into the form that a header takes.

    Args:
        text: The key, perhaps with blank space around it.

    Raises:
        BadInputError: It is empty, too long, or holds what no key holds. The message does not show it.
    """
    key = text.strip()
    again = "paste the key alone, without quotes and on one line"
    if not key:
        raise BadInputError("The key is empty.", tips=[again, "or leave it out where the endpoint needs none"])
    if re.match(r"(?i)(bearer|authorization:|x-api-key:)\s", key):
        raise BadInputError("The key begins with the name of a header.", tips=[again])
    if len(key) > KEY_MAX_CHARS:
        raise BadInputError(f"The key has {len(key)} characters, more than {KEY_MAX_CHARS}.", tips=[again])
    wrong = re.search(r"[^\x21-\x7e]", key)
    if wrong:
        what = "a blank" if wrong[0] == " " else "a control character" if ord(wrong[0]) < 32 else "no plain ASCII"
        raise BadInputError(f"Character {wrong.start() + 1} of the key is {what}.", tips=[again])
    return key


class Vault:
    """All keys, decrypted in memory so that a request never waits for them.

    Args:
        folder: The state folder.
        store: `keyring`, `file`, or `auto`: the keyring where there is a usable one.
        keyring_module: Stands in for the `keyring` package in tests.
        clock: Names damaged files.
        read_timeout_s: Longest wait for the keyring when the daemon starts.
        unlock_timeout_s: Longest wait when a key is stored.
    """

    def __init__(
        self,
        folder: Path,
        store: Store = "auto",
        keyring_module: Any = None,
        *,
        clock: Clock | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        unlock_timeout_s: float = UNLOCK_TIMEOUT_S,
    ) -> None:
        self._folder = folder
        self._store = store
        self._file = KeyFile(folder, clock or Clock())
        self._ring = Keyring(folder, keyring_module, least_priority=1.0 if store == "auto" else 0.01)
        self._read_timeout_s = read_timeout_s
        self._unlock_timeout_s = unlock_timeout_s
        self._keys: dict[str, Held] = {}
        self._troubles: dict[str, BeastError] = {}
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        """Shows no key."""
        return f"Vault({str(self._folder)!r}, {self._store!r}, {len(self._keys)} keys)"

    @property
    def problem(self) -> str | None:
        """One sentence where a file was damaged and moved aside."""
        return self._file.problem

    @property
    def troubles(self) -> dict[str, BeastError]:
        """Why a key that should be there can not be used, by deployment id."""
        return {**self._troubles}

    async def load(self, deployments: Iterable[Deployment]) -> None:
        """Reads the keys of some deployments. One that can not be used is kept in `troubles`, and nothing else fails.

        Args:
            deployments: All registered ones.

        Raises:
            AccessError: A file can be read by others.
            BadInputError: A newer BEAST MODE wrote a file.
        """
        async with self._lock:
            self._keys, self._troubles = {}, {}
            await asyncio.to_thread(self._file.load)
            elsewhere = [one for one in deployments if not await self._load_from_file(one) and one.has_key]
            if elsewhere:
                await self._load_from_keyring(elsewhere)

    async def _load_from_file(self, deployment: Deployment) -> bool:
        if not self._file.has(deployment.id):
            return False
        try:
            key = await asyncio.to_thread(self._file.get, deployment)
        except BeastError as error:
            self._troubles[deployment.id] = error
        else:
            if key is not None:
                self._keys[deployment.id] = Held(deployment.base_url, key)
        return True

    async def _load_from_keyring(self, deployments: list[Deployment]) -> None:
        if self._store == "file":
            self._adopt(deployments, {})
            return
        reading = in_thread(lambda: self._ring.get_all(deployments))
        try:
            async with asyncio.timeout(self._read_timeout_s):
                self._adopt(deployments, await asyncio.shield(reading))
        except TimeoutError:
            for one in deployments:
                self._troubles[one.id] = unreadable(
                    one,
                    f"is in the keyring, which did not answer within {self._read_timeout_s:g} s; unlock the keyring",
                )
            reading.add_done_callback(lambda done: self._adopt(deployments, {} if done.exception() else done.result()))
        except Exception as error:  # each backend has its own errors
            for one in deployments:
                self._troubles[one.id] = unreadable(one, f"can not be read from the keyring ({type(error).__name__})")

    def _adopt(self, deployments: list[Deployment], found: dict[str, Held | None]) -> None:
        """Takes over what the keyring had, perhaps long after it was asked."""
        for one in deployments:
            if one.id in self._keys:
                continue
            held = found.get(one.id)
            if held is not None and held.endpoint == one.base_url:
                self._keys[one.id] = held
                self._troubles.pop(one.id, None)
            elif held is not None:
                self._troubles[one.id] = bound_elsewhere(one, held.endpoint)
            else:
                why = (
                    "in the keyring was not stored by BEAST MODE" if one.id in found else "is not in the vault any more"
                )
                self._troubles[one.id] = unreadable(one, why)

    def key_for(self, deployment: Deployment) -> str | None:
        """The key that goes with a call.

        Args:
            deployment: What is called.

        Returns:
            The key; None where none was entered.

        Raises:
            AuthenticationError: There is one, but it was entered for another endpoint or can not be opened.
        """
        held = self._keys.get(deployment.id)
        if held is None:
            trouble = self._troubles.get(deployment.id)
            if trouble is not None:
                raise copy.copy(trouble)  # whoever handles it may add tips
            return None
        if held.endpoint != deployment.base_url:
            raise bound_elsewhere(deployment, held.endpoint)
        return held.key

    async def get(self, deployment: Deployment) -> str | None:
        """As `key_for`.

        Args:
            deployment: What is called.
        """
        return self.key_for(deployment)

    async def put(self, deployment: Deployment, key: str) -> Literal["keyring", "file"]:
        """Stores a key, bound to the deployment's base URL; one that was there is replaced.

        Args:
            deployment: Whose, with its final id and base URL.
            key: As it was entered.

        Returns:
            Where it is now.

        Raises:
            BadInputError: It can be no key.
            AccessError: It can not be stored.
        """
        key = clean_key(key)
        async with self._lock:
            place = await self._store_key(deployment, key)
            self._keys[deployment.id] = Held(deployment.base_url, key)
            self._troubles.pop(deployment.id, None)
            return place

    async def _store_key(self, deployment: Deployment, key: str) -> Literal["keyring", "file"]:
        if self._store != "file" and await self._in_keyring(lambda: self._ring.put(deployment, key)):
            await asyncio.to_thread(self._file.remove, deployment.id)
            return "keyring"
        if self._store == "keyring":
            raise AccessError(
                "The operating system's keyring took no key: there is none, or it is locked.",
                tips=[
                    "unlock it and try again",
                    'or keep keys in an encrypted file: keys.store = "file" in config.toml',
                ],
            )
        await asyncio.to_thread(self._file.put, deployment, key)
        return "file"

    async def _in_keyring(self, work: Any) -> bool:
        try:
            async with asyncio.timeout(self._unlock_timeout_s):
                return bool(await in_thread(work))
        except TimeoutError:
            return False

    async def remove(self, deployment: Deployment) -> None:
        """Forgets a key, wherever it is.

        Args:
            deployment: Whose.

        Raises:
            AccessError: The file can not be written.
        """
        async with self._lock:
            in_file = self._file.has(deployment.id)
            await asyncio.to_thread(self._file.remove, deployment.id)
            if not in_file and self._store != "file" and (deployment.has_key or deployment.id in self._keys):
                await self._in_keyring(lambda: self._ring.remove(deployment.id))
            self._keys.pop(deployment.id, None)
            self._troubles.pop(deployment.id, None)
