"""The default embedder: all-MiniLM-L6-v2 in int8 on one core, made ready from the weights that the user fetched."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from beastmode.core.errors import BadInputError, InternalError
from beastmode.core.plugins import Context, Embedder, Embedding, hookimpl
from beastmode_plugins.minilm_build import WEIGHTS, proved
from beastmode_plugins.weights import installed, weights_folder
from beastmode_plugins.wordpiece import WordPiece

NAME = "minilm"
VOCABULARY = "vocab.txt"
PIECE_MAX_CHARS = 64
"""A text with more characters than this for each piece that it may have is not even cut."""

RETRY_S = 60.0
INSTALL = "pip install 'beastmode[embed]', then: beast restart"
FETCH = f"beast models fetch {NAME}"

log = logging.getLogger(__name__)


class MiniLMOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The table `[plugins.options.minilm]`.

    Attributes:
        weights_dir: Folder of the weights, where `plugins.options.local_model.weights_dir` names one.
    """

    weights_dir: str | None = None


class MiniLM(Embedder):
    """384 numbers for a text of up to 256 word pieces, in 2 to 25 ms."""

    id = "minilm-l6-v2-int8"
    dim = 384
    max_pieces = 256

    def __init__(self) -> None:
        self._session: Any = None
        self._builder: subprocess.Popen[bytes] | None = None
        self._failure: tuple[float, str] | None = None

    async def start(self, context: Context) -> None:
        """Learns the folder of the weights.

        Args:
            context: What the daemon lends.

        Raises:
            BadInputError: An option is unknown or of the wrong type.
        """
        await super().start(context)
        try:
            msgspec.convert(context.options, MiniLMOptions)
        except msgspec.ValidationError as error:
            raise BadInputError(
                f"plugins.options.{NAME}: {error}", tips=[f"known: {', '.join(MiniLMOptions.__struct_fields__)}"]
            ) from error
        self._folder = weights_folder(context.data, context.options) / NAME

    def ready(self) -> str | None:
        """Loads the network, or has it built in a child process; returns at once while that runs."""
        if self._session is not None:
            return None
        if self._builder is not None:
            return self._look_at_builder()
        if self._failure is not None:
            at_s, why = self._failure
            if self.context.clock.mono_s() - at_s < RETRY_S:
                return why
            self._failure = None
        return self._missing() or self._load()

    def _missing(self) -> str | None:
        for package in ("numpy", "onnxruntime"):
            if importlib.util.find_spec(package) is None:
                return f"The embedder {NAME} needs the package {package}: {INSTALL}."
        if NAME not in installed(self._folder.parent):
            return f"The weights {NAME} are not in {self._folder}: {FETCH}."
        return None

    def _load(self) -> str | None:
        network = proved(self._folder)
        if network is None:
            return self._begin_build()
        try:
            self._words = WordPiece(self._folder / VOCABULARY)
            self._session = _open(network)
        except Exception as error:  # whatever a damaged installation or vocabulary raises
            return self._fail(f"The embedder {NAME} can not be loaded ({error}): {FETCH}, or {INSTALL}.")
        return None

    def _begin_build(self) -> str:
        if importlib.util.find_spec("onnx") is None:
            return f"The embedder {NAME} needs the package onnx: {INSTALL}."
        command = [sys.executable, "-P", "-m", "beastmode_plugins.minilm_build", str(self._folder)]
        try:
            self._builder = subprocess.Popen(  # noqa: S603 - our own module, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return self._fail(f"The embedder {NAME} can not be made ready: {error}.")
        return f"The embedder {NAME} is being made ready; that takes some seconds."

    def _look_at_builder(self) -> str | None:
        assert self._builder is not None
        if self._builder.poll() is None:
            return f"The embedder {NAME} is being made ready; that takes some seconds."
        said, code = self._end_builder()
        if code or proved(self._folder) is None:
            why = said or f"its process ended with {code}"
            return self._fail(f"The embedder {NAME} could not be made ready ({why}): {FETCH} checks {WEIGHTS}.")
        return self._load()

    def _end_builder(self) -> tuple[str, int]:
        builder, self._builder = self._builder, None
        assert builder is not None
        with builder:
            assert builder.stdout is not None
            said = builder.stdout.read(500).decode(errors="replace").strip()
        return said, builder.returncode

    def _fail(self, why: str) -> str:
        log.warning(why)
        self._failure = self.context.clock.mono_s(), why
        return why

    def embed(self, text: str) -> Embedding | None:
        """Embeds one text, alone: what the network computes for a text depends on what shares its batch.

        Args:
            text: Any text.

        Returns:
            None where it has more than 256 word pieces.

        Raises:
            InternalError: It is not ready, or the network fails.
        """
        if self._session is None:
            raise InternalError(f"The embedder {NAME} is not ready.", tips=[FETCH, INSTALL])
        if len(text) > PIECE_MAX_CHARS * self.max_pieces:
            return None
        pieces = self._words.cut(text, self.max_pieces)
        if pieces is None:
            return None
        vector, tokens = self._run(self._words.numbers(pieces))
        return Embedding(vector[0], pieces, tokens[0, 1:-1].astype("float16"))

    def _run(self, numbers: list[int]) -> Any:
        import numpy as np

        ids = np.array([numbers], np.int64)
        try:
            return self._session.run(["vector", "tokens"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        except Exception as error:  # onnxruntime has a tree of its own
            raise InternalError(f"The embedder {NAME} failed: {error}", tips=["beast restart"]) from error

    async def close(self) -> None:
        """Ends a build that runs; what it had done so far is done again."""
        if self._builder is not None:
            self._builder.kill()
            self._end_builder()


def _open(network: Path) -> Any:
    """Opens a network on one core that sleeps when there is nothing to do."""
    onnxruntime = importlib.import_module("onnxruntime")  # an optional extra
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


@hookimpl
def beast_embedders() -> list[Embedder]:
    """Brings `minilm`."""
    return [MiniLM()]
