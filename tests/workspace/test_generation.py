"""Planning, checking, copying and the loop of a feature, part by part; the whole of it is in tests/servers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cli.generating import run as run_check
from beastmode.client.edits import apply_diff
from beastmode.core.errors import BadInputError, ContextTooLongError
from beastmode.core.types import Answer, CacheInfo, Route, Usage
from beastmode.workspace.features import copying
from beastmode.workspace.features.checking import edits_of, problems_of
from beastmode.workspace.features.copying import copy_with, remove, remove_stale
from beastmode.workspace.features.ground import Ground, RefusedPathError
from beastmode.workspace.features.planning import Plan, Step, plan_messages, read_plan
from beastmode.workspace.features.scouting import imported_by, scout
from beastmode.workspace.features.syntax import faults_in, new_faults
from beastmode.workspace.features.trying import environment, steadied, told, try_command
from beastmode.workspace.generation import Feedback, Generation, Made, Question

CALC = "def add(a, b):\n    return a + b\n"
TWICE = f"{CALC}\n\ndef twice(a):\n    return add(a, a)\n"


def ground(root: Path, documents: dict[str, str] | None = None, ignore: tuple[str, ...] = ()) -> Ground:
    return Ground(os.path.realpath(root), documents or {}, ignore, 1 << 20)


def answer(text: str, finish_reason: str = "stop") -> Answer:
    return Answer(
        request_id="r",
        text=text,
        model="m",
        provider="p",
        usage=Usage(1, 1),
        cost_usd=0.0,
        saved_usd=0.0,
        latency_ms=1.0,
        ttft_ms=None,
        finish_reason=finish_reason,
        cache=CacheInfo(result="miss"),
        route=Route(reason="asked for"),
    )


class Model:
    """Answers one thing after another, and notes what it was asked."""

    def __init__(self, *said: Any) -> None:
        self.said = list(said)
        self.asked: list[Question] = []

    async def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        said = self.said.pop(0) if self.said else "I can not."
        if isinstance(said, BaseException):
            raise said
        return said if isinstance(said, Answer) else answer(said)

    @property
    def prompt(self) -> str:
        return "\n".join(str(one.content) for one in self.asked[-1].messages)


async def made(root: Path, model: Model, files: tuple[str, ...] = (), **more: Any) -> Made:
    base = ground(root, more.pop("documents", None))
    generation = Generation(
        "twice, please", base, files, scout(base, "twice"), ask=model, tell=lambda *told: None, **more
    )
    return await generation.run()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "calc.py").write_text(CALC)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/shop.py").write_text("class Shop:\n    def price(self):\n        return 1\n")
    return tmp_path


PLAN = json.dumps({"summary": "Adds twice.", "files": [{"path": "calc.py", "what": "twice(a)"}]})
WHOLE = f"calc.py\n```python\n{TWICE}```"


class TestPlans:
    @pytest.mark.parametrize(
        "said",
        [
            '{"summary": "s", "files": [{"path": "calc.py", "what": "twice"}, {"path": "docs/new.md"}]}',
            '```json\n{"files": [{"file": "./calc.py", "change": "twice"}, "docs/new.md",]}\n```\nDone.',
            '["calc.py", "docs/new.md"]',
            '{"plan": {"calc.py": "twice", "docs/new.md": "a page"}}',
            '{"calc.py": "twice", "docs/new.md": ["a", "b"]}',
            "1. `calc.py`: add twice\n2. `docs/new.md` (new): explain it\n",
            "- calc.py - twice\n- docs/new.md\n",
            "<think>other.py?</think>\nFiles:\n\n**calc.py**\n\ndocs/new.md",
        ],
    )
    def test_are_understood_in_many_shapes(self, said: str) -> None:
        plan = read_plan(said, ["calc.py", "lib/shop.py"], 20)
        assert plan is not None
        assert [one.path for one in plan.steps] == ["calc.py", "docs/new.md"]

    def test_a_short_name_means_the_file_that_is_there(self) -> None:
        assert read_plan('["shop.py"]', ["lib/shop.py"], 20) == Plan([Step("lib/shop.py")])

    def test_no_file_is_no_plan_and_too_many_are_cut(self) -> None:
        assert read_plan("I would rather not.", ["calc.py"], 20) is None
        plan = read_plan(json.dumps([f"f{n}.py" for n in range(30)]), [], 5)
        assert plan is not None and len(plan.steps) == 5

    def test_the_request_is_the_last_message_and_all_that_is_shown_stands_before(self) -> None:
        system, user = plan_messages(" twice ", ["shown"], ["calc.py"], 7)
        assert user.content == "twice"
        assert "calc.py" in str(system.content) and "7 more" in str(system.content)

    @given(st.text(st.sampled_from('{}[]":, abc.py/\n-*`'), max_size=80))
    def test_nothing_breaks_the_reading(self, said: str) -> None:
        plan = read_plan(said, ["a.py"], 3)
        assert plan is None or 0 < len(plan.steps) <= 3


class TestTheLoop:
    async def test_plans_writes_and_offers(self, root: Path) -> None:
        model = Model(PLAN, WHOLE)
        got = await made(root, model)
        assert apply_diff(CALC, got.edits[0].diff) == TWICE
        assert [one.stage for one in model.asked] == ["plan", "edit"]
        assert model.asked[1].messages[-1].content == "twice, please\n\nIn `calc.py`: twice(a)"
        assert [one.path for one in model.asked[1].digests] == ["calc.py"]

    async def test_a_plan_that_is_an_answer_already_is_taken(self, root: Path) -> None:
        model = Model("calc.py\n<<<<<<< SEARCH\n    return a + b\n=======\n    return b + a\n>>>>>>> REPLACE\n")
        got = await made(root, model)
        assert (len(model.asked), len(got.edits)) == (1, 1)

    async def test_without_a_plan_the_likeliest_file_is_written(self, root: Path) -> None:
        (root / "twice.py").write_text("x = 1\n")
        model = Model("I do not plan.", "```python\nx = 2\n```")
        assert [one.path for one in (await made(root, model)).edits] == ["twice.py"]

    async def test_what_does_not_fit_is_sent_back_until_it_does(self, root: Path) -> None:
        wrong = "calc.py\n<<<<<<< SEARCH\nnot there at all, anywhere\n=======\nx\n>>>>>>> REPLACE\n"
        model = Model(PLAN, wrong, WHOLE)
        got = await made(root, model)
        assert (got.repairs, len(got.edits)) == (1, 1)
        assert "these lines are not there" in model.asked[2].messages[0].content  # type: ignore[operator]

    async def test_syntax_is_checked_and_mended(self, root: Path) -> None:
        model = Model(PLAN, WHOLE.replace("twice(a)", "twice(a"), WHOLE)
        got = await made(root, model)
        assert (got.repairs, apply_diff(CALC, got.edits[0].diff)) == (1, TWICE)
        assert "does not parse" in str(model.asked[2].messages[0].content)

    async def test_the_same_wrong_answer_again_ends_it(self, root: Path) -> None:
        model = Model(PLAN, *[WHOLE.replace("twice(a)", "twice(a")] * 9)
        got = await made(root, model, repairs=5)
        assert (got.edits, len(model.asked)) == ([], 3)

    async def test_an_answer_that_was_cut_off_is_no_answer(self, root: Path) -> None:
        model = Model(PLAN, answer(WHOLE, "length"), WHOLE)
        got = await made(root, model)
        assert got.repairs == 1
        assert "cut off" in str(model.asked[2].messages[0].content)

    async def test_a_planned_file_that_is_left_as_it_is_is_asked_about_once(self, root: Path) -> None:
        plan = json.dumps(["calc.py", "lib/shop.py"])
        model = Model(plan, WHOLE, "Nothing has to change there.", "calc.py is right as it is.")
        got = await made(root, model)
        assert [one.path for one in got.edits] == ["calc.py"]
        assert got.repairs == 1

    async def test_feedback_counts_for_the_proposal_that_it_is_about(self, root: Path) -> None:
        first = await made(root, Model(PLAN, WHOLE))
        better = WHOLE.replace("add(a, a)", "2 * a")
        said = [Feedback(first.proposal, "too slow"), Feedback("another", "never told")]
        model = Model(PLAN, WHOLE, better)
        got = await made(root, model, feedback=said)
        assert "too slow" in str(model.asked[2].messages[0].content)
        assert "2 * a" in got.edits[0].diff

    async def test_a_short_context_is_shown_less(self, root: Path) -> None:
        (root / "twice_more.py").write_text("# twice\n" * 200)
        model = Model(ContextTooLongError("too long"), ContextTooLongError("too long"), PLAN, WHOLE)
        got = await made(root, model, files=("calc.py", "twice_more.py"))
        assert got.edits
        sizes = [len(str(one.messages[0].content)) for one in model.asked[:3]]
        assert sizes[0] > sizes[2]

    async def test_too_many_files_are_not_offered(self, root: Path) -> None:
        many = "".join(f"f{n}.py\n```python\nx = {n}\n```\n" for n in range(4))
        got = await made(root, Model(PLAN, many), max_files=3, repairs=0)
        assert got.edits == []
        assert "3 are the most" in got.problems[0]

    async def test_the_failing_test_is_shown_with_its_error(self, root: Path) -> None:
        (root / "test_calc.py").write_text("from calc import twice\nassert twice(1) == 2, 'SEEN'\n")

        async def check(texts: dict[str, str | None]) -> str | None:
            return None if "2 * a" in (texts["calc.py"] or "") else 'File "test_calc.py", line 2, in <module>'

        model = Model(PLAN, WHOLE, WHOLE.replace("add(a, a)", "2 * a"))
        got = await made(root, model, check=check)
        assert got.checked[-1] == "command"
        assert "SEEN" in str(model.asked[2].messages[0].content)

    async def test_what_a_file_imports_is_shown_with_it(self, root: Path) -> None:
        (root / "calc.py").write_text(f"from lib.shop import Shop\n\n\n{CALC}")
        model = Model(PLAN, WHOLE)
        await made(root, model)
        assert "class Shop" in str(model.asked[1].messages[0].content)

    @pytest.mark.parametrize(
        ("path", "row"),
        [
            ("a.py", "from lib.shop import Shop"),
            ("a.py", "from .shop import Shop"),
            ("a.py", "import lib.shop as shop"),
            ("a.js", "import { Shop } from './lib/shop.js';"),
            ("a.ts", 'const shop = require("../lib/shop");'),
            ("a.c", '#include "lib/shop.h"'),
        ],
    )
    def test_imports_are_understood(self, path: str, row: str) -> None:
        known = [path, f"lib/shop.{path.replace('.c', '.h').rpartition('.')[2]}", "other.py"]
        assert imported_by(path, f"{row}\nlet shop = 1\n", known) == [known[1]]
        assert imported_by(path, "shop = 1\n", known) == []


class TestGround:
    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("", "no path"),
            ("../x.py", "no path"),
            ("a/../../x.py", "no path"),
            ("/etc/passwd", "no path"),
            ("~/x", "no path"),
            ("a\\b.py", "no path"),
            ("./a.py", "no path"),
            (".git/config", "version control"),
            ("sub/.GIT/config", "version control"),
            (".env", "secret"),
            ("deploy/id_rsa", "secret"),
            ("link.py", "is a link"),
            ("away/x.py", "through a link"),
            ("lib", "is a folder"),
            ("calc.py/x.py", "through a file"),
            ("pipe", "no regular file"),
            ("built/x.py", "ignored"),
            ("mine.tmp", "ignored"),
            ("own.beast", "ignored"),
            ("a\nb.py", "no name"),
            ("x" * 300, "no name"),
        ],
    )
    def test_refuses(self, path: str, why: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        (root / "link.py").symlink_to(root / "calc.py")
        (root / "away").symlink_to(tmp_path_factory.mktemp("away"))
        os.mkfifo(root / "pipe")
        (root / ".gitignore").write_text("built/\n")
        (root / ".beastignore").write_text("*.beast\n")
        with pytest.raises(RefusedPathError, match=why):
            ground(root, ignore=("*.tmp",)).require(path)

    def test_takes_what_is_there_and_what_is_new(self, root: Path) -> None:
        (root / ".gitignore").write_text("*.py\n!calc.py\n")
        base = ground(root)
        base.require("calc.py")
        base.require("deep/er/new.md")
        assert (base.text("calc.py"), base.text("deep/er/new.md")) == (CALC, None)

    def test_keeps_what_it_read_first_and_lets_documents_win(self, root: Path) -> None:
        base = ground(root, {"lib/shop.py": "\ufeffheld\n"})
        assert base.text("lib/shop.py") == "held\n"
        base.text("calc.py")
        (root / "calc.py").write_text("later\n")
        assert base.text("calc.py") == CALC

    @pytest.mark.parametrize(("raw", "why"), [(b"\0\1", "binary"), (b"k='AKIAABCDEFGHIJKLMNOP'", "secret")])
    def test_does_not_read_what_is_no_text_or_holds_a_secret(self, raw: bytes, why: str, root: Path) -> None:
        (root / "x.py").write_bytes(raw)
        with pytest.raises(RefusedPathError, match=why):
            ground(root).text("x.py")

    def test_walks_without_what_is_ignored_linked_or_special(self, root: Path) -> None:
        (root / ".gitignore").write_text("built/\n")
        for name in ("built", "node_modules", ".git"):
            (root / name).mkdir()
            (root / name / "x.py").touch()
        (root / "loop").symlink_to(root)
        os.mkfifo(root / "pipe")
        assert [path for path, _ in ground(root).walk(1000)] == [".gitignore", "calc.py", "lib/shop.py"]


class TestSyntax:
    @pytest.mark.parametrize(
        ("path", "right", "wrong"),
        [
            ("a.py", "x = 1\n", "x = (\n"),
            ("a.py", "def f():\n    pass\n", "def f():\npass\n"),
            ("a.json", '{"a": 1}', '{"a": 1,}'),
            ("a.toml", "a = 1\n", "a = \n"),
            ("a.js", "let a = 1;\n", "let a = ;\n"),
            ("a.ts", "let a: number = 1;\n", "let a: = 1;\n"),
            ("a.go", "package a\n\nfunc f() {}\n", "package a\n\nfunc f( {}\n"),
            ("a.rs", "fn f() {}\n", "fn f( {}\n"),
        ],
    )
    def test_tells_right_from_wrong(self, path: str, right: str, wrong: str) -> None:
        assert faults_in(path, right) == []
        assert faults_in(path, wrong)
        assert faults_in(path, f"\ufeff{right}".replace("\n", "\r\n")) == []

    def test_what_was_broken_may_stay_so(self) -> None:
        broken = "let a = ;\nlet b = 1;\n"
        assert new_faults("a.js", broken, broken.replace("b = 1", "b = 2")) == []
        assert new_faults("a.js", broken, broken.replace("b = 1", "b = (2")) != []
        assert new_faults("a.py", "x = (\n", "y = 1\nx = (\n") == []
        assert new_faults("a.js", None, "let a = ;\n") != []

    def test_nobody_can_tell_of_other_files(self) -> None:
        assert faults_in("notes.txt", "((((") == []


class TestProposals:
    def test_edits_make_change_and_take_away_files(self, root: Path) -> None:
        base = ground(root)
        found = edits_of(base, {"calc.py": TWICE, "new.py": "x\n", "lib/shop.py": None, "same.py": None})
        assert [(one.path, one.kind) for one in found] == [
            ("calc.py", "modify"),
            ("new.py", "create"),
            ("lib/shop.py", "delete"),
        ]
        assert "+++ /dev/null" in found[2].diff
        assert apply_diff((root / "lib/shop.py").read_text(), found[2].diff) == ""

    def test_what_must_not_be_written_is_taken_out(self, root: Path) -> None:
        texts: dict[str, str | None] = {"calc.py": TWICE, "../x": "x", "key.py": "k = 'ghp_" + "a" * 36 + "'\n"}
        problems = problems_of(ground(root), texts, 20)
        assert set(texts) == {"calc.py", "key.py"}
        assert [("must not" in one, "secret" in one) for one in problems] == [(True, False), (False, True)]


class TestCopies:
    def test_hold_what_is_not_ignored_and_the_proposal(
        self, root: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        (root / ".gitignore").write_text("built/\n")
        (root / "run.sh").write_text("#!/bin/sh\n")
        (root / "run.sh").chmod(0o755)
        (root / "mark.py").write_bytes("\ufeffx = 1\n".encode())
        (root / ".env").write_text("TOKEN=1\n")
        base = ground(root, {"lib/shop.py": "held\n"})
        copy = copy_with(
            base, {"calc.py": TWICE, "new/x.py": "x\n", "mark.py": "x = 2\n"}, tmp_path_factory.mktemp("c")
        )
        found = {str(one.relative_to(copy)): one.read_bytes() for one in sorted(copy.rglob("*")) if one.is_file()}
        assert sorted(found) == [".gitignore", "calc.py", "lib/shop.py", "mark.py", "new/x.py", "run.sh"]
        assert found["calc.py"].decode() == TWICE
        assert (found["lib/shop.py"], found["mark.py"]) == (b"held\n", "\ufeffx = 2\n".encode())
        assert os.access(copy / "run.sh", os.X_OK)
        assert (copy / "lib/shop.py").stat().st_nlink == 1
        assert copy.stat().st_mode & 0o777 == 0o700
        remove(copy)
        assert not copy.exists()

    def test_a_workspace_that_is_too_large_is_refused_and_leaves_nothing(
        self, root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(copying, "COPY_MAX_BYTES", 10)
        kept = tmp_path_factory.mktemp("c")
        with pytest.raises(BadInputError, match="too large"):
            copy_with(ground(root), {}, kept)
        assert list(kept.iterdir()) == []

    def test_those_that_somebody_left_are_removed_a_day_later(self, tmp_path: Path) -> None:
        for name, age_s in (("copy-old", 90_000), ("copy-new", 10)):
            (tmp_path / name).mkdir()
            then_s = (tmp_path / name).stat().st_mtime - age_s
            os.utime(tmp_path / name, (then_s, then_s))
        remove_stale(tmp_path)
        assert [one.name for one in tmp_path.iterdir()] == ["copy-new"]


class TestCommands:
    async def test_a_program_of_the_workspace_is_found(
        self, root: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        (root / ".venv/bin").mkdir(parents=True)
        for place, says in ((".venv/bin/judge", "judged"), ("own.sh", "own")):
            (root / place).write_text(f"#!/bin/sh\necho {says}; exit 3\n")
            (root / place).chmod(0o755)
        copy = tmp_path_factory.mktemp("copy")
        for command in (["judge"], [".venv/bin/judge"]):
            assert "judged" in (await try_command(command, copy, str(root), 20) or "")
        assert await try_command(["true"], copy, str(root), 20) is None

    async def test_what_it_leaves_running_holds_up_nobody(self, root: Path) -> None:
        script = "echo one; (sleep 60) & echo two; exit 3"
        said = await try_command(["/bin/sh", "-c", script], root, str(root), 30)
        assert said is not None and said.endswith("failed with code 3:\none\ntwo")
        assert run_check(f"{script}", root, root, 30) == f"The check `{script}` failed with code 3:\none\ntwo"
        assert run_check("sleep 60 & true", root, root, 30) is None

    def test_no_key_is_seen_by_it(self, tmp_path: Path) -> None:
        environ = {"PATH": "/bin", "OPENAI_API_KEY": "sk", "GH_TOKEN": "x", "BEAST_HOME": "/h", "LANG": "C"}
        found = environment(environ, tmp_path, "/work")
        assert not {"OPENAI_API_KEY", "GH_TOKEN", "BEAST_HOME"} & set(found)
        assert (found["LANG"], found["BEAST_WORKSPACE"]) == ("C", "/work")

    def test_the_same_failure_reads_the_same(self, tmp_path: Path) -> None:
        one = told(f"{tmp_path}/a.py:3 at 0x7f00aa11bb22 in 0.12s\n", tmp_path)
        two = told(f"{tmp_path}/a.py:3 at 0x7f55aa11bb99 in 1.5 s\n", tmp_path)
        assert one == two == "a.py:3 at 0x... in a time"
        long = steadied("".join(f"line {n}\n" for n in range(5000)))
        assert long.startswith("...\nline ") and long.endswith("line 4999") and len(long) < 4000
