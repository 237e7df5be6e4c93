"""The OpenAPI document holds what it says: schemathesis sends what fits and what does not, and never gets a 5xx."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.http_caller import Door

EVERY_NAME = '[routing]\ndefault_model = "echo:echo"\nauto = ["echo:echo"]\naliases = { "*" = "echo:echo" }\n'


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon(EVERY_NAME) as one:
        one.add("echo:echo")
        yield one


def test_the_document_names_every_path_and_is_of_version_3_1(daemon: Daemon) -> None:
    document = Door.of(daemon).get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    assert {"/v1/chat/completions", "/v1/responses", "/v1/messages", "/healthz", "/api/codebase/chat"} <= set(
        document["paths"]
    )
    taken = document["paths"]["/v1/messages"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert taken["$ref"].removeprefix("#/components/schemas/") in document["components"]["schemas"]


@pytest.mark.timeout(300)
def test_nothing_that_schemathesis_sends_is_a_server_error(daemon: Daemon, tmp_path: Path) -> None:
    door = Door.of(daemon)
    checks = "not_a_server_error,content_type_conformance,status_code_conformance"
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{door.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {door.token}", "--checks", checks, "--max-examples", "15"),
        *("--phases", "coverage,fuzzing", "--no-color", "--seed", "1", "--generation-database", "none"),
    ]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert re.search(r"Selected: (\d+)/\1", found.stdout)
    status = daemon.call("status")
    assert status["health"]["status"] == "healthy", "a caller's mistakes are no trouble of the daemon"
