"""The wheel, built from a clean copy and installed with pip into an empty environment, does the main job."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import beastmode
from support.lsp_client import LspClient
from support.tracked import ROOT, project_files

PACKAGES = {"beastmode", "beastmode_lsp", "beastmode_plugins"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = tmp_path_factory.mktemp("clean")
    for file in project_files():
        (sources / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, sources / file)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "made"], cwd=sources)
    (made,) = (sources / "made").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but what the wheel says that it needs.

    Returns:
        Its folder of programs.
    """
    folder = tmp_path_factory.mktemp("installed") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for place in sorted({place for name in needed() for place in places(name)}):
        (site / place.name).symlink_to(place)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-cache-dir"]
    run([*pip, str(wheel)], cwd=folder)
    return folder / "bin"


def needed() -> set[str]:
    """Names every distribution that the wheel needs, and what those need."""
    found: set[str] = set()
    waiting = [(line, "") for line in distribution("beastmode").requires or []]
    while waiting:
        line, extra = waiting.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            below = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            pytest.fail(f"{requirement.name} is needed and not installed")
        if requirement.name not in found:
            found.add(requirement.name)
            waiting += [(one, name) for one in below for name in requirement.extras or [""]]
    return found


def places(name: str) -> Iterator[Path]:
    """The files and folders of a distribution at the top of its site-packages."""
    files = distribution(name).files or []
    for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        yield Path(str(distribution(name).locate_file(top)))


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what the tests' own Python and daemons are told."""
    return {name: value for name, value in environ.items() if not name.startswith(("PYTHON", "BEAST_", "COV"))}


def run(command: list[str], cwd: Path, environ: dict[str, str] | None = None, given: str | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean(os.environ) | (environ or {}),
        input=given,
        stdin=None if given is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_its_packages_their_types_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(re.fullmatch(r"beastmode-[^/]+\.dist-info/licenses/LICENSE", name) for name in names)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_every_source_file_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in project_files():
        if file.parts[0] in ("daemon", "lsp", "plugins"):
            assert "/".join(file.parts[1:]) in names


def test_the_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    assert beastmode.__version__ in run([str(installed / "beast"), "--version"], cwd=tmp_path)


def test_installed_elsewhere_it_starts_answers_from_a_model_and_from_the_cache_and_stops(
    installed: Path, tmp_path: Path
) -> None:
    home = {"BEAST_HOME": str(tmp_path / "home")}

    def beast(*words: str) -> str:
        return run([str(installed / "beast"), *words], cwd=tmp_path, environ=home)

    beast("start")
    try:
        beast("rpc", "models.add", '{"id": "echo:echo"}')
        answers = [json.loads(beast("ask", "-m", "echo:echo", "--json", "say this again")) for _ in range(2)]
        rows = json.loads(beast("requests", "--json"))["requests"]
        editor = LspClient.run([str(installed / "beast"), "lsp"], clean(os.environ) | home)
        with editor:
            server = editor.initialize()["serverInfo"]["name"]
    finally:
        beast("stop")
    assert [answer["text"] for answer in answers] == ["say this again"] * 2
    assert [answer["cache"]["result"] for answer in answers] == ["miss", "hit_exact"]
    assert [row["outcome"] for row in rows] == ["success", "success"]
    assert server == "beast"
