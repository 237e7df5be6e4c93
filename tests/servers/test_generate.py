"""`generate` on a real daemon with a scripted model: plan, edit, failing check, repair; and what it never does."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.client.edits import apply_diff
from beastmode.core.errors import BadInputError, BeastError, NotFoundError
from support.daemon import Daemon, rpc
from support.turns_provider import TurnsProvider
from support.waiting import until

CALC = "def add(a, b):\n    return a + b\n"
TWICE = f"{CALC}\n\ndef twice(a):\n    return add(a, a)\n"
PLAN = json.dumps({"summary": "Adds twice", "files": [{"path": "calc.py", "what": "a function twice(a)"}]})
TWO = json.dumps({"summary": "Adds twice", "files": ["calc.py", "docs/twice.md"]})
CHECK = "import calc; assert calc.twice(2) == 4, calc.twice(2)"


def whole(path: str, text: str) -> str:
    return f"{path}\n```\n{text}```\n"


def swap(path: str, old: str, new: str) -> str:
    return f"{path}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"


@pytest.fixture(scope="module")
def provider() -> Iterator[TurnsProvider]:
    with TurnsProvider() as server:
        assert isinstance(server, TurnsProvider)
        yield server


@pytest.fixture(scope="module")
def daemon(provider: TurnsProvider) -> Iterator[Daemon]:
    with Daemon('routing.default_model = "custom:t"\n') as daemon:
        price = {"prompt": 10.0, "completion": 20.0}
        daemon.add("custom:t", f"{provider.url}/v1", upstream_model="t", price=price)
        yield daemon


@pytest.fixture
def root(provider: TurnsProvider, tmp_path: Path) -> Path:
    provider.calls.clear()
    provider.turns, provider.says, provider.pause_s = [], "I can not.", 0.0
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "calc.py").write_text(CALC)
    return folder


def make(daemon: Daemon, root: Path, request: str = "twice, please", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = daemon.call("generate", {"request": request, "workspace": str(root), **more})
    return found


def with_check(daemon: Daemon, root: Path, code: str = CHECK, *more: str) -> None:
    """The command that judges this workspace, in the user's own settings."""
    command = json.dumps([sys.executable, "-c", code])
    lines = [*more, "[generation.checks]", f"{json.dumps(str(root))} = {command}"]
    (daemon.home / "config.toml").write_text('routing.default_model = "custom:t"\n' + "\n".join(lines) + "\n")
    daemon.call("config.reload")


class TestTheLoop:
    def test_plans_writes_and_offers_without_writing(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        got = make(daemon, root)
        (edit,) = got["edits"]
        assert (edit["path"], edit["kind"]) == ("calc.py", "modify")
        assert apply_diff(CALC, edit["diff"]) == TWICE
        assert (got["problems"], got["draft"], got["repairs"], got["calls"]) == ([], [], 0, 2)
        assert got["summary"] == "Adds twice: changes calc.py."
        assert (root / "calc.py").read_text() == CALC

    def test_a_check_that_fails_is_sent_back_with_its_error_and_mended(
        self, daemon: Daemon, root: Path, provider: TurnsProvider
    ) -> None:
        with_check(daemon, root)
        wrong = TWICE.replace("add(a, a)", "add(a, 1)")
        provider.turns = [
            PLAN,
            whole("calc.py", wrong),
            swap("calc.py", "    return add(a, 1)\n", "    return add(a, a)\n"),
        ]
        got = make(daemon, root)
        assert (got["repairs"], got["calls"]) == (1, 3)
        assert got["checked"] == ["paths", "diff", "syntax", "command"]
        assert apply_diff(CALC, got["edits"][0]["diff"]) == TWICE
        repair = provider.prompts[2]
        assert "AssertionError: 3" in repair
        assert "add(a, 1)" in repair
        assert str(daemon.home) not in repair  # the same failure is the same question
        assert not list((daemon.home / "cache/generation").glob("copy-*"))

    def test_what_can_not_be_mended_is_not_offered(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        with_check(daemon, root)
        bad = [whole("calc.py", TWICE.replace("add(a, a)", f"add(a, {n})")) for n in (1, 3, 5)]
        provider.turns = [PLAN, *bad]
        got = make(daemon, root)
        assert (got["edits"], got["repairs"], got["calls"]) == ([], 2, 4)
        assert "AssertionError: 7" in got["problems"][0]
        assert [one["path"] for one in got["draft"]] == ["calc.py"]
        assert got["summary"].startswith("Nothing is offered")

    def test_one_file_that_was_named_needs_no_plan(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        provider.turns = [f"```python\n{TWICE}```"]
        got = make(daemon, root, files=["calc.py"], check=False)
        assert (got["calls"], apply_diff(CALC, got["edits"][0]["diff"])) == (1, TWICE)
        new = make(daemon, root, "a note", files=["docs/note.md"], check=False)
        assert new["edits"] == [] or new["edits"][0]["kind"] == "create"

    def test_several_files_are_one_proposal(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        provider.turns = [TWO, whole("calc.py", TWICE), "```markdown\n# Twice\n```\n"]
        got = make(daemon, root, check=False)
        assert [(one["path"], one["kind"], one["before_sha256"] is None) for one in got["edits"]] == [
            ("calc.py", "modify", False),
            ("docs/twice.md", "create", True),
        ]
        assert apply_diff("", got["edits"][1]["diff"]) == "# Twice\n"
        assert "def twice" in provider.prompts[2], "a later file is written for the earlier ones as they will be"

    def test_usage_and_costs_are_those_of_all_calls_each_in_a_row_of_its_own(
        self, daemon: Daemon, root: Path, provider: TurnsProvider
    ) -> None:
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        got = make(daemon, root, "twice, for its price", check=False, tags=["mine"])
        rows = daemon.rows()[:2]
        assert [row["tags"] for row in rows] == [["mine"], ["mine"]]
        assert {row["workspace"] for row in rows} == {str(root)}
        assert got["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in rows))
        assert got["usage"]["prompt_tokens"] == sum(row["usage"]["prompt_tokens"] for row in rows)
        assert {call.body["temperature"] for call in provider.calls} == {0}
        again = make(daemon, root, "twice, for its price", check=False)
        assert (again["cache"]["result"], again["cost_usd"]) == ("hit_exact", 0)
        assert again["saved_usd"] == pytest.approx(got["cost_usd"])
        assert again["edits"] == got["edits"]
        assert len(provider.calls) == 2

    def test_says_how_far_it_is(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        came: list[dict[str, Any]] = []
        params = {"request": "twice, told", "workspace": str(root), "stream": True, "check": False}
        with daemon.client() as client:
            got = client.call("generate", params, came.append)
        stages = [one["stage"] for one in came if "message" in one]
        assert list(dict.fromkeys(stages)) == ["plan", "edit", "check", "done"]
        assert {one["id"] for one in came if "message" in one} == {got["id"]}
        assert [one["file"] for one in came if one["stage"] == "edit" and "message" in one] == ["calc.py"]
        assert "".join(one["delta"] for one in came if "delta" in one and one["stage"] == "plan") == PLAN


class TestTexts:
    def test_what_an_editor_holds_wins_over_the_disk(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        held = "# unsaved\n" + CALC
        provider.turns = [swap("calc.py", "    return a + b\n", "    return b + a\n")]
        document = {"path": str(root / "calc.py"), "text": held, "version": 3}
        (edit,) = make(daemon, root, files=["calc.py"], documents=[document])["edits"]
        assert apply_diff(held, edit["diff"]) == held.replace("a + b", "b + a")
        assert "# unsaved" in provider.prompt

    @pytest.mark.parametrize("ends", ["\r\n", "\n"])
    @pytest.mark.parametrize("last", [True, False])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_line_ends_a_missing_last_one_and_a_byte_order_mark_stay(
        self, ends: str, last: bool, mark: str, daemon: Daemon, root: Path, provider: TurnsProvider
    ) -> None:
        base = CALC.replace("\n", ends) if last else CALC.replace("\n", ends).rstrip()
        (root / "calc.py").write_bytes((mark + base).encode())
        provider.turns = [whole("calc.py", TWICE)]
        (edit,) = make(daemon, root, f"twice {ends!r} {last}", files=["calc.py"], cache="off")["edits"]
        after = apply_diff(base, edit["diff"])
        assert after == (TWICE if last else TWICE.rstrip()).replace("\n", ends)

    def test_only_new_faults_count(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        (root / "odd.js").write_text("let a = ;\nlet b = 1;\n")
        provider.turns = ["odd.js\n```\nlet a = ;\nlet b = 2;\n```"]
        assert make(daemon, root, "b is 2", files=["odd.js"])["edits"]
        provider.turns = ["odd.js\n```\nlet a = ;\nlet b = (2;\n```", "I can not."]
        got = make(daemon, root, "b is (2", files=["odd.js"])
        assert got["edits"] == []
        assert any("does not parse" in one or "no code" in one for one in got["problems"])


class TestWhatItNeverDoes:
    @pytest.mark.parametrize(
        "path",
        [
            "../out.py",
            "/etc/passwd",
            ".git/hooks/pre-commit",
            ".env",
            "link/a.py",
            "sub/../../x.py",
            "ignored.py",
            "id_rsa",
        ],
    )
    def test_a_path_that_must_not_be_written_is_never_offered(
        self, path: str, daemon: Daemon, root: Path, provider: TurnsProvider, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        (root / "link").symlink_to(tmp_path / "elsewhere")
        (root / ".gitignore").write_text("ignored.py\n")
        change = f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x = 1\n"
        provider.turns = [PLAN, whole("calc.py", TWICE) + f"```diff\n{change}```\n"]
        provider.says = f"```diff\n{change}```\n"
        got = make(daemon, root, f"and {path}", check=False)
        assert got["edits"] == []
        assert all(one["path"] == "calc.py" for one in got["draft"])
        assert any("must not be written" in one for one in got["problems"])

    def test_a_secret_is_neither_shown_nor_written(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        token = "ghp_" + "a" * 36
        (root / ".env").write_text("TOKEN=1\n")
        (root / "held.py").write_text(f"key = '{token}'\n")
        for files in ([".env"], ["held.py"]):
            with pytest.raises(BadInputError, match="secret"):
                make(daemon, root, files=files)
        provider.turns = [PLAN, whole("calc.py", f"key = '{token}'\n{TWICE}")]
        assert make(daemon, root, check=False, cache="off")["edits"] == []
        assert not any(".env" in prompt for prompt in provider.prompts)
        assert not any("held.py" in prompt and token in prompt for prompt in provider.prompts[:1])

    def test_no_command_comes_from_a_request(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        for more in ({"check": "touch /tmp/x"}, {"command": ["id"]}, {"checks": ["id"]}):
            with pytest.raises(BadInputError):
                make(daemon, root, **more)
        (root / ".beastmode.toml").write_text('[generation.checks]\n"." = ["touch", "ran"]\n')
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        with_check(daemon, root.parent / "another")
        assert make(daemon, root, cache="off")["checked"] == ["paths", "diff", "syntax"]
        assert provider.calls

    @pytest.mark.parametrize(
        "wrong",
        [
            {"request": " "},
            {"workspace": "here"},
            {"workspace": None},
            {"files": ["../calc.py"]},
            {"files": ["/etc/passwd"]},
            {"feedback": "it fails"},
            {"colour": "red"},
        ],
    )
    def test_what_is_wrong_is_refused_before_anyone_is_asked(
        self, wrong: dict[str, Any], daemon: Daemon, root: Path, provider: TurnsProvider
    ) -> None:
        with pytest.raises(BadInputError):
            make(daemon, root, **wrong)
        assert provider.calls == []

    def test_a_workspace_that_is_not_there_is_said(self, daemon: Daemon, root: Path) -> None:
        with pytest.raises(NotFoundError):
            make(daemon, root / "none")


class TestTheCommand:
    def test_runs_in_a_copy_without_secrets_links_and_what_is_ignored(
        self, daemon: Daemon, root: Path, provider: TurnsProvider
    ) -> None:
        (root / ".gitignore").write_text("built/\n")
        (root / ".env").write_text("TOKEN=1\n")
        (root / "built").mkdir()
        (root / "built/big.bin").write_bytes(b"x")
        (root / "data.bin").write_bytes(b"\0\1")
        (root / "out").symlink_to("/etc")
        os.mkfifo(root / "pipe")
        listing = (
            "import os, sys; print(sorted(os.listdir('.')), 'KEY' in ' '.join(os.environ));"
            "open('calc.py', 'a').write('more'); sys.exit(3)"
        )
        with_check(daemon, root, listing)
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        got = make(daemon, root, "twice in a copy", cache="off")
        assert "['.gitignore', 'calc.py', 'data.bin'] False" in got["problems"][0]
        assert "failed with code 3" in got["problems"][0]
        assert (root / "calc.py").read_text() == CALC

    def test_that_takes_too_long_is_ended_with_all_it_started(
        self, daemon: Daemon, root: Path, provider: TurnsProvider, tmp_path: Path
    ) -> None:
        note = tmp_path / "pid"
        slow = (
            "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
            f"open({str(note)!r}, 'w').write(str(p.pid)); print('began', flush=True); time.sleep(60)"
        )
        with_check(daemon, root, slow, "generation.check_timeout_s = 1.0", "generation.repairs = 0")
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        got = make(daemon, root, "twice, slowly", cache="off")
        assert "took over 1 s" in got["problems"][0]
        assert "began" in got["problems"][0]
        until(lambda: not _alive(int(note.read_text())))

    def test_that_can_not_be_run_is_said(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        settings = f'generation.repairs = 0\n[generation.checks]\n{json.dumps(str(root))} = ["no-such-program"]\n'
        (daemon.home / "config.toml").write_text('routing.default_model = "custom:t"\n' + settings)
        daemon.call("config.reload")
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        assert "can not be run" in make(daemon, root, "twice, unrun", cache="off")["problems"][0]

    def test_cancelled_it_leaves_nothing_behind(
        self, daemon: Daemon, root: Path, provider: TurnsProvider, tmp_path: Path
    ) -> None:
        note = tmp_path / "pid"
        with_check(daemon, root, f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        params = {"request": "twice, not to the end", "workspace": str(root), "cache": "off"}
        with daemon.raw() as wire:
            wire.send(rpc("generate", params, 5))
            until(lambda: note.exists() and note.read_text() != "")
            wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
            assert wire.line()["error"]["code"] == -32800
        until(lambda: not _alive(int(note.read_text())))
        until(lambda: not list((daemon.home / "cache/generation").glob("copy-*")))


class TestResume:
    def test_what_was_said_is_not_asked_again(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        provider.turns, provider.pause_s = [PLAN, "word " * 3000], 0.02
        params = {
            "request": "twice, in two goes",
            "workspace": str(root),
            "stream": True,
            "check": False,
            "cache": "off",
        }
        with daemon.raw() as wire:
            wire.send(rpc("generate", params, 7))
            values = [wire.line()["params"]["value"]]
            while values[-1]["stage"] != "edit" or "delta" not in values[-1]:
                values.append(wire.line()["params"]["value"])
            name = values[0]["id"]
            wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 7}})
        until(lambda: provider.calls[-1].ended == "left")
        file = daemon.home / "state/generation" / f"{name}.json"
        assert file.stat().st_mode & 0o777 == 0o600
        provider.turns, provider.pause_s = [whole("calc.py", TWICE)], 0.0
        asked = len(provider.calls)
        got = daemon.call("generate", {"resume": name})
        assert (got["id"], got["calls"], len(provider.calls)) == (name, 2, asked + 1)
        assert apply_diff(CALC, got["edits"][0]["diff"]) == TWICE
        assert daemon.call("generate", {"resume": name})["edits"] == got["edits"]
        assert len(provider.calls) == asked + 1

    def test_a_check_of_the_caller_is_heeded(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        wrong = TWICE.replace("add(a, a)", "add(a, 1)")
        provider.turns = [PLAN, whole("calc.py", wrong), whole("calc.py", TWICE)]
        first = make(daemon, root, "twice, with a check of mine", stage=True, check=False)
        staged = Path(first["staged"])
        assert (staged / "calc.py").read_text() == wrong
        assert (root / "calc.py").read_text() == CALC
        second = daemon.call("generate", {"resume": first["id"], "feedback": "twice(2) is 3 after 0.12s"})
        assert "twice(2) is 3 after a time" in provider.prompt
        assert apply_diff(CALC, second["edits"][0]["diff"]) == TWICE
        assert (second["calls"], second["repairs"]) == (3, 1)

    def test_is_forgotten_with_the_rest(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        provider.says = whole("calc.py", TWICE)
        kept = make(daemon, root, "twice, to be forgotten", files=["calc.py"], check=False)["id"]
        daemon.call("forget", {"workspace": str(root.parent)})
        assert daemon.call("generate", {"resume": kept})["edits"]
        daemon.call("forget", {"workspace": str(root)})
        with pytest.raises(NotFoundError):
            daemon.call("generate", {"resume": kept})

    def test_of_what_is_not_there_says_so(self, daemon: Daemon, root: Path) -> None:
        for name in ("gen_none", "../../token", ""):
            with pytest.raises(NotFoundError):
                daemon.call("generate", {"resume": name})


class TestAnOpenWorkspace:
    @pytest.fixture
    def opened(self, daemon: Daemon, root: Path) -> Iterator[Path]:
        (root / "far").mkdir()
        (root / "far/prices.py").write_text("def discount(price):\n    return price * 0.9\n")
        daemon.call("workspace.open", {"path": str(root), "wait": True})
        yield root
        daemon.call("workspace.close", {"path": str(root), "forget": True})

    def test_lends_what_belongs_to_the_request(self, daemon: Daemon, opened: Path, provider: TurnsProvider) -> None:
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        got = make(daemon, opened, "call discount where a price is doubled", check=False)
        assert "far/prices.py" in {one["path"] for one in got["sources"]}
        assert "return price * 0.9" in provider.prompts[0]

    def test_the_older_endpoint_makes_a_feature_of_it(
        self, daemon: Daemon, opened: Path, provider: TurnsProvider
    ) -> None:
        provider.turns = [PLAN, whole("calc.py", TWICE)]
        status, got = self.post(daemon, {"repo": str(opened), "featureRequest": "twice, over HTTP"})
        assert (status, got["success"], got["summary"]) == (200, True, "Adds twice: changes calc.py.")
        assert apply_diff(CALC, got["edits"][0]["diff"]) == TWICE
        assert got["diff"] == got["edits"][0]["diff"]
        assert {"usage", "cost", "cache", "model", "problems", "id"} <= set(got)
        assert (opened / "calc.py").read_text() == CALC

    def test_what_is_not_open_is_not_read_over_http(self, daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
        status, got = self.post(daemon, {"repo": str(root), "featureRequest": "twice"})
        assert (status, got["success"], provider.calls) == (409, False, [])
        status, got = self.post(daemon, {"repo": str(root), "featureRequest": "twice", "base_url": "http://x"})
        assert (status, provider.calls) == (400, [])

    def post(self, daemon: Daemon, body: dict[str, Any]) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {daemon.token}", "content-type": "application/json"}
        asked = urllib.request.Request(
            f"{daemon.url}/api/repos/quality/generate-feature", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def test_a_model_that_fails_is_an_error_with_its_tip(daemon: Daemon, root: Path) -> None:
    daemon.add("custom:away", "http://127.0.0.1:9/v1", upstream_model="away")
    with pytest.raises(BeastError) as caught:
        make(daemon, root, model="custom:away")
    assert caught.value.kind in ("connection_refused", "no_healthy_model")
    assert caught.value.tips


def test_many_at_once_do_not_disturb_each_other(daemon: Daemon, root: Path, provider: TurnsProvider) -> None:
    provider.says = whole("calc.py", TWICE)
    got: list[dict[str, Any]] = []
    asking = [
        threading.Thread(
            target=lambda n=n: got.append(make(daemon, root, f"twice {n}", files=["calc.py"], check=False))
        )
        for n in range(4)
    ]
    began_s = time.monotonic()
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert time.monotonic() > began_s
    assert len({one["id"] for one in got}) == 4
    assert all(one["edits"] == got[0]["edits"] for one in got)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()
