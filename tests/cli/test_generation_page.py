"""docs/generation.md: what it has people put into GitHub Actions is a workflow, and every command of it exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

import yaml
from click.core import Context

from beastmode.cli.root import beast
from support.tracked import ROOT


def workflow() -> dict[str, Any]:
    page = (ROOT / "docs/generation.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def scripts() -> list[str]:
    return [step["run"] for job in workflow()["jobs"].values() for step in job["steps"] if "run" in step]


def test_it_is_a_workflow_that_people_start_by_hand() -> None:
    found = workflow()
    assert set(found[True]) == {"workflow_dispatch"}  # YAML takes the word `on` for a truth
    assert found["permissions"] == {"contents": "write", "pull-requests": "write"}
    for job in found["jobs"].values():
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


def test_what_a_person_types_is_never_pasted_into_a_script() -> None:
    assert not any("${{" in script for script in scripts())


def test_every_script_is_one_that_a_shell_takes() -> None:
    for script in scripts():
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_every_command_of_ours_exists_with_its_options() -> None:
    lines = [line for script in scripts() for line in script.splitlines() if line.startswith("beast ")]
    assert len(lines) == 5
    for line in lines:
        context = Context(beast, info_name="beast")
        name, command, rest = beast.resolve_command(context, shlex.split(line)[1:])
        assert command is not None
        while hasattr(command, "resolve_command"):
            name, command, rest = command.resolve_command(Context(command), rest)
        known = {option for one in command.params for option in one.opts}
        assert [word for word in rest if word.startswith("--") and word not in known] == [], f"{name}: {line}"


def test_the_step_that_runs_code_of_a_model_has_no_token() -> None:
    (step,) = [
        step for job in workflow()["jobs"].values() for step in job["steps"] if "beast generate" in step.get("run", "")
    ]
    assert set(step["env"]) == {"REQUEST"}
