"""Which requests are matched by meaning at all, which kind of prompt they are, and a miss in words."""

from __future__ import annotations

from beastmode.cache.decision import Neighbour
from beastmode.core.types import Message, Request

TEXT_MAX_CHARS = 8192

_SHELL = frozenset(("bash", "shell", "command", "file", "files", "directory", "directories", "folder", "terminal"))
_CODE = frozenset(("function", "class", "method", "code", "program", "script", "query", "test", "tests", "regex"))
_TOOLS = ("tools", "functions", "responses_tools")
_QUESTION = frozenset(("what", "why", "how", "when", "where", "which", "who", "explain"))


def category(text: str) -> str:
    """The kind of a prompt, as wrong hits are counted: shell, code, question or other.

    Args:
        text: The prompt.
    """
    words = set(text.lower().split())
    if words & _SHELL:
        return "shell"
    if words & _CODE:
        return "code"
    return "question" if text.rstrip().endswith("?") or words & _QUESTION else "other"


def why_exact_only(request: Request, max_temperature: float) -> str | None:
    """Says why a request is never matched by meaning: more than one question, tools, a temperature that wants variety.

    Args:
        request: The request.
        max_temperature: Highest temperature that is matched; absent counts as allowed.
    """
    if request.kind != "chat":
        return f"exact only: it asks for {'an embedding' if request.kind == 'embedding' else 'a completion'}"
    if not _is_single_shot(request.messages):
        return "exact only: it is no single question"
    params = request.params
    if any(map(params.get, _TOOLS)):
        return "exact only: it has tools"
    temperature = params.get("temperature")
    if isinstance(temperature, int | float) and temperature > max_temperature:
        return f"exact only: its temperature is above {max_temperature:g}"
    return None


def too_long(text: str) -> str | None:
    """Bounds what the semantic step looks at; the exact limit, in word pieces, is the embedder's."""
    return "exact only: the prompt is too long" if len(text) > TEXT_MAX_CHARS else None


def said_of_prompt(why: str) -> str:
    """Completes a sentence that begins with "the prompt".

    Args:
        why: As `features.eligible` says it.
    """
    return why if why.split()[0] in ("says", "points", "has") else f"is {why}"


def _is_single_shot(messages: list[Message]) -> bool:
    *before, last = messages
    alone = all(message.role in ("system", "developer") for message in before)
    return alone and last.role == "user" and isinstance(last.content, str)


def why_missed(neighbours: list[Neighbour], threshold: float) -> str:
    """Says in one sentence why no neighbour was served.

    Args:
        neighbours: What was compared, nearest first.
        threshold: Least confidence that would have been served.
    """
    if not neighbours:
        return "no stored prompt is near"
    nearest = neighbours[0]
    if nearest.denied:
        return "the nearest stored prompt was rejected for this one"
    if nearest.veto is not None:
        return f"the nearest stored prompt differs in a way that matters: {nearest.veto}"
    return f"the nearest stored prompt may be another question (confidence {nearest.confidence:.2f} < {threshold:g})"
