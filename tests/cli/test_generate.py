"""`beast generate`: what is asked, checked, written all or not at all, taken back, gone on with, made in batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli import applying
from beastmode.core.errors import AccessError, ConflictError, RateLimitedError
from beastmode.workspace.diffs import unified_diff
from cli.conftest import Beast
from support.daemon import Daemon
from support.fake_daemon import Call, FakeDaemon
from support.turns_provider import TurnsProvider
from support.waiting import until

OLD = "def add(a, b):\n    return a - b\n"
NEW = "def add(a, b):\n    return a + b\n"
RESULT: dict[str, Any] = {
    "id": "gen_1",
    "text": "",
    "model": "custom:qwen",
    "latency_ms": 1240.0,
    "usage": {"prompt_tokens": 20, "completion_tokens": 10},
    "cost_usd": 0.0003,
    "saved_usd": 0.0,
    "cache": {"result": "miss"},
    "summary": "Changes a.py.",
    "edits": [],
    "problems": [],
    "checked": ["paths", "diff", "syntax"],
    "calls": 2,
    "repairs": 0,
}
LINE = "custom:qwen · 1.24 s · 20+10 tokens · $0.0003 · miss\n"


def edit(path: str, before: str | None, after: str | None) -> dict[str, Any]:
    kind = "create" if before is None else "delete" if after is None else "modify"
    return {
        "path": path,
        "before_sha256": sha256(before.encode()).hexdigest() if before is not None else None,
        "diff": unified_diff(before, after or "", path),
        "kind": kind,
    }


CHANGES = [edit("a.py", OLD, NEW), edit("new/b.py", None, "b = 1\n"), edit("gone.py", "g = 1\n", None)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path.resolve() / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "a.py").write_text(OLD)
    (folder / "gone.py").write_text("g = 1\n")
    monkeypatch.chdir(folder)
    return folder


def texts(root: Path) -> dict[str, str]:
    return {str(one.relative_to(root)): one.read_text() for one in sorted(root.rglob("*")) if one.is_file()}


class TestWhatIsAsked:
    def test_the_request_for_the_project_around(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        daemon.on("generate", {**RESULT, "edits": CHANGES[:1]})
        assert beast("generate", "add a thing").code == 0
        (params,) = daemon.requests("generate")
        assert params == {
            "request": "add a thing",
            "workspace": str(root),
            "client": "beast",
            "stage": False,
            "stream": True,
        }

    def test_files_a_model_and_a_bound(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        daemon.on("generate", {**RESULT, "edits": CHANGES[:1]})
        words = ["--file", "a.py", "-f", "new.py", "-m", "custom:qwen", "--no-cache", "--max-cost", "0.5", "-w", ".."]
        beast("generate", "add a thing", *words)
        (params,) = daemon.requests("generate")
        assert params["files"] == [str(root / "a.py"), str(root / "new.py")]
        assert (params["model"], params["cache"], params["max_cost_usd"]) == ("custom:qwen", "off", 0.5)
        assert os.path.realpath(params["workspace"]) == str(root.parent)

    @pytest.mark.parametrize(
        "wrong",
        [
            [],
            [" "],
            ["x", "--apply", "--diff"],
            ["x", "--undo", "y"],
            ["x", "--resume", "gen_1"],
            ["x", "--batch", "f"],
            ["--batch", "nothing.txt", "--undo", "y"],
        ],
    )
    def test_what_is_wrong_is_said_before_anyone_is_asked(
        self, wrong: list[str], daemon: FakeDaemon, beast: Beast, root: Path
    ) -> None:
        done = beast("generate", *wrong)
        assert (done.code, daemon.requests("generate")) == (2, [])
        assert "try:" in done.err


class TestWhatIsShown:
    def test_how_far_it_is_then_the_diff(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        def making(params: dict[str, Any], call: Call) -> dict[str, Any]:
            call.progress({"id": "gen_1", "stage": "plan", "file": "", "message": "looking"})
            call.progress({"stage": "edit", "file": "a.py", "delta": "def"})
            call.progress({"id": "gen_1", "stage": "edit", "file": "a.py", "message": "changing"})
            call.progress({"id": "gen_1", "stage": "done", "file": "", "message": "Changes a.py."})
            return {**RESULT, "edits": CHANGES[:1]}

        daemon.on("generate", making)
        done = beast("generate", "x")
        assert done == (0, CHANGES[0]["diff"], f"plan: looking\nedit: a.py: changing\nChanges a.py.\n{LINE}")
        assert texts(root) == {"a.py": OLD, "gone.py": "g = 1\n"}

    def test_nothing_right_is_exit_1_with_what_is_wrong(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        daemon.on("generate", {**RESULT, "summary": "Nothing is offered.", "problems": ["`a.py` does not parse"]})
        for words in ([], ["--apply"]):
            done = beast("generate", "x", *words)
            assert (done.code, done.out) == (1, "")
            assert "does not parse" in done.err
        assert (root / "a.py").read_text() == OLD

    def test_one_that_is_cut_off_says_how_to_go_on(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        def failing(params: dict[str, Any], call: Call) -> dict[str, Any]:
            if "resume" in params:
                return {**RESULT, "edits": CHANGES[:1]}
            call.progress({"id": "gen_77", "stage": "plan", "file": "", "message": "looking"})
            raise RateLimitedError("Too many.", tips=["wait"])

        daemon.on("generate", failing)
        done = beast("generate", "x")
        assert done.code != 0
        assert "beast generate --resume gen_77" in done.err
        assert beast("generate", "--resume", "gen_77").out == CHANGES[0]["diff"]
        assert daemon.requests("generate")[-1]["resume"] == "gen_77"


class TestApplyAndUndo:
    def test_all_files_are_written_and_taken_back(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        before = texts(root)
        (root / "a.py").chmod(0o755)
        daemon.on("generate", {**RESULT, "edits": CHANGES})
        done = beast("generate", "x", "--apply")
        assert (done.code, done.out) == (0, "")
        assert texts(root) == {"a.py": NEW, "new/b.py": "b = 1\n"}
        assert (root / "a.py").stat().st_mode & 0o777 == 0o755
        (kept,) = (daemon.home / "state/undo").iterdir()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert kept.stem in done.err
        undone = beast("generate", "--undo")
        assert (undone.code, undone.out) == (0, "restored a.py\nrestored new/b.py\nrestored gone.py\n")
        assert texts(root) == before
        assert not (root / "new").exists()
        assert (root / "a.py").stat().st_mode & 0o777 == 0o755
        assert beast("generate", "--undo").code == 1, "there is nothing more to take back"

    def test_undo_goes_back_step_by_step_or_by_name(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        daemon.on("generate", {**RESULT, "edits": [edit("a.py", OLD, NEW)]})
        beast("generate", "one", "--apply")
        daemon.on("generate", {**RESULT, "edits": [edit("b.py", None, "b\n")]})
        second = beast("generate", "two", "--apply", "--json").json["undo"]
        daemon.on("generate", {**RESULT, "edits": [edit("c.py", None, "c\n")]})
        beast("generate", "three", "--apply")
        assert beast("generate", "--undo", second).code == 0
        assert sorted(texts(root)) == ["a.py", "c.py", "gone.py"]
        assert beast("generate", "--undo", "--json").json["restored"] == ["c.py"]
        assert beast("generate", "--undo", "--json").json["what"] == "one"
        assert texts(root) == {"a.py": OLD, "gone.py": "g = 1\n"}

    def test_undo_takes_nothing_back_where_a_file_was_changed_since(
        self, daemon: FakeDaemon, beast: Beast, root: Path
    ) -> None:
        daemon.on("generate", {**RESULT, "edits": CHANGES})
        beast("generate", "x", "--apply")
        (root / "new/b.py").write_text("mine\n")
        done = beast("generate", "--undo")
        assert done.code == 1
        assert "new/b.py was changed since" in done.err
        assert texts(root) == {"a.py": NEW, "new/b.py": "mine\n"}
        (root / "new/b.py").write_text("b = 1\n")
        assert beast("generate", "--undo").code == 0

    def test_of_another_project_is_left_alone(
        self, daemon: FakeDaemon, beast: Beast, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        daemon.on("generate", {**RESULT, "edits": CHANGES[:1]})
        beast("generate", "x", "--apply")
        (tmp_path / "other/.git").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "other")
        assert beast("generate", "--undo").code == 1
        assert (root / "a.py").read_text() == NEW

    @pytest.mark.parametrize("spoil", ["changed", "there", "gone"])
    def test_where_one_file_is_not_what_it_was_none_is_written(
        self, spoil: str, daemon: FakeDaemon, beast: Beast, root: Path
    ) -> None:
        if spoil == "changed":
            (root / "gone.py").write_text("g = 2\n")
        elif spoil == "there":
            (root / "new").mkdir()
            (root / "new/b.py").write_text("mine\n")
        else:
            (root / "gone.py").unlink()
        before = texts(root)
        daemon.on("generate", {**RESULT, "edits": CHANGES})
        assert beast("generate", "x", "--apply").code in (1, 2)
        assert texts(root) == before
        assert not list((daemon.home / "state").rglob("undo/*"))

    def test_what_fails_in_the_middle_is_put_back(
        self, daemon: FakeDaemon, beast: Beast, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = texts(root)
        put, count = applying._put, 0

        def failing(change: applying.Change, fresh: Path | None) -> None:
            nonlocal count
            count += 1
            if count == 3:
                raise OSError(28, "No space left on device")
            put(change, fresh)

        monkeypatch.setattr(applying, "_put", failing)
        daemon.on("generate", {**RESULT, "edits": CHANGES})
        done = beast("generate", "x", "--apply")
        assert done.code == 4
        assert "No space left on device" in done.err
        assert "Nothing was changed" in done.err
        assert texts(root) == before
        assert not (root / "new").exists()
        assert not list((daemon.home / "state").rglob("undo/*"))

    def test_a_folder_that_can_not_be_written_changes_nothing(self, root: Path) -> None:
        (root / "file").write_text("x\n")
        with pytest.raises((AccessError, ConflictError)):
            applying.apply(root, [CHANGES[0], edit("file/b.py", None, "b\n")])
        assert (root / "a.py").read_text() == OLD

    @pytest.mark.parametrize("path", ["../out.py", "/tmp/out.py", ".git/hooks/pre-commit", "link/x.py"])
    def test_nothing_is_written_outside(self, path: str, root: Path) -> None:
        (root / "link").symlink_to(root.parent)
        with pytest.raises(Exception, match="leads out"):
            applying.apply(root, [edit(path, None, "x\n")])
        assert not (root.parent / "out.py").exists()


class TestACheckOfOnesOwn:
    def staged(self, tmp_path: Path, text: str) -> str:
        copy = Path(tmp_path / f"copy-{time.monotonic_ns()}")
        copy.mkdir()
        (copy / "a.py").write_text(text)
        return str(copy)

    def test_runs_in_the_copy_and_what_it_says_is_mended(
        self, daemon: FakeDaemon, beast: Beast, root: Path, tmp_path: Path
    ) -> None:
        def making(params: dict[str, Any], call: Call) -> dict[str, Any]:
            right = "resume" in params
            text = NEW if right else "nonsense\n"
            return {**RESULT, "edits": [edit("a.py", OLD, text)], "staged": self.staged(tmp_path, text)}

        daemon.on("generate", making)
        done = beast("generate", "x", "--check", "grep -q 'a + b' a.py || { echo wrong in $PWD; exit 3; }", "--apply")
        assert done.code == 0
        assert (root / "a.py").read_text() == NEW
        first, second = daemon.requests("generate")
        assert (first["stage"], second["resume"]) == (True, "gen_1")
        assert "failed with code 3:\nwrong in ." in second["feedback"]
        assert "check" not in first, "a request names no command"
        assert not list(tmp_path.glob("copy-*"))

    def test_where_nothing_can_be_mended_nothing_is_written(
        self, daemon: FakeDaemon, beast: Beast, root: Path, tmp_path: Path
    ) -> None:
        def making(params: dict[str, Any], call: Call) -> dict[str, Any]:
            if "resume" in params:
                return {**RESULT, "problems": [params["feedback"]], "summary": "Nothing is offered."}
            return {**RESULT, "edits": CHANGES[:1], "staged": self.staged(tmp_path, NEW)}

        daemon.on("generate", making)
        done = beast("generate", "x", "--check", "false", "--apply")
        assert done.code == 1
        assert "The check `false` failed with code 1" in done.err
        assert (root / "a.py").read_text() == OLD

    def test_that_takes_too_long_is_ended(self, daemon: FakeDaemon, beast: Beast, root: Path, tmp_path: Path) -> None:
        def making(params: dict[str, Any], call: Call) -> dict[str, Any]:
            if "resume" in params:
                return {**RESULT, "problems": [params["feedback"]]}
            return {**RESULT, "edits": CHANGES[:1], "staged": self.staged(tmp_path, NEW)}

        daemon.on("generate", making)
        done = beast("generate", "x", "--check", "echo began; sleep 60", "--check-timeout", "0.5")
        assert "took over 0.5 s" in done.err
        assert "began" in done.err


class TestBatch:
    def test_goes_on_after_a_failure_and_adds_up(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        def making(params: dict[str, Any], call: Call) -> dict[str, Any]:
            if params["request"] == "bad":
                raise RateLimitedError("Too many.", tips=["wait"])
            if params["request"] == "unfit":
                return {**RESULT, "problems": ["no"]}
            return {**RESULT, "edits": [edit(f"{params['request']}.py", None, "x\n")], "saved_usd": 0.5}

        daemon.on("generate", making)
        (root / "wishes").write_text(
            '# wishes\none\n\nbad\nunfit\n{"request": "two", "files": ["a.py"], "model": "local:m"}\n'
        )
        done = beast("generate", "--batch", "wishes", "--apply", "--json")
        assert done.code == 1
        assert [one["ok"] for one in done.json["results"]] == [True, False, False, True]
        total = done.json["total"]
        assert (total["requests"], total["ok"], total["failed"], total["calls"]) == (4, 2, 2, 6)
        assert (total["cost_usd"], total["saved_usd"]) == (pytest.approx(0.0009), 1.0)
        assert sorted(texts(root)) == ["a.py", "gone.py", "one.py", "two.py", "wishes"]
        last = daemon.requests("generate")[-1]
        assert (last["files"], last["model"]) == ([str(root / "a.py")], "local:m")
        daemon.on("generate", lambda params, call: {**RESULT, "edits": [edit("late.py", None, "x\n")]})
        before = len(daemon.requests("generate"))
        (root / "late.py").unlink(missing_ok=True)
        again = beast("generate", "--batch", "wishes", "--resume", total["resume"], "--json")
        assert again.code == 0
        assert [one["request"] for one in daemon.requests("generate")[before:]] == ["bad", "unfit"]
        assert not list((daemon.home / "state/batches").iterdir())

    def test_says_each_and_the_total(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        daemon.on("generate", {**RESULT, "edits": CHANGES[:1]})
        done = beast("generate", "--batch", "-", stdin="one\ntwo\n")
        assert (done.code, done.out) == (0, CHANGES[0]["diff"] * 2)
        assert "ok      line 1: Changes a.py." in done.err
        assert "2 of 2 requests came out right · 4 calls · $0.0006 · saved $0" in done.err

    @pytest.mark.parametrize(
        "text", ["", "# nothing\n", '{"files": []}\n', '{"request": 3}\n', "{nonsense\n", "[1]\n{}\n"]
    )
    def test_without_a_request_is_refused(self, text: str, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        (root / "wishes").write_text(text)
        assert beast("generate", "--batch", "wishes").code == 2
        assert beast("generate", "--batch", "none").code != 0
        assert daemon.requests("generate") == []

    def test_a_batch_that_is_not_there_is_said(self, daemon: FakeDaemon, beast: Beast, root: Path) -> None:
        (root / "wishes").write_text("one\n")
        for name in ("batch_0", "../../token"):
            assert beast("generate", "--batch", "wishes", "--resume", name).code == 1


@pytest.fixture(scope="module")
def real() -> Iterator[tuple[Daemon, TurnsProvider]]:
    with TurnsProvider() as provider, Daemon('routing.default_model = "custom:t"\n') as daemon:
        assert isinstance(provider, TurnsProvider)
        daemon.add("custom:t", f"{provider.url}/v1", upstream_model="t")
        yield daemon, provider


def test_the_whole_loop_from_request_to_undo(
    real: tuple[Daemon, TurnsProvider], beast: Beast, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, provider = real
    monkeypatch.setenv("BEAST_HOME", str(daemon.home))
    before = texts(root)
    plan = json.dumps({"summary": "Mends add", "files": ["a.py", "test_a.py"]})
    test = "from a import add\n\nassert add(1, 2) == 3, add(1, 2)\n"
    wrong = OLD.replace("a - b", "a * b")
    provider.turns = [
        plan,
        f"a.py\n```python\n{wrong}```",
        f"test_a.py\n```python\n{test}```",
        f"a.py\n```python\n{NEW}```",
    ]
    check = f"{sys.executable} test_a.py"
    done = beast("generate", "add adds, with a test", "--check", check, "--apply", "--json")
    assert done.code == 0, done.err
    assert (done.json["calls"], done.json["repairs"]) == (4, 1)
    assert "AssertionError: 2" in provider.prompt
    assert texts(root) == {"a.py": NEW, "gone.py": "g = 1\n", "test_a.py": test}
    assert not list((daemon.home / "cache/generation").glob("copy-*"))
    assert beast("generate", "--undo").code == 0
    assert texts(root) == before
    asked = len(provider.calls)
    again = beast("generate", "add adds, with a test", "--check", check, "--apply", "--json")
    assert (again.code, again.json["cache"]["result"], len(provider.calls)) == (0, "hit_exact", asked)
    assert texts(root)["a.py"] == NEW


def test_ctrl_c_ends_it_and_it_can_go_on(real: tuple[Daemon, TurnsProvider], root: Path) -> None:
    daemon, provider = real
    provider.turns, provider.says, provider.pause_s = [json.dumps(["a.py"])], "word " * 3000, 0.02
    command = [sys.executable, "-m", "beastmode.cli", "generate", "add adds, interrupted", "--no-cache"]
    running = subprocess.Popen(command, env=daemon.environ, cwd=root, stderr=subprocess.PIPE, text=True)
    calls = len(provider.calls)
    until(lambda: len(provider.calls) == calls + 2)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    until(lambda: provider.calls[-1].ended == "left")
    name = said.partition("--resume ")[2].split()[0]
    provider.says, provider.pause_s = f"a.py\n```python\n{NEW}```", 0.0
    done = subprocess.run(
        [*command[:4], "--resume", name, "--apply"], env=daemon.environ, cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (root / "a.py").read_text() == NEW
