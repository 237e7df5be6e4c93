"""Editors: how soon they are served, what each costs in memory, whether two that type get in each other's way.

Run `python -P bench/lsp.py [--editors 50] [--json FILE]`. Memory is what the kernel says of a process: PSS (its own
pages and its share of those that others have too) and RSS. Delays are those of requests of other editors, and of `ping`
at the router, while one editor opens a document of 5 MB, and types in it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the daemon and the editor as tests have them

Daemon = importlib.import_module("support.daemon").Daemon
LspClient = importlib.import_module("support.lsp_client").LspClient

BEAST = Path(sys.executable).with_name("beast")
ATTACHES, SHIMS, QUESTIONS = 30, 10, 100
DOCUMENT_BYTES = 5_000_000
LINE = "    value = compute(first, second)  # a line of code, as long as such lines are\n"
CAPABILITIES = {"general": {"positionEncodings": ["utf-16"]}, "textDocument": {"codeAction": {"dataSupport": True}}}


def took_ms(work: Callable[[], Any]) -> float:
    """How long something takes."""
    began_s = time.perf_counter()
    work()
    return (time.perf_counter() - began_s) * 1000


def spread(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum, in milliseconds."""
    ordered = sorted(values)
    last = len(ordered) - 1
    shown = {"p50_ms": statistics.median(ordered), "p99_ms": ordered[round(0.99 * last)], "max_ms": ordered[last]}
    return {name: round(value, 2) for name, value in shown.items()}


def memory_kb(pid: int) -> dict[str, int]:
    """What the kernel says of a process, in kB; empty where it says nothing."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {name.lower(): found[name] for name in ("Rss", "Pss")}


def worker_of(daemon: Any) -> int:
    """The process that serves editors."""
    while True:
        for line in (daemon.home / "state" / "logs" / "beast.log").read_text().splitlines():
            if '"worker for editors ready"' in line:
                return int(json.loads(line)["pid"])
        time.sleep(0.05)


def attach(daemon: Any, by_shim: bool) -> tuple[Any, float]:
    """Connects an editor; gives it, and how long it took until the reply to `initialize`."""
    began_s = time.perf_counter()
    socket = daemon.home / "run" / "lsp.sock"
    editor = LspClient.run([str(BEAST), "lsp"], daemon.environ) if by_shim else LspClient.connect(socket)
    editor.initialize(CAPABILITIES, initializationOptions={"deltas": True})
    return editor, (time.perf_counter() - began_s) * 1000


def attaching(daemon: Any) -> dict[str, Any]:
    """Attach to `initialize` reply, beside a Python that does nothing."""
    found: dict[str, list[float]] = {"socket": [], "shim": [], "python_pass": []}
    for _ in range(ATTACHES):
        for name, by_shim in (("socket", False), ("shim", True)):
            editor, ms = attach(daemon, by_shim)
            found[name].append(ms)
            editor.shutdown()
            editor.close()
        found["python_pass"].append(took_ms(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
    return {name: spread(values) for name, values in found.items()}


def crowd(daemon: Any, count: int) -> tuple[list[Any], dict[str, Any]]:
    """Many editors at once, each with a document: what each costs the server, and what a shim weighs."""
    worker = worker_of(daemon)
    before = memory_kb(worker)
    editors = []
    for number in range(count):
        editor, _ = attach(daemon, by_shim=False)
        editor.open(f"file:///work/{number}.py", LINE * 200)
        editor.change(f"file:///work/{number}.py", 2, {"range": spot(3, 4), "text": "x"})
        menu(editor, f"file:///work/{number}.py")
        editors.append(editor)
    after = memory_kb(worker)
    shims = [attach(daemon, by_shim=True)[0] for _ in range(SHIMS)]
    for shim in shims:
        shim.open("file:///work/s.py", LINE * 200)
        menu(shim, "file:///work/s.py")
    weights = [memory_kb(shim.process.pid) for shim in shims]
    bare = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    time.sleep(0.3)
    plain = memory_kb(bare.pid)
    bare.communicate(b"\n")
    for shim in shims:
        shim.shutdown()
        shim.close()
    each = {name: round((after[name] - before[name]) / count) for name in before}
    shim_kb = {name: max(one[name] for one in weights) for name in plain}
    return editors, {"server_kb": after, "server_per_editor_kb": each, "shim_kb": shim_kb, "python_pass_kb": plain}


def spot(line: int, character: int) -> dict[str, Any]:
    """A range without extent."""
    here = {"line": line, "character": character}
    return {"start": here, "end": here}


def menu(editor: Any, uri: str) -> Any:
    """Opens the menu of code actions: it asks no model."""
    params = {"textDocument": {"uri": uri}, "range": spot(1, 4), "context": {"diagnostics": []}}
    return editor.request("textDocument/codeAction", params)


def two_typing(editors: list[Any]) -> dict[str, Any]:
    """Two of many type and ask: each gets its own answers, and its own words on the way."""
    wrong: list[str] = []
    delays: list[float] = []

    def work(name: str, editor: Any, uri: str) -> None:
        for number in range(QUESTIONS):
            editor.change(uri, number + 3, {"range": spot(0, 0), "text": name})
            question = {"message": f"{name} asks {number}", "model": "echo:echo", "id": f"{name}{number}"}
            began_s = time.perf_counter()
            answer = editor.command("beast.chat", question)
            delays.append((time.perf_counter() - began_s) * 1000)
            if answer["text"] != question["message"]:
                wrong.append(answer["text"])

    threads = [
        threading.Thread(target=work, args=(name, editors[index], f"file:///work/{index}.py"))
        for index, name in enumerate(("left", "right"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, editor in zip(("left", "right"), editors, strict=False):
        wrong += [one["id"] for one in editor.of("beast/delta") if not one["id"].startswith(name)]
    strangers = sum(len(editor.of("beast/delta")) for editor in editors[2:])
    return {"questions": 2 * QUESTIONS, "cross_talk": len(wrong) + strangers, "answer": spread(delays)}


def big_document(daemon: Any, editors: list[Any]) -> dict[str, Any]:
    """Delays of others while one editor opens 5 MB, and types in it."""
    text = LINE * (DOCUMENT_BYTES // len(LINE))
    document = {"uri": "file:///big.py", "languageId": "python", "version": 1, "text": text}
    opening = {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": document}}
    body = json.dumps(opening).encode()
    raw = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    middle = text.count("\n") // 2
    big, other = editors[0], editors[1]
    found: dict[str, Any] = {}

    def open_it() -> None:
        for _ in range(10):
            big.send_raw(raw)
            menu(big, "file:///big.py")

    def type_in_it() -> None:
        for version in range(2, 102):
            big.change("file:///big.py", version, {"range": spot(middle, 4), "text": "x"})
            menu(big, "file:///big.py")

    for name, work in (("quiet", lambda: time.sleep(1)), ("opened", open_it), ("typed_in", type_in_it)):
        found[name] = beside(daemon, other, work)
    return found


def beside(daemon: Any, other: Any, work: Callable[[], None]) -> dict[str, Any]:
    """Delays of another editor and of the router while something is done."""
    over = threading.Event()
    editor_ms: list[float] = []
    router_ms: list[float] = []

    def ask_editor() -> None:
        while not over.is_set():
            editor_ms.append(took_ms(lambda: menu(other, "file:///work/1.py")))
            time.sleep(0.002)

    def ask_router() -> None:
        with daemon.client() as client:
            while not over.is_set():
                router_ms.append(took_ms(lambda: client.call("ping")))
                time.sleep(0.002)

    threads = [threading.Thread(target=one) for one in (ask_editor, ask_router)]
    for thread in threads:
        thread.start()
    done_ms = took_ms(work)
    over.set()
    for thread in threads:
        thread.join()
    return {"took_ms": round(done_ms, 1), "other_editor": spread(editor_ms), "router": spread(router_ms)}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--editors", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with Daemon(environ={"BEAST_LSP__ENABLED": "true"}) as daemon:
        daemon.add("echo:echo")
        began_s = time.perf_counter()
        worker_of(daemon)
        found: dict[str, Any] = {"worker_ready_ms": round((time.perf_counter() - began_s) * 1000)}
        found["attach"] = attaching(daemon)
        editors, found["memory"] = crowd(daemon, options.editors)
        found["two_of_many"] = two_typing(editors)
        found["document_of_5_mb"] = big_document(daemon, editors)
        for editor in editors:
            editor.close()
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
