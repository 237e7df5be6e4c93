"""The template in docs/plugins.md, as a stranger would use it: built, installed apart, found, and tested."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FIND = """
import asyncio, json
from beastmode.core.plugin_loader import load_plugins
plugins = asyncio.run(load_plugins(()))
infos = {info.name: [info.state, info.package, info.version, info.hooks, info.providers] for info in plugins.infos}
print(json.dumps({"infos": infos, "providers": sorted(plugins.providers)}))
"""


def run(*command: str | Path, cwd: Path, path: tuple[Path, ...] = ()) -> str:
    """Runs a program that must succeed, and gives what it printed."""
    python_path = os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": python_path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the template, as the page shows them."""
    folder = tmp_path_factory.mktemp("acme")
    files = dict(BLOCK.findall((REPOSITORY / "docs" / "plugins.md").read_text()))
    assert files.keys() == {"pyproject.toml", "beastmode_acme.py", "test_acme.py"}
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def installed(project: Path) -> Path:
    """A folder with nothing but the installed wheel."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", project, cwd=project)
    (wheel,) = (project / "dist").glob("*.whl")
    site = project / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", site, wheel, cwd=project)
    assert (site / "beastmode_acme.py").exists()
    (project / "beastmode_acme.py").unlink()  # what runs is the wheel
    return site


def test_the_daemon_finds_a_plugin_that_pip_installed(project: Path, installed: Path) -> None:
    found = json.loads(run(sys.executable, "-c", FIND, cwd=project, path=(installed,)))
    assert found["infos"]["acme"] == ["loaded", "beastmode-acme", "1.0.0", ["beast_providers"], ["acme"]]
    assert {"acme", "openai", "custom", "anthropic", "echo"} <= set(found["providers"])


def test_the_template_keeps_the_contract_of_every_provider(project: Path, installed: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(project)]
    tests = REPOSITORY / "tests"
    printed = run(sys.executable, "-m", "pytest", *options, "test_acme.py", cwd=project, path=(installed, tests))
    assert re.search(r"^\d\d+ passed", printed, re.MULTILINE), printed
    assert "failed" not in printed
