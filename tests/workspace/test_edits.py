"""What a model answers becomes the edit that was meant, however carelessly it answers; or nothing, with the reason."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.client.edits import apply_diff
from beastmode.workspace.actions import Kind, make_task
from beastmode.workspace.edits import outcome_of
from beastmode.workspace.positions import Position, Range
from beastmode.workspace.prompting import Diagnostic
from beastmode.workspace.subject import Subject, digest

SHELF = '''\
import os


class Shelf:
    """Holds things."""

    def put(self, name, thing):
        self.things[name] = thing
        return self

    def get(self, name):
        if name in self.things:
            return self.things[name]
        else:
            return None


def make():
    return Shelf()
'''
GET = Range(Position(10, 0), Position(15, 0))
BETTER = "    def get(self, name):\n        return self.things.get(name)\n"
OLD = SHELF[SHELF.index("    def get") : SHELF.index("\n\ndef make")]
WANTED = SHELF.replace(OLD, BETTER)


def after(kind: Kind, text: str, answer: str, range: Range | None = None, path: str = "shelf.py", **more: Any) -> str:
    """The text that the edits of an answer make; the text itself where there are none."""
    task = make_task(kind, Subject(path, text), range, **more)
    outcome = outcome_of(task, answer, "stop")
    assert outcome.summary
    if not outcome.edits:
        return text
    (edit,) = outcome.edits
    assert (edit.path, edit.before_sha256, edit.kind) == (path, digest(text), "modify")
    return apply_diff(text, edit.diff)


def fence(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}```\n"


def lines(first: int, last: int) -> Range:
    return Range(Position(first, 0), Position(last + 1, 0))


class TestTheCodeOfAnAnswer:
    @pytest.mark.parametrize(
        "answer",
        [
            fence(BETTER),
            f"Here it is:\n\n{fence(BETTER)}\nIt is shorter, and does the same.",
            fence(textwrap.dedent(BETTER)),
            fence("def get(self, name):\n        return self.things.get(name)\n"),
            fence(BETTER.replace("    ", "\t")),
            fence(BETTER).replace("\n", "\r\n"),
            fence(BETTER).removesuffix("```\n"),
            fence(BETTER, "py"),
            f"~~~python\n{BETTER}~~~",
            BETTER,
            textwrap.dedent(BETTER),
            f"Here is the better code:\n\n{BETTER}\nIt uses a method of dictionaries.",
            f"Here is the better code:\n{BETTER}",
            fence("\n\n" + BETTER + "\n\n"),
            fence("        return self\n\n" + BETTER),
            fence(BETTER + "\n\ndef make():\n"),
            fence(
                "class Shelf:\n"
                + '    """Holds things."""\n'
                + SHELF[SHELF.index("\n    def put") : SHELF.index("    def get")]
                + BETTER
            ),
            fence(WANTED),
            f"The old one:\n{fence(OLD)}\nBetter:\n{fence(BETTER)}",
            f"{fence(BETTER)}\nTry it:\n```sh\npython shelf.py\n```\n",
            f"<think>\nA dict has get.\n```python\nx\n```\n</think>\n{fence(BETTER)}",
            "```diff\n" + "".join(f"+{row}\n" for row in BETTER.splitlines()) + "-        else:\n```\n",
        ],
    )
    def test_is_found_and_indented(self, answer: str) -> None:
        assert after("refactor", SHELF, answer, GET) == WANTED

    @pytest.mark.parametrize(
        "answer", ["", "I can not do that.", "```\n```", "```python\n\n```", "Use `dict.get` instead."]
    )
    def test_without_code_changes_nothing_and_says_so(self, answer: str) -> None:
        outcome = outcome_of(make_task("refactor", Subject("shelf.py", SHELF), GET), answer, "stop")
        assert outcome.edits == []
        assert "nothing is changed" in outcome.summary

    def test_that_was_cut_off_changes_nothing(self) -> None:
        outcome = outcome_of(
            make_task("refactor", Subject("shelf.py", SHELF), GET), fence(BETTER).removesuffix("```\n"), "length"
        )
        assert outcome.edits == []
        assert "cut off" in outcome.summary

    def test_that_was_cut_off_after_its_code_is_taken(self) -> None:
        task = make_task("refactor", Subject("shelf.py", SHELF), GET)
        (edit,) = outcome_of(task, f"{fence(BETTER)}And so on, and so", "length").edits
        assert apply_diff(SHELF, edit.diff) == WANTED

    def test_that_is_the_whole_file_with_changes_elsewhere_gives_what_was_selected(self) -> None:
        elsewhere = WANTED.replace("import os", "import sys").replace("(self, name, thing)", "(self, n, thing)")
        assert after("refactor", SHELF, fence(elsewhere), GET) == WANTED.replace("import os", "import os\nimport sys")

    def test_that_is_what_was_there_changes_nothing(self) -> None:
        outcome = outcome_of(make_task("refactor", Subject("shelf.py", SHELF), GET), fence(OLD), "stop")
        assert (outcome.edits, outcome.summary) == ([], "The answer changes nothing in shelf.py.")

    @pytest.mark.parametrize("kind", ["explain", "ask"])
    def test_is_text_where_text_was_asked_for(self, kind: Kind) -> None:
        assert after(kind, SHELF, fence(BETTER), GET) == SHELF


class TestLineEnds:
    @pytest.mark.parametrize("end", ["\r\n", "\r"])
    def test_of_the_file_are_kept(self, end: str) -> None:
        assert after("refactor", SHELF.replace("\n", end), fence(BETTER), GET) == WANTED.replace("\n", end)

    def test_that_differ_stay_with_the_lines_that_stay(self) -> None:
        text = "a = 1\r\nb = 2\nc = 3\r\nd = 4\r\n"
        assert after("refactor", text, fence("a = 1\nb = 2\nx = 9\nc = 3\n"), lines(0, 2)) == (
            "a = 1\r\nb = 2\nx = 9\r\nc = 3\r\nd = 4\r\n"
        )

    def test_a_last_line_without_one_stays_without(self) -> None:
        assert after("refactor", "x=1", fence("x = 1\n")) == "x = 1"

    @given(st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.sampled_from(["\u2028", "\x0c", "é😀", ""]))
    def test_and_strange_characters_survive(self, end: str, final: bool, strange: str) -> None:
        text = end.join([f"a = '{strange}'", "b = 1", f"c = '{strange}'"]) + (end if final else "")
        assert after("refactor", text, fence("b = 2\n"), lines(1, 1)) == text.replace("b = 1", "b = 2")


class TestIndentation:
    def test_by_tabs_is_kept(self) -> None:
        text = "func f() {\n\tif a {\n\t\tg()\n\t}\n}\n"
        got = after("refactor", text, fence("if a && b {\n    g()\n    h()\n}\n", "go"), lines(1, 3), "f.go")
        assert got == "func f() {\n\tif a && b {\n\t\tg()\n\t\th()\n\t}\n}\n"

    def test_a_part_of_a_line_is_replaced_within_it(self) -> None:
        text = "def f():\n    x = compute(a, b)  # sum\n"
        part = Range(Position(1, 8), Position(1, 21))
        for answer in ("add(a, b)\n", "x = add(a, b)\n", "    x = add(a, b)\n"):
            assert after("refactor", text, fence(answer), part) == "def f():\n    x = add(a, b)  # sum\n"

    def test_a_part_of_a_line_may_become_several_lines(self) -> None:
        text = "def f():\n    x = g(a)\n"
        part = Range(Position(1, 8), Position(1, 12))
        wanted = "def f():\n    x = g(\n        a,\n        b,\n    )\n"
        for answer in ("g(\n    a,\n    b,\n)\n", "g(\n        a,\n        b,\n    )\n"):
            assert after("refactor", text, fence(answer), part) == wanted

    def test_a_bracket_that_closes_what_the_code_opened_stays(self) -> None:
        part = Range(Position(0, 6), Position(0, 7))
        assert after("refactor", "print(a)\n", fence("str(a)\n"), part) == "print(str(a))\n"
        assert after("refactor", "print(a)\n", fence("str(a))\n"), part) == "print(str(a))\n"
        assert after("refactor", "print(a)\n", fence("print(b)\n"), part) == "print(b)\n"

    def test_of_a_body_that_is_selected_without_its_head(self) -> None:
        text = "def f(a):\n    if a:\n        return 1\n    return 2\n"
        assert after("refactor", text, fence("return 1 if a else 2\n"), lines(1, 3)) == (
            "def f(a):\n    return 1 if a else 2\n"
        )

    def test_a_line_like_the_next_one_is_no_repeated_context(self) -> None:
        text = "def f(a):\n    if a == 1:\n        return x\n    return x\n"
        new = "    if a != 1:\n        log()\n        return x\n"
        assert after("refactor", text, fence(new), lines(1, 2)) == f"def f(a):\n{new}    return x\n"


class TestFix:
    def test_the_block_around_a_problem_is_what_is_mended(self) -> None:
        text = "import re\n\n\ndef area(r):\n    return math.pi * r\n\n\nx = area(1)\n"
        problem = Diagnostic(message='"math" is not defined', range=Range(Position(4, 11), Position(4, 15)))
        task = make_task("fix", Subject("a.py", text), Range(Position(4, 11), Position(4, 15)), diagnostics=[problem])
        assert task.lines.text[task.selection.start : task.selection.end].startswith("def area")
        assert '- line 5: "math" is not defined' in str(task.messages[0].content)

    def test_an_import_that_the_answer_begins_with_goes_to_the_others(self) -> None:
        text = '"""Areas."""\nimport re\n\n\ndef area(r):\n    return math.pi * r\n'
        answer = fence("import math\nimport re\n\ndef area(r):\n    return math.pi * r * r\n")
        assert after("fix", text, answer, lines(4, 5)) == (
            '"""Areas."""\nimport re\nimport math\n\n\ndef area(r):\n    return math.pi * r * r\n'
        )

    def test_an_answer_that_is_the_whole_file_is_taken_as_that(self) -> None:
        text = "import re\n\n\ndef area(r):\n    return math.pi * r\n\n\nx = area(1)\n"
        new = text.replace("import re", "import math\nimport re").replace("* r", "* r * r")
        assert after("fix", text, fence(new), lines(3, 4)) == new


class TestGenerate:
    def test_fills_a_blank_line_as_deep_as_the_cursor(self) -> None:
        text = "def f():\n    x = 1\n    \n    return x\n"
        cursor = Range(Position(2, 4), Position(2, 4))
        for answer in ("x += 1\ny = 2\n", "    x += 1\n    y = 2\n"):
            assert after("generate", text, fence(answer), cursor) == (
                "def f():\n    x = 1\n    x += 1\n    y = 2\n    return x\n"
            )

    def test_writes_below_a_comment_at_whose_end_the_cursor_stands(self) -> None:
        text = "def f(a):\n    # sort it\n"
        cursor = Range(Position(1, 13), Position(1, 13))
        assert after("generate", text, fence("a.sort()\n"), cursor) == "def f(a):\n    # sort it\n    a.sort()\n"

    def test_stands_before_a_line_at_whose_start_the_cursor_is(self) -> None:
        text = "def f(a):\n    return a\n"
        for column in (0, 4):
            cursor = Range(Position(1, column), Position(1, column))
            assert after("generate", text, fence("a += 1\n"), cursor) == "def f(a):\n    a += 1\n    return a\n"

    def test_goes_deeper_below_a_line_that_opens_a_block(self) -> None:
        text = "\tif a {\n\t}\n"
        cursor = Range(Position(0, 7), Position(0, 7))
        assert after("generate", text, fence("b()\n"), cursor, "a.go") == "\tif a {\n\t\tb()\n\t}\n"

    def test_writes_on_in_a_line_that_is_not_whole(self) -> None:
        text = "x = \ny = 2\n"
        assert after("generate", text, fence("max(1, 2)\n"), Range(Position(0, 4), Position(0, 4))) == (
            "x = max(1, 2)\ny = 2\n"
        )

    def test_takes_the_place_of_a_selection(self) -> None:
        assert after("generate", "a\n# todo\nb\n", fence("x = 1\n"), lines(1, 1)) == "a\nx = 1\nb\n"

    def test_makes_the_text_of_an_empty_file(self) -> None:
        assert after("generate", "", fence("x = 1\n"), instruction="set x") == "x = 1\n"

    def test_puts_a_function_below_the_others_and_its_imports_at_the_top(self) -> None:
        text = "import os\n\n\ndef f():\n    return 1\n"
        answer = fence("import math\n\n\ndef g():\n    return math.pi\n")
        assert after("generate", text, answer, Range(Position(5, 0), Position(5, 0))) == (
            "import os\nimport math\n\n\ndef f():\n    return 1\n\n\ndef g():\n    return math.pi\n"
        )

    def test_repeats_nothing_that_stands_around_the_cursor(self) -> None:
        text = "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
        answer = "    def f(self):\n        return 1\n\n    def h(self):\n        return 3\n"
        got = after("generate", text, fence(answer), Range(Position(3, 0), Position(3, 0)))
        assert "    def h(self):\n        return 3\n" in got
        assert got.count("def f") == 1


class TestALargeFile:
    """One that is too large to be parsed whole."""

    TEXT = SHELF + "".join(f"\n\ndef f{i}(a):\n    return a + {i}\n" for i in range(2000))

    def test_is_changed_where_it_was_selected(self) -> None:
        old = "def f1000(a):\n    return a + 1000\n"
        first = self.TEXT[: self.TEXT.index(old)].count("\n")
        answer = fence("    def f1000(a):\n        return 1000 + a\n")
        assert after("refactor", self.TEXT, answer, lines(first, first + 1)) == (
            self.TEXT.replace(old, "def f1000(a):\n    return 1000 + a\n")
        )

    def test_gets_an_import_and_a_docstring_where_they_belong(self) -> None:
        fixed = after("fix", self.TEXT, fence("import math\n\ndef f7(a):\n    return math.e\n"), self.place("def f7("))
        assert fixed.startswith("import os\nimport math\n")
        assert fixed.count("return math.e") == 1
        got = after("docstring", self.TEXT, fence('"""Gets."""\n'), self.place("    def get("))
        assert got == self.TEXT.replace("def get(self, name):\n", 'def get(self, name):\n        """Gets."""\n')

    def place(self, what: str) -> Range:
        line = self.TEXT[: self.TEXT.index(what)].count("\n")
        return Range(Position(line, 0), Position(line, 0))
