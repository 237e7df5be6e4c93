"""Keys in a file of their own: AES-GCM, each sealed to its deployment and endpoint; everything here blocks."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.errors import AuthenticationError, BadInputError
from beastmode.core.statefile import move_aside, read_private, write_private

SCHEMA = 1
SECRET_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2.2: random, 96 bits


class Box(msgspec.Struct, frozen=True):
    """A sealed key.

    Attributes:
        endpoint: The base URL it was sealed to; also part of what is authenticated.
        nonce: Base64.
        sealed: Ciphertext and tag, in base64.
    """

    endpoint: str
    nonce: str
    sealed: str


class _Head(msgspec.Struct):
    schema: int


class _File(msgspec.Struct):
    schema: int
    keys: dict[str, Box]


def bound_elsewhere(deployment: Deployment, endpoint: str) -> AuthenticationError:
    """The error for a key that was entered for another endpoint.

    Args:
        deployment: What is to be called.
        endpoint: The base URL that the key was entered for.
    """
    return AuthenticationError(
        f"The key of {deployment.id} was entered for {endpoint or 'this machine'} "
        f"and is not sent to {deployment.base_url or 'this machine'}.",
        tips=[_again(deployment), "nobody but `beast models add` should change a stored base URL"],
        model=deployment.model,
        endpoint=deployment.base_url or None,
    )


def unreadable(deployment: Deployment, why: str) -> AuthenticationError:
    """The error for a stored key that can not be used.

    Args:
        deployment: What is to be called.
        why: What is wrong with it.
    """
    return AuthenticationError(
        f"The key of {deployment.id} {why}.",
        tips=[_again(deployment)],
        model=deployment.model,
        endpoint=deployment.base_url or None,
    )


def _again(deployment: Deployment) -> str:
    where = f" --base-url {deployment.base_url}" if deployment.base_url else ""
    return f"enter the key again: beast models add {deployment.model}{where} --key-stdin"


class KeyFile:
    """The files `keys.json` and `vault.key` of a state folder, both 0600.

    Args:
        folder: The state folder.
        clock: For the name of a damaged file.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.file = folder / "keys.json"
        self.secret_file = folder / "vault.key"
        self._clock = clock
        self._boxes: dict[str, Box] = {}
        self._secret: bytes | None = None
        self.problem: str | None = None

    def load(self) -> None:
        """Reads both files; a damaged one is moved aside and named in `problem`.

        Raises:
            AccessError: Others can read or write one of them.
            BadInputError: A newer BEAST MODE wrote them.
        """
        content = read_private(self.file, secret=True)
        self._secret = self._read_secret()
        self._boxes = self._read_boxes(content) if content is not None else {}
        if self._boxes and self._secret is None:
            self._boxes = {}
            self._aside(self.file, f"{self.secret_file} is missing or damaged, so that no stored key can be opened")

    def _read_secret(self) -> bytes | None:
        content = read_private(self.secret_file, secret=True)
        if content is None:
            return None
        try:
            secret = base64.b64decode(content.strip(), validate=True)
        except binascii.Error:
            secret = b""
        if len(secret) == SECRET_BYTES:
            return secret
        self._aside(self.secret_file, f"{self.secret_file} was damaged")
        return None

    def _read_boxes(self, content: bytes) -> dict[str, Box]:
        try:
            schema = msgspec.json.decode(content, type=_Head).schema
            if schema > SCHEMA:
                raise BadInputError(
                    f"{self.file} was written by a newer BEAST MODE (schema {schema}; this one reads up to {SCHEMA}).",
                    tips=[
                        "install the newer version again: pip install --upgrade beastmode",
                        "or set BEAST_HOME to another folder",
                    ],
                )
            return msgspec.json.decode(content, type=_File).keys
        except (ValueError, RecursionError):
            self._aside(self.file, f"{self.file} was damaged")
            return {}

    def _aside(self, file: Path, what: str) -> None:
        place = move_aside(file, self._clock.wall_s())
        self.problem = f"{what}; {file.name} is now {place}; enter the keys again with beast models add."

    def has(self, deployment_id: str) -> bool:
        """Says whether there is a sealed key for a deployment.

        Args:
            deployment_id: Its id.
        """
        return deployment_id in self._boxes

    def get(self, deployment: Deployment) -> str | None:
        """Opens a key.

        Args:
            deployment: Whose.

        Returns:
            The key; None where there is none.

        Raises:
            AuthenticationError: It was sealed to another endpoint, or was changed.
        """
        from cryptography.exceptions import InvalidTag  # costs 30 ms, and many homes have no key at all
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        box = self._boxes.get(deployment.id)
        if box is None or self._secret is None:
            return None
        if box.endpoint != deployment.base_url:
            raise bound_elsewhere(deployment, box.endpoint)
        try:
            nonce, sealed = base64.b64decode(box.nonce, validate=True), base64.b64decode(box.sealed, validate=True)
            return AESGCM(self._secret).decrypt(nonce, sealed, _bind(deployment)).decode()
        except (InvalidTag, ValueError):
            raise unreadable(deployment, f"in {self.file} was changed from outside and can not be opened") from None

    def put(self, deployment: Deployment, key: str) -> None:
        """Seals a key; it is on disk when this returns.

        Args:
            deployment: Whose.
            key: The key.

        Raises:
            AccessError: The file can not be written; nothing has changed.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._secret is None:
            secret = secrets.token_bytes(SECRET_BYTES)
            write_private(self.secret_file, base64.b64encode(secret) + b"\n")
            self._secret = secret
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._secret).encrypt(nonce, key.encode(), _bind(deployment))
        box = Box(deployment.base_url, base64.b64encode(nonce).decode(), base64.b64encode(sealed).decode())
        self._write({**self._boxes, deployment.id: box})

    def remove(self, deployment_id: str) -> None:
        """Drops a key.

        Args:
            deployment_id: Whose.

        Raises:
            AccessError: The file can not be written; nothing has changed.
        """
        if deployment_id in self._boxes:
            self._write({name: box for name, box in self._boxes.items() if name != deployment_id})

    def _write(self, boxes: dict[str, Box]) -> None:
        write_private(self.file, msgspec.json.encode(_File(schema=SCHEMA, keys=boxes)))
        self._boxes = boxes


def _bind(deployment: Deployment) -> bytes:
    """What a sealed key is bound to; neither an id nor a URL holds a zero byte."""
    return b"\0".join((b"beastmode key 1", deployment.id.encode(), deployment.base_url.encode()))
