"""`beast action` and `beast complete`: what is asked, what is shown, and what is written to files."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli.action import workspace_of
from beastmode.workspace.diffs import unified_diff
from cli.conftest import Beast
from support.daemon import Daemon
from support.fake_daemon import Call, FakeDaemon
from support.told_provider import ToldProvider

OLD = "def add(a, b):\n    return a - b\n"
NEW = "def add(a, b):\n    return a + b\n"
ANSWER = {
    "text": "```python\nreturn a + b\n```",
    "model": "custom:qwen",
    "latency_ms": 1240.0,
    "usage": {"prompt_tokens": 20, "completion_tokens": 10},
    "cost_usd": 0.0003,
    "saved_usd": 0.0,
    "cache": {"result": "miss"},
    "summary": "Changes a.py: +1 -1 lines.",
    "edits": [],
}
LINE = "custom:qwen · 1.24 s · 20+10 tokens · $0.0003 · miss\n"


def edit(path: str, before: str | None, after: str) -> dict[str, Any]:
    return {
        "path": path,
        "before_sha256": sha256(before.encode()).hexdigest() if before is not None else None,
        "diff": unified_diff(before, after, path),
        "kind": "create" if before is None else "modify",
        "new_path": None,
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    place = tmp_path / "src/a.py"
    place.write_text(OLD)
    return place


def asked(daemon: FakeDaemon, method: str = "action") -> dict[str, Any]:
    (params,) = daemon.requests(method)
    return params


class TestWhatIsAsked:
    def test_the_file_in_its_workspace(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", ANSWER)
        assert beast("action", "explain", str(file)).code == 0
        assert asked(daemon) == {
            "kind": "explain",
            "path": str(file),
            "workspace": str(file.parent.parent),
            "client": "beast",
            "stream": True,
        }

    def test_lines_and_columns_count_from_one(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", ANSWER)
        beast("action", "fix", str(file), "--lines", "1-2", "--diagnostic", "2: wrong", "--diagnostic", "also: bad")
        params = asked(daemon)
        assert params["range"] == {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 0}}
        assert params["diagnostics"] == [
            {"message": "wrong", "range": {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 0}}},
            {"message": "also: bad"},
        ]

    def test_a_cursor_and_words_and_how(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", ANSWER)
        words = ["-i", "use a dict", "-m", "custom:qwen", "--no-cache", "--max-tokens", "5", "--temperature", "0"]
        beast("action", "generate", str(file), "--at", "2:5", *words)
        params = asked(daemon)
        assert params["range"]["start"] == params["range"]["end"] == {"line": 1, "character": 4}
        assert (params["instruction"], params["model"], params["cache"]) == ("use a dict", "custom:qwen", "off")
        assert (params["max_tokens"], params["temperature"], params["stream"]) == (5, 0.0, False)

    def test_the_text_that_an_editor_holds(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", ANSWER)
        beast("action", "explain", str(file), "--stdin", "-w", str(file.parent), stdin="x = 1\r\n")
        params = asked(daemon)
        assert params["documents"] == [{"path": str(file), "text": "x = 1\r\n"}]
        assert params["workspace"] == str(file.parent)

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--lines", "0-3"],
            ["--lines", "5-3"],
            ["--lines", "x"],
            ["--lines", "3-9"],
            ["--at", "0"],
            ["--at", "1:0"],
            ["--lines", "1", "--at", "1"],
            ["--apply", "--diff"],
        ],
    )
    def test_what_is_wrong_is_said_before_anyone_is_asked(
        self, wrong: list[str], daemon: FakeDaemon, beast: Beast, file: Path
    ) -> None:
        done = beast("action", "refactor", str(file), *wrong)
        assert (done.code, daemon.requests("action")) == (2, [])
        assert "try:" in done.err

    def test_the_workspace_is_the_nearest_folder_with_a_mark(self, tmp_path: Path) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / "a/b").mkdir(parents=True)
        assert workspace_of(tmp_path / "a/b/c.py") == tmp_path
        (tmp_path / "a/.beastmode.toml").touch()
        assert workspace_of(tmp_path / "a/b/c.py") == tmp_path / "a"


class TestWhatIsShown:
    def test_a_talk_as_it_comes(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        def talking(params: dict[str, Any], call: Call) -> dict[str, Any]:
            for piece in ("It ", "adds."):
                call.progress({"delta": piece})
            return {**ANSWER, "text": "It adds."}

        daemon.on("action", talking)
        assert beast("action", "ask", str(file)) == (0, "It adds.\n", LINE)

    def test_edits_as_a_diff_and_nothing_is_written(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        made = edit("src/a.py", OLD, NEW)
        daemon.on("action", {**ANSWER, "edits": [made]})
        for words in ([], ["--diff"]):
            done = beast("action", "fix", str(file), *words)
            assert done == (0, made["diff"], f"Changes a.py: +1 -1 lines.\n{LINE}")
        assert file.read_text() == OLD

    def test_the_answer_where_nothing_comes_of_it(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", {**ANSWER, "text": "I can not.", "summary": "Nothing is changed."})
        assert beast("action", "fix", str(file)) == (0, "I can not.\n", f"Nothing is changed.\n{LINE}")
        assert beast("action", "fix", str(file), "--diff").out == ""

    def test_json_is_the_whole_result(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", {**ANSWER, "edits": [edit("src/a.py", OLD, NEW)]})
        done = beast("action", "fix", str(file), "--apply", "--json")
        assert done.json["applied"] == ["src/a.py"]
        assert done.json["edits"][0]["kind"] == "modify"


class TestApply:
    def test_writes_the_files(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        file.chmod(0o755)
        daemon.on("action", {**ANSWER, "edits": [edit("src/a.py", OLD, NEW), edit("tests/test_a.py", None, "x\r\n")]})
        done = beast("action", "tests", str(file), "--apply")
        assert (done.code, done.out) == (0, "")
        assert "wrote src/a.py\nwrote tests/test_a.py\n" in done.err
        assert file.read_text() == NEW
        assert (file.parent.parent / "tests/test_a.py").read_bytes() == b"x\r\n"
        assert file.stat().st_mode & 0o777 == 0o755
        assert [one.name for one in file.parent.iterdir()] == ["a.py"]

    def test_keeps_a_byte_order_mark(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        file.write_text("\ufeff" + OLD)
        daemon.on("action", {**ANSWER, "edits": [edit("src/a.py", OLD, NEW)]})
        assert beast("action", "fix", str(file), "--apply").code == 0
        assert file.read_text() == "\ufeff" + NEW

    def test_to_a_file_that_changed_writes_nothing(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        def typing(params: dict[str, Any], call: Call) -> dict[str, Any]:
            file.write_text(OLD + "# more\n")
            return {**ANSWER, "edits": [edit("new.py", None, "x"), edit("src/a.py", OLD, NEW)]}

        daemon.on("action", typing)
        done = beast("action", "fix", str(file), "--apply")
        assert done.code == 1
        assert "has changed" in done.err
        assert file.read_text() == OLD + "# more\n"
        assert not (file.parent.parent / "new.py").exists()

    def test_overwrites_no_file_that_was_to_be_new(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", {**ANSWER, "edits": [edit("src/a.py", None, NEW)]})
        assert beast("action", "tests", str(file), "--apply").code == 1
        assert file.read_text() == OLD

    def test_writes_nothing_outside_of_the_workspace(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        daemon.on("action", {**ANSWER, "edits": [edit("../../out.py", None, NEW)]})
        assert beast("action", "tests", str(file), "--apply").code == 2
        assert not (file.parent.parent.parent.parent / "out.py").exists()


class TestComplete:
    def test_prints_what_belongs_at_a_place(self, daemon: FakeDaemon, beast: Beast, file: Path) -> None:
        file.write_bytes("é = 1\r\nreturn \r\nlast".encode())
        daemon.on("complete", {**ANSWER, "text": "a + b"})
        assert beast("complete", str(file), "--at", "2:8") == (0, "a + b\n", LINE)
        params = asked(daemon, "complete")
        assert (params["prefix"], params["suffix"]) == ("é = 1\r\nreturn ", "\r\nlast")

    def test_beyond_a_line_its_end_is_meant_and_without_a_place_the_files(
        self, daemon: FakeDaemon, beast: Beast, file: Path
    ) -> None:
        daemon.on("complete", ANSWER)
        beast("complete", str(file), "--at", "1:999")
        beast("complete", str(file))
        beast("complete", "-", "--stdin", "--at", "9", stdin="ab")
        prefixes = [params["prefix"] for params in daemon.requests("complete")]
        assert prefixes == ["def add(a, b):", OLD, "ab"]

    def test_of_a_file_that_is_not_there_says_so(self, daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
        assert beast("complete", str(tmp_path / "no.py")).code == 1
        assert daemon.requests("complete") == []


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Daemon, ToldProvider]]:
    with ToldProvider() as provider, Daemon('routing.default_model = "custom:t"\n') as daemon:
        assert isinstance(provider, ToldProvider)
        provider.says = f"```python\n{NEW}```"
        daemon.add("custom:t", f"{provider.url}/v1", upstream_model="t")
        monkeypatch.setenv("BEAST_HOME", str(daemon.home))
        yield daemon, provider


def test_the_same_action_from_an_editor_and_from_here_is_one_call(
    real: tuple[Daemon, ToldProvider], beast: Beast, file: Path
) -> None:
    daemon, provider = real
    root = str(file.parent.parent)
    for client in ("vscode", "neovim"):
        daemon.call(
            "action",
            {
                "kind": "refactor",
                "path": "src/a.py",
                "workspace": root,
                "range": {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 16}},
                "documents": [{"path": str(file), "text": OLD, "version": 3}],
                "client": client,
                "stream": client == "vscode",
            },
        )
    done = beast("action", "refactor", str(file), "--lines", "1-2", "--apply", "--json")
    assert done.json["cache"]["result"] == "hit_exact"
    assert len(provider.calls) == 1
    assert file.read_text() == NEW
    assert [row["client"] for row in daemon.rows()] == ["beast", "neovim", "vscode"]
