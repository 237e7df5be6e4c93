"""What holds for every test: a test that is left out is named with its reason, and under CI=true it is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

LEFT_OUT = ("skipped", "xfailed")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    detail = report.longrepr
    if isinstance(detail, tuple):
        return str(detail[2]).removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", "") or detail or "no reason given")


def _left_out(reporter: pytest.TerminalReporter) -> dict[str, list[str]]:
    """Gathers the tests that did not run.

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
    if not left_out:
        return
    terminalreporter.section("left out")
    for reason, names in sorted(left_out.items()):
        terminalreporter.line(f"{reason}:")
        for name in sorted(names):
            terminalreporter.line(f"  {name}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turns a test that was left out into a failure under CI=true."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    strict = os.environ.get("CI", "").lower() == "true" and not hasattr(session.config, "workerinput")
    if strict and exitstatus == pytest.ExitCode.OK and reporter and _left_out(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
