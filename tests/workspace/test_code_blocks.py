"""Code blocks of an answer, with the file that they are meant for: found however it is named, and never outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.workspace.code_blocks import code_blocks, inside

ROOT = "/nowhere/project"


def paths(answer: str, root: str = ROOT) -> list[str | None]:
    return [one.path for one in code_blocks(answer, root)]


@pytest.mark.parametrize(
    "answer",
    [
        "```python src/a.py\nx\n```",
        "```python:src/a.py\nx\n```",
        "```python {src/a.py}\nx\n```",
        '```python title="src/a.py"\nx\n```',
        "```src/a.py\nx\n```",
        "``` src/a.py\nx\n```",
        "```python ./src/a.py\nx\n```",
        f"```python {ROOT}/src/a.py\nx\n```",
        "In `src/a.py`:\n\n```python\nx\n```",
        "**src/a.py**\n```python\nx\n```",
        "### `src/a.py`\n\n```python\nx\n```",
        "1. `src/a.py`:\n```python\nx\n```",
        "```python\n# src/a.py\nx\n```",
        "```js\n// file: src/a.py\nx\n```",
        "~~~python src/a.py\nx\n~~~",
    ],
)
def test_a_file_is_named_in_many_ways(answer: str) -> None:
    assert paths(answer) == ["src/a.py"]


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nx\n```",
        "Run this:\n```sh\nls\n```",
        "```python ../a.py\nx\n```",
        "```python /etc/passwd.py\nx\n```",
        "```python src/../../a.py\nx\n```",
        "```python .git/hooks/post.sh\nx\n```",
        "```python https://example.org/a.py\nx\n```",
        "```\n# just a comment\n```",
    ],
)
def test_what_names_none_or_leads_out_has_none(answer: str) -> None:
    assert paths(answer) == [None]


def test_the_case_of_a_path_is_kept() -> None:
    assert paths("```Src/Main.java\nx\n```") == ["Src/Main.java"]
    assert paths("```java Src/Main.java\nx\n```") == ["Src/Main.java"]


def test_each_block_has_its_own(tmp_path: Path) -> None:
    found = code_blocks("```py a/b.py\n1\n```\ntext\n```ts c.ts\n2\n```\n```\n3\n```", str(tmp_path))
    assert [(one.path, one.language, one.text) for one in found] == [
        ("a/b.py", "py", "1\n"),
        ("c.ts", "ts", "2\n"),
        (None, "", "3\n"),
    ]


def test_a_link_that_leads_out_is_no_file_of_the_workspace(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    assert inside("link/a.py", os.path.realpath(root)) is None
    assert inside("plain/a.py", os.path.realpath(root)) == "plain/a.py"


def test_a_name_without_an_ending_counts_where_the_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n")
    assert paths("```make Makefile\nall:\n```", os.path.realpath(tmp_path)) == ["Makefile"]
    assert paths("```make Nothing\nall:\n```", os.path.realpath(tmp_path)) == [None]


@given(st.text(max_size=60))
def test_no_name_leads_out(name: str) -> None:
    found = inside(name, ROOT)
    assert found is None or os.path.normpath(f"{ROOT}/{found}").startswith(f"{ROOT}/")


@given(st.text(alphabet="`~ab/.:#\n", max_size=80))
def test_any_answer_is_read(answer: str) -> None:
    assert all(one.path is None or not one.path.startswith(("/", "..")) for one in code_blocks(answer, ROOT))
