"""Tests go where the project keeps its tests: into a file that is there, or into one that is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from beastmode.client.edits import apply_diff
from beastmode.workspace.actions import make_task
from beastmode.workspace.attachments import Document
from beastmode.workspace.edits import Edit, outcome_of
from beastmode.workspace.languages import language_of
from beastmode.workspace.subject import find_subject
from beastmode.workspace.testing import home_of_tests


def home(root: Path, path: str, *others: str) -> str:
    for name in (path, *others):
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            place.write_text("x\n")
        else:
            place.mkdir(exist_ok=True)
    return home_of_tests(find_subject(str(root), path, []), language_of(path)).path


@pytest.mark.parametrize(
    ("path", "others", "wanted"),
    [
        ("a.py", [], "tests/test_a.py"),
        ("src/pkg/a.py", ["tests/conftest.py"], "tests/test_a.py"),
        ("src/pkg/a.py", ["tests/pkg/test_b.py"], "tests/pkg/test_a.py"),
        ("src/pkg/core/a.py", ["tests/core/test_b.py"], "tests/core/test_a.py"),
        ("pkg/a.py", ["pkg/test_b.py", "tests/conftest.py"], "pkg/test_a.py"),
        ("pkg/a.py", ["tests/test_a.py"], "tests/test_a.py"),
        ("pkg/__init__.py", [], "tests/test_pkg.py"),
        ("a.py", ["test/x.py"], "test/test_a.py"),
        ("tests/test_a.py", [], "tests/test_a.py"),
        ("src/a.ts", [], "src/a.test.ts"),
        ("src/a.tsx", ["src/b.spec.tsx"], "src/a.spec.tsx"),
        ("src/a.js", ["src/__tests__/b.test.js"], "src/__tests__/a.test.js"),
        ("src/a.js", ["test/b.test.js"], "test/a.test.js"),
        ("x/a.go", [], "x/a_test.go"),
        ("src/main/java/x/A.java", [], "src/test/java/x/ATest.java"),
        ("lib/a.rb", ["spec/"], "spec/a_spec.rb"),
        ("src/a.rs", [], "src/a.rs"),
        ("a.c", [], "tests/test_a.c"),
    ],
)
def test_the_language_and_the_project_say_where(path: str, others: list[str], wanted: str, tmp_path: Path) -> None:
    assert home(tmp_path, path, *others) == wanted


def test_a_file_that_is_no_text_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_bytes(b"\0\xff")
    assert home(tmp_path, "a.py") == "test_a.py"


def test_of_a_file_in_no_workspace_they_go_beside_it(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.py"
    subject = find_subject(None, path, [Document(path, "x = 1\n", 1)])
    assert home_of_tests(subject, language_of(path)).path == f"{tmp_path}/tests/test_a.py"
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("y = 1\n")
    assert home_of_tests(subject, language_of(path)).text == "y = 1\n"


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (tmp_path / "outside").mkdir()
    root.mkdir()
    (root / "tests").symlink_to(tmp_path / "outside")
    assert not home(root, "a.py").startswith("tests/")


@pytest.mark.parametrize(
    ("path", "others", "said"),
    [
        ("a.py", [], "`a`"),
        ("src/pkg/a.py", ["src/pkg/__init__.py"], "`pkg.a`"),
        ("src/a.ts", [], "`./a`"),
        ("src/a.js", ["test/b.test.js"], "`../src/a`"),
    ],
)
def test_the_model_is_told_how_to_import_what_it_tests(path: str, others: list[str], said: str, tmp_path: Path) -> None:
    home(tmp_path, path, *others)
    task = make_task("tests", find_subject(str(tmp_path), path, []))
    assert f"imported from {said}" in str(task.messages[0].content)


def made(root: Path, path: str, answer: str, *documents: Document) -> Edit:
    task = make_task("tests", find_subject(str(root), path, list(documents)))
    (edit,) = outcome_of(task, answer, "stop").edits
    return edit


def test_a_new_file_is_created_whole(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    return 1\n")
    edit = made(tmp_path, "a.py", "```python\nfrom a import f\n\n\ndef test_f():\n    assert f() == 1\n```")
    assert (edit.kind, edit.path, edit.before_sha256) == ("create", "tests/test_a.py", None)
    assert apply_diff("", edit.diff) == "from a import f\n\n\ndef test_f():\n    assert f() == 1\n"


def test_what_is_tested_is_imported_and_not_copied(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("@cache\ndef f():\n    return 1\n\n\nclass A:\n    pass\n")
    code = "import pytest\n\ndef f():\n    return 2\n\nclass A: ...\n\ndef test_f():\n    assert f() == 1\n"
    assert apply_diff("", made(tmp_path, "a.py", f"```python\n{code}```").diff) == (
        "import pytest\nfrom a import f\nfrom a import A\n\n\ndef test_f():\n    assert f() == 1\n"
    )


def test_a_file_that_is_there_gets_more_and_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    return 1\n")
    (tmp_path / "tests").mkdir()
    old = '"""Tests."""\n\nimport os\n\nfrom a import f\n\n\ndef test_f():\n    assert f()\n'
    (tmp_path / "tests/test_a.py").write_text(old)
    edit = made(
        tmp_path, "a.py", "```python\nimport pytest\nfrom a import f\n\ndef test_g():\n    assert f() == 1\n```"
    )
    assert edit.kind == "modify"
    assert apply_diff(old, edit.diff) == (
        old.replace("from a import f\n", "from a import f\nimport pytest\n")
        + "\n\ndef test_g():\n    assert f() == 1\n"
    )


def test_an_answer_that_repeats_the_file_adds_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_text("package a\n")
    old = 'package a\n\nimport "testing"\n\nfunc TestA(t *testing.T) {}\n'
    (tmp_path / "a_test.go").write_text(old)
    answer = f"```go\n{old}\nfunc TestB(t *testing.T) {{}}\n```"
    assert apply_diff(old, made(tmp_path, "a.go", answer).diff) == old + "\nfunc TestB(t *testing.T) {}\n"


def test_what_the_editor_holds_unsaved_is_what_tests_are_added_to(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    unsaved = Document("tests/test_a.py", "import a\n", 3)
    edit = made(tmp_path, "a.py", "```python\ndef test_x():\n    assert a.x\n```", unsaved)
    assert (edit.kind, apply_diff("import a\n", edit.diff)) == (
        "modify",
        "import a\n\n\ndef test_x():\n    assert a.x\n",
    )
