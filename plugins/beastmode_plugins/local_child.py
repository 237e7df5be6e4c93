"""The child process of a local model: loads a GGUF file, serves it on a Unix socket, and dies with its parent.

Run as `python -P -m beastmode_plugins.local_child`. One line of JSON (`Orders`) comes by standard input, which then
stays open: its end is the parent's end. One line of JSON (`Word`) goes out when the model is loaded, or is not.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
from typing import Any

import msgspec

PR_SET_PDEATHSIG = 1
ERRORS_ONLY = 1


class Orders(msgspec.Struct, kw_only=True):
    """What the parent wants.

    Attributes:
        model: Path of the GGUF file.
        alias: The model's name in replies.
        socket: Path of the Unix socket to serve on.
        key: What every request must carry; known to parent and child only.
        parent: Process id of the parent.
        threads: Threads that compute.
        context_tokens: Prompt and answer together.
        batch_tokens: Prompt tokens between two looks at whether the caller is still there.
        max_tokens: Longest answer of a request that sets no limit.
        ping_s: Pause between two signs of life in a stream, while a long prompt is read.
    """

    model: str
    alias: str
    socket: str
    key: str
    parent: int
    threads: int
    context_tokens: int
    batch_tokens: int
    max_tokens: int
    ping_s: int = 2


class Word(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the child answers, once.

    Attributes:
        ready: The socket is served.
        error: Why it is not.
    """

    ready: bool = False
    error: str = ""


def main() -> int:
    """Serves until the parent is gone.

    Returns:
        1 where the model can not be loaded; does not return otherwise.
    """
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for our word
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    _die_with(orders.parent)
    threading.Thread(target=_await_end_of_input, daemon=True).start()
    os.umask(0o077)
    try:
        server = _serve(orders)
    except Exception as error:
        _say(answer, Word(error=f"{type(error).__name__}: {error}"))
        return 1
    _say(answer, Word(ready=True))
    threading.Event().wait()
    del server  # was kept alive until here
    return 0


def _serve(orders: Orders) -> Any:
    xllamacpp = importlib.import_module("xllamacpp")  # an optional extra, without types
    params = xllamacpp.CommonParams()
    params.model.path = orders.model
    params.model_alias = {orders.alias}
    params.hostnames = [orders.socket]
    params.port = 0
    params.api_keys = [orders.key]
    params.n_parallel = 1
    params.n_ctx = orders.context_tokens
    params.n_batch = params.n_ubatch = orders.batch_tokens
    params.n_predict = orders.max_tokens
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = orders.threads
    params.sse_ping_interval = orders.ping_s
    params.use_jinja = True
    params.cache_ram_mib = 0  # else it keeps up to 8 GB of old prompts
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.offline = True
    params.verbosity = ERRORS_ONLY
    return xllamacpp.Server(params)


def _say(answer: int, word: Word) -> None:
    os.write(answer, msgspec.json.encode(word) + b"\n")


def _await_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _die_with(parent: int) -> None:
    """Asks Linux for a kill when the parent dies: the end of input is not seen while a model loads."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # it was gone before we asked


if __name__ == "__main__":
    sys.exit(main())
