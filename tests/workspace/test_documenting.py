"""Documentation is put into a file without a change to its code, whatever the model's answer changes."""

from __future__ import annotations

import ast

import pytest

from beastmode.client.edits import apply_diff
from beastmode.workspace.actions import make_task
from beastmode.workspace.edits import outcome_of
from beastmode.workspace.positions import Position, Range
from beastmode.workspace.subject import Subject

AREA = "import math\n\n\ndef area(r):\n    # the circle\n    return math.pi * r * r\n"
WANTED = AREA.replace("def area(r):\n", 'def area(r):\n    """Gives the area."""\n')


def documented(text: str, answer: str, first: int, last: int, path: str = "a.py") -> str:
    task = make_task("docstring", Subject(path, text), Range(Position(first, 0), Position(last + 1, 0)))
    outcome = outcome_of(task, answer, "stop")
    return apply_diff(text, outcome.edits[0].diff) if outcome.edits else text


@pytest.mark.parametrize(
    "code",
    [
        '"""Gives the area."""\n',
        "'''Gives the area.'''\n",
        '    """Gives the area."""\n',
        'def area(r):\n    """Gives the area."""\n    return math.pi * r * r\n',
        'def area(r: float) -> float:\n    """Gives the area."""\n    return math.pi * r ** 2  # better\n',
        'import math\n\ndef area(r):\n    """Gives the area."""\n    ...\n',
        'def area(r):\n    """Gives the area."""\n',
        'def area(r):\n    """Gives the area."""\n    this is no Python\n',
        'def circle_area(r):\n    """Gives the area."""\n    return 3 * r * r\n',
    ],
)
def test_of_a_function_only_the_docstring_is_taken(code: str) -> None:
    assert documented(AREA, f"```python\n{code}```", 3, 5) == WANTED


def test_a_docstring_needs_no_fence() -> None:
    assert documented(AREA, '"""Gives the area."""', 3, 5) == WANTED


def test_an_old_docstring_is_replaced() -> None:
    assert documented(WANTED, '```\n"""Says how large it is."""\n```', 3, 6) == WANTED.replace(
        "Gives the area.", "Says how large it is."
    )


def test_several_lines_are_indented_as_the_body() -> None:
    answer = '```\n"""Gives the area.\n\nArgs:\n    r: The radius.\n"""\n```'
    assert documented(AREA, answer, 3, 5) == AREA.replace(
        "def area(r):\n", 'def area(r):\n    """Gives the area.\n\n    Args:\n        r: The radius.\n    """\n'
    )


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("def f(): return 1\n", 0, 0),
        ("class A:\n    def f(\n        self,\n    ):\n        return 'é'; x = 1\n", 1, 4),
        ("class A:\n\tdef f(self):\n\t\treturn 1\n", 1, 2),
        ("class A:\r\n    @property\r\n    def f(self):\r\n        @g\r\n        def h(): pass\r\n", 1, 4),
        ("def f():\n    '''Old\n    one.'''\n", 0, 2),
        ("def f(): 'old'\n", 0, 0),
        ("def f(): 'old'; return 1\n", 0, 0),
        ("async def f(a=')'):  # :\n    pass", 0, 1),
    ],
)
@pytest.mark.parametrize("said", ["Says.", 'Says "so"', "Says \\d.", "A\n\nB \\", 'Of """ and so on.'])
def test_the_tree_stays_the_same_but_for_the_docstring(text: str, first: int, last: int, said: str) -> None:
    literal = repr(said) if "\n" not in said else f"'''{said}'''".replace("\\", "\\\\")
    code = f"```python\n'''{literal[1:-1] if literal[0] != literal[1] else literal[3:-3]}'''\n```"
    got = documented(text, code, first, last)
    assert got != text
    node = next(node for node in ast.walk(ast.parse(got)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    assert ast.get_docstring(node) is not None
    assert got.count("\r\n") == got.count("\n") if "\r\n" in text else "\r" not in got


def test_each_definition_of_a_class_gets_its_own() -> None:
    text = "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    code = 'class A:\n    """An A."""\n\n    def g(self):\n        """Two."""\n\n    def f(self):\n        """One."""\n'
    assert documented(text, f"```python\n{code}```", 0, 5) == (
        'class A:\n    """An A."""\n    def f(self):\n        """One."""\n        return 1\n\n'
        '    def g(self):\n        """Two."""\n        return 2\n'
    )


def test_a_module_gets_one_below_its_first_comments() -> None:
    text = "#!/usr/bin/env python\n# (c)\nimport os\n"
    assert documented(text, '```\n"""Does things."""\n```', 0, 2) == (
        '#!/usr/bin/env python\n# (c)\n"""Does things."""\n\nimport os\n'
    )


@pytest.mark.parametrize("answer", ["```python\ndef area(r):\n    return 3\n```", "It gives the area.", "```\nx\n```"])
def test_an_answer_without_documentation_changes_nothing(answer: str) -> None:
    outcome = outcome_of(make_task("docstring", Subject("a.py", AREA)), answer, "stop")
    assert (outcome.edits, "nothing is changed" in outcome.summary) == ([], True)


JS = 'class A {\n  // old\n  add(a, b) {\n    return a + "//" + b;\n  }\n}\n'
DOC = "/**\n * Adds.\n */\n"


@pytest.mark.parametrize(
    "code",
    [
        DOC,
        f'{DOC}add(a, b) {{\n  return a + "//" + b;\n}}\n',
        f"{DOC}add(a, b) {{\n  return `${{a}}${{b}}`;\n}}\n",
    ],
)
def test_of_other_languages_only_the_comment_is_taken(code: str) -> None:
    got = documented(JS, f"```js\n{code}```", 2, 4, "a.js")
    assert got == JS.replace("  add(", "  /**\n   * Adds.\n   */\n  add(")


def test_comments_inside_stay_where_nothing_else_changed() -> None:
    text = "func f() int {\n\treturn 1\n}\n"
    got = documented(text, "```go\n// f gives one.\nfunc f() int {\n\t// always\n\treturn 1\n}\n```", 0, 2, "f.go")
    assert got == "// f gives one.\nfunc f() int {\n\t// always\n\treturn 1\n}\n"


def test_a_comment_that_hides_code_is_not_taken() -> None:
    text = "int x = 1;\nint y = 2;\n"
    assert documented(text, "```c\n// int x = 1;\nint y = 2;\n```", 0, 1, "a.c") in (text, "// int x = 1;\n" + text)
