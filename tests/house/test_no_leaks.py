"""What no file of the project may hold: a machine's paths, hosts of registries, secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.tracked import project_files, text_of

# Each is written so that this file does not match it.
FORBIDDEN = {
    "a machine's path": r"[\"'( =`](/)(home|root|Users|work)/[a-z]",
    "a registry's host": r"(pypi\.|pythonhosted\.)org|(deb|security)\.debian\.org|registry\.(npmjs)\.org",
    "a private key": r"-----BEGIN [A-Z ]*(PRIVATE) KEY-----",
    "an API key": r"\bsk-(ant-|proj-)?[A-Za-z0-9_-]{40,}",
}
LONGEST_FILE_LINES = 400


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{file}:{number}: {line.strip()[:100]}"
        for file in project_files()
        if file != Path("tests/house/test_no_leaks.py")
        for number, line in enumerate((text_of(file) or "").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_no_file_is_so_long_that_it_holds_two_rooms() -> None:
    lengths = {
        file: len((text_of(file) or "").splitlines())
        for file in project_files()
        if file.suffix == ".py" and file.parts[0] != "tests"
    }
    assert {str(file): lines for file, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(file)
        for file in project_files()
        if file.suffix == ".py" and not (text_of(file) or "").lstrip().startswith(('"""', "#!"))
    ]
    assert silent == []
