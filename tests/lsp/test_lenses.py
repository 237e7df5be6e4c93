"""Code lenses: offers above each definition, where the setting says so."""

from __future__ import annotations

import pytest

from support.lsp_house import EVERYTHING, House, eventually

URI = "file:///work/a.py"
TEXT = """import os


async def add(a, b):  # 😋
    return a + b


class Sum:
    def of(self):
        default = 1
"""


def test_there_are_none_until_the_setting_says_so() -> None:
    with House() as house:
        editor = house.editor()
        uri = editor.open(URI, TEXT)
        params = {"textDocument": {"uri": uri}}
        assert editor.client.request("textDocument/codeLens", params) == []
        editor.settings["codeLens"] = {"enabled": True}
        editor.client.notify("workspace/didChangeConfiguration", {"settings": None})
        eventually(lambda: editor.client.of("workspace/codeLens/refresh"))
        found = editor.client.request("textDocument/codeLens", params)
        assert sorted({one["range"]["start"]["line"] for one in found}) == [3, 7, 8]
        assert {one["command"]["command"] for one in found} == {"beast.explain", "beast.tests", "beast.docstring"}
        assert found[0]["range"]["end"] == {"line": 3, "character": len("async def add(a, b):  # 😋") + 1}
        assert house.coder.calls == []
        command = found[0]["command"]
        assert editor.client.command(command["command"], *command["arguments"])["text"] == "It adds two numbers."
        assert editor.client.request("textDocument/codeLens", {"textDocument": {"uri": "file:///no.py"}}) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("def f():", True),
        ("export default async function main() {", True),
        ("pub(crate) fn main() {", True),
        ("func (s *Server) Run() error {", True),
        ("class A:", True),
        ("local function f()", True),
        ("public static class B {", True),
        ("define(x)", False),
        ("classes = 3", False),
        ("return function_of(x)", False),
        ("# def f():", False),
    ],
)
def test_what_a_definition_is(line: str, found: bool) -> None:
    from beastmode_lsp.lenses import is_definition

    assert is_definition(line) is found


def test_of_a_long_document_the_first_have_lenses() -> None:
    with House() as house:
        editor = house.editor({**EVERYTHING}, settings={"codeLens": {"enabled": True}})
        editor.open(URI, "def f(): pass\n" * 1000)
        found = editor.client.request("textDocument/codeLens", {"textDocument": {"uri": URI}})
        assert len(found) == 300
