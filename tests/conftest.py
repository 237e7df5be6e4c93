"""What holds for every test: one that is left out is named with its reason; a skipped one fails under CI=true."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

LEFT_OUT = ("skipped", "xfailed")
APART = {
    "long": "it runs over a minute (make test-long)",
    "clients": "it runs large programs that are fetched for it (make test-clients)",
}
os.environ.setdefault("BEAST_HTTP__PORT", "0")  # many daemons run side by side
os.environ.setdefault("BEAST_LSP__ENABLED", "false")  # half a second of work at each start; who tests it says true
deselected_key = pytest.StashKey[set[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Starts with nothing left out."""
    config.stash[deselected_key] = set()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Notes the tests that are run apart, and that this run does without."""
    for item in items:
        for marker in APART:
            if item.get_closest_marker(marker):
                item.config.stash[deselected_key].add((marker, item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes over what a worker of a parallel run noted."""
    noted = getattr(node, "workeroutput", {}).get("deselected", ())
    node.config.stash[deselected_key].update((marker, name) for marker, name in noted)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    detail = report.longrepr
    if isinstance(detail, tuple):
        return str(detail[2]).removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", "") or detail or "no reason given")


def _left_out(reporter: pytest.TerminalReporter) -> dict[str, list[str]]:
    """Gathers the tests that were skipped.

    Returns:
        Names of tests, by the reason for which they were left out.
    """
    found: dict[str, list[str]] = {}
    for category in LEFT_OUT:
        reports: Iterable[pytest.TestReport] = reporter.stats.get(category, [])
        for report in reports:
            found.setdefault(_reason(report), []).append(report.nodeid)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which tests were left out, and why."""
    left_out = _left_out(terminalreporter)
    for marker, name in {
        (marker, name.partition("[")[0]) for marker, name in terminalreporter.config.stash[deselected_key]
    }:
        left_out.setdefault(APART[marker], []).append(name)
    if not left_out:
        return
    terminalreporter.section("left out")
    for reason, names in sorted(left_out.items()):
        terminalreporter.line(f"{reason}:")
        for name in sorted(names):
            terminalreporter.line(f"  {name}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turns a test that was skipped into a failure under CI=true."""
    if hasattr(session.config, "workeroutput"):
        noted = session.config.stash[deselected_key]
        session.config.workeroutput["deselected"] = sorted(noted)
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    strict = os.environ.get("CI", "").lower() == "true"
    if strict and exitstatus == pytest.ExitCode.OK and reporter and _left_out(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
