"""`beast models test ID --workflow`: a model from its registration to its costs, each step with a verdict."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from beastmode.cli import figures
from beastmode.cli.load_test import require_models
from beastmode.cli.screen import Screen
from beastmode.client import Client
from beastmode.core.errors import BeastError

FAILED = 5
SLOW_S, TOO_SLOW_S = 5.0, 10.0
_MAX_TOKENS = 512
_PROBES = (
    "Answer in one sentence: what is a hash table?",
    "Answer in one sentence: what is a deadlock?",
    "Answer in one sentence: what is a cache?",
)
_CODE = (
    "Write a Python function named is_leap that takes a year and says whether it is a leap year. "
    "Give only the code, in one fenced block."
)
_FENCE = re.compile(r"```[\w+-]*[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_MARK = {"ok": "green", "failed": "red", "unknown": "yellow"}


class Verdict(NamedTuple):
    """How a step went.

    Attributes:
        step: Its name.
        verdict: ok, failed, or unknown, where nobody can tell.
        cause: One sentence.
        tips: What to do.
    """

    step: str
    verdict: str
    cause: str
    tips: list[str]


class Workflow:
    """One run through all that a model is for.

    Args:
        client: A client.
        model: The id of the model.

    Attributes:
        verdicts: What was found so far.
    """

    def __init__(self, client: Client, model: str) -> None:
        self.verdicts: list[Verdict] = []
        self._client = client
        self._model = model
        self._answers: list[dict[str, Any]] = []

    def run(self) -> Iterator[Verdict]:
        """Takes one step after another; where one fails, the next ones that can be taken are."""
        steps: list[tuple[str, Callable[[], tuple[str, str, list[str]]]]] = [
            ("registration", self._registration),
            ("listing", self._listing),
            ("code generation", self._code),
            ("performance", self._performance),
            ("cost tracking", self._costs),
        ]
        for name, step in steps:
            try:
                verdict = Verdict(name, *step())
            except BeastError as error:
                if error.kind == "daemon_not_running":
                    raise
                verdict = Verdict(name, "failed", error.message, list(error.tips))
            self.verdicts.append(verdict)
            yield verdict

    def _registration(self) -> tuple[str, str, list[str]]:
        reply = self._client.call("models.test", {"id": self._model})
        tested = reply.get("deployments") or [reply]
        bad = [one for one in tested if not one.get("ok")]
        if not bad:
            took = figures.duration(tested[0].get("latency_ms"))
            return "ok", f"{figures.count(len(tested), 'endpoint')} tested, answered in {took}", []
        step: dict[str, Any] = next((one for one in bad[0].get("steps") or [] if not one.get("ok")), {})
        cause = bad[0].get("message") or f"{step.get('name', 'the test')}: {step.get('detail') or 'failed'}"
        return "failed", cause, list(bad[0].get("tips") or [f"beast models test {self._model}"])

    def _listing(self) -> tuple[str, str, list[str]]:
        models = self._client.call("models.list")["models"]
        found = next((one for one in models if one["id"] == self._model), None)
        if found is None:
            return "failed", "it is not in the list of models", [f"beast models add {self._model}"]
        away = [one for one in found["deployments"] if one.get("state") != "ready"]
        if len(away) == len(found["deployments"]):
            cause = away[0].get("cause") if away else "it has no endpoint"
            return "failed", cause or f"it is {away[0].get('state')}", [f"beast models test {self._model}"]
        ready = len(found["deployments"]) - len(away)
        return "ok", f"listed as {found.get('kind')}, {ready} of {len(found['deployments'])} endpoints ready", []

    def _code(self) -> tuple[str, str, list[str]]:
        answer = self._ask(_CODE)
        code = python_in(answer["text"])
        took = figures.duration(answer["latency_ms"])
        if code is not None:
            lines = len(code.strip().splitlines())
            return "ok", f"{figures.count(lines, 'line')} of Python that parses, in {took}", []
        if answer.get("finish_reason") == "length":
            tip = f"ask it yourself: beast ask -m {self._model} --max-tokens 2000 ..."
            return "unknown", f"its answer was cut off at {_MAX_TOKENS} tokens", [tip]
        said = " ".join(answer["text"].split())[:60]
        return "failed", f"there is no Python in its answer: {said!r}", ["use a model that was made for code"]

    def _performance(self) -> tuple[str, str, list[str]]:
        answers = [self._ask(prompt) for prompt in _PROBES]
        total_ms = statistics.median(one["latency_ms"] for one in answers)
        firsts = [one["ttft_ms"] for one in answers if one["ttft_ms"] is not None]
        first_ms = statistics.median(firsts) if firsts else None
        cause = (
            f"first text in {figures.duration(first_ms)}, whole in {figures.duration(total_ms)}, "
            f"{_speed(answers)} tokens a second"
        )
        waited_s = (total_ms if first_ms is None else first_ms) / 1e3
        if waited_s > TOO_SLOW_S:
            return "failed", f"{cause}: over {TOO_SLOW_S:g} s is too long", ["use a smaller model, or a faster machine"]
        slow = [f"over {SLOW_S:g} s a model counts as degraded: beast health"] if waited_s > SLOW_S else []
        return "ok", cause, slow

    def _costs(self) -> tuple[str, str, list[str]]:
        if not self._answers:
            return "unknown", "there is no answer whose cost could be looked up", ["mend the steps above first"]
        for answer in self._answers:
            row = self._client.call("requests.get", {"request_id": answer["request_id"]})
            if row.get("cost_usd") != answer.get("cost_usd"):
                cause = (
                    f"the ledger says {figures.usd(row.get('cost_usd'))}, the answer {figures.usd(answer['cost_usd'])}"
                )
                return "failed", cause, [f"beast requests show {answer['request_id']}"]
        unknown = [one for one in self._answers if one.get("cost_usd") is None]
        if unknown:
            if (unknown[0].get("usage") or {}).get("prompt_tokens") is None:
                tips = ["its server does not say how many tokens it used; turn that on there"]
                return "unknown", "tokens are unknown, and so are costs", tips
            tips = [f"beast models add {self._model} --price-prompt USD --price-completion USD"]
            return "unknown", "its price is unknown, and so are its costs", tips
        requests = figures.count(len(self._answers), "request")
        spent = round(sum(one["cost_usd"] for one in self._answers), 9)
        return "ok", f"{requests} in the ledger, {figures.usd(spent)} together", []

    def _ask(self, prompt: str) -> dict[str, Any]:
        params = {
            "message": prompt,
            "model": self._model,
            "cache": "off",
            "stream": True,
            "max_tokens": _MAX_TOKENS,
            "origin": "test",
        }
        answer: dict[str, Any] = self._client.call("chat", params)
        self._answers.append(answer)
        return answer


def _speed(answers: list[dict[str, Any]]) -> str:
    tokens = [(one.get("usage") or {}).get("completion_tokens") for one in answers]
    known = [count for count in tokens if count is not None]
    if len(known) < len(tokens):
        return "unknown"
    return f"{1e3 * sum(known) / max(1e-3, sum(one['latency_ms'] for one in answers)):,.0f}"


def python_in(text: str) -> str | None:
    """The Python code in an answer: a fenced block, else the answer as a whole; it is parsed and never run.

    Args:
        text: The answer.

    Returns:
        Code that parses and defines a function; None where there is none.
    """
    for code in [*_FENCE.findall(text), text]:
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
            return str(code)
    return None


def run(screen: Screen, client: Client, model: str) -> int:
    """Takes all steps and shows each as it is done.

    Args:
        screen: Where.
        client: A client.
        model: The id of the model.

    Returns:
        0, or 5 where a step failed.

    Raises:
        UnknownModelError: There is no such model.
    """
    require_models(client, [model])
    workflow = Workflow(client, model)
    try:
        for verdict in workflow.run():
            if not screen.as_json:
                _show(screen, verdict)
                screen.flush()
    finally:  # also what was found before a Ctrl-C
        failed = any(one.verdict == "failed" for one in workflow.verdicts)
        if screen.as_json:
            steps = [one._asdict() for one in workflow.verdicts]
            screen.json({"model": model, "ok": not failed, "steps": steps})
    return FAILED if failed else 0


def _show(screen: Screen, verdict: Verdict) -> None:
    mark = screen.paint(f"{verdict.verdict:<7}", _MARK[verdict.verdict])
    screen.say(f"  {mark}  {verdict.step}: {verdict.cause}")
    for tip in verdict.tips:
        screen.say(f"           try: {tip}" if verdict.verdict != "ok" else f"           {tip}")
