"""The output items of an upstream's Responses answer, as the pieces of a stream and as a completion."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from beastmode.core.deltas import OnDelta, Thought, ToolPiece
from beastmode.core.types import Completion
from beastmode.wire.responses_tools import ACTION_OF_ITEM, ACTIONS, chat_name, freeform

Kind = Literal["message", "refusal", "reasoning", "arguments", "input"]
"""What a piece belongs to."""

_CALLS = ("function_call", "custom_tool_call", *ACTION_OF_ITEM)
_ORDER = {"reasoning": 0, "message": 1}
_OPENS, _CLOSES = '{"input":"', '"}'
_PLAIN_PHASES = (None, "final_answer")

Item = dict[str, Any]


class _Part:
    """One item: what has come of it, and what it was in the end.

    Attributes:
        kind: Its type.
        texts: What was handed on of it.
        done: The item when it was whole.
        index: Its place in the answer.
        call: Its number among the calls.
        tool: Id and name of a call.
    """

    __slots__ = ("call", "done", "index", "kind", "texts", "tool")

    def __init__(self, index: int, kind: str, call: int) -> None:
        self.index = index
        self.kind = kind
        self.call = call
        self.tool = {"id": "", "name": ""}
        self.texts: list[str] = []
        self.done: Item | None = None

    def goes_on_as(self, item: Item, kind: str) -> bool:
        """Whether an item is this one, and no other that a server puts in the same place."""
        if self.done is not None:
            return self.kind == kind and self.done.get("id") == item.get("id")
        return self.kind == kind or self.kind not in _CALLS


class Items:
    """Gathers the items of one answer and hands on their pieces.

    Args:
        on_delta: Gets the pieces.
    """

    def __init__(self, on_delta: OnDelta) -> None:
        self._on_delta = on_delta
        self._parts: list[_Part] = []
        self._at: dict[int, _Part] = {}  # the last one in each place
        self._calls = 0

    def begin(self, index: int | None, item: Item) -> _Part:
        """Takes an item that begins.

        Args:
            index: Its place in the answer; None: after the others.
            item: As it is so far.
        """
        kind = _text(item.get("type"))
        if index is None:
            index = max(self._at, default=-1) + 1
        part = self._at.get(index)
        if part is not None and part.goes_on_as(item, kind):
            part.kind = kind
            return part
        part = self._at[index] = _Part(index, kind, self._calls)
        self._parts.append(part)
        if kind in _CALLS:
            self._calls += 1
            part.tool = {"id": _text(item.get("call_id") or item.get("id")), "name": _name(item, kind)}
            opens = _OPENS if kind == "custom_tool_call" else ""
            self._on_delta(ToolPiece(part.call, part.tool["id"], part.tool["name"], opens))
        return part

    def add(self, index: int, kind: Kind, text: str) -> None:
        """Takes a piece of an item.

        Args:
            index: The item's place.
            kind: What it is a piece of.
            text: The piece.
        """
        part = self._at.get(index)
        if part is None:
            if kind in ("arguments", "input"):
                return  # a call without a name; its end has all of it
            part = self.begin(index, {"type": "reasoning" if kind == "reasoning" else "message"})
        if text:
            self._hand_on(part, text)

    def end(self, index: int | None, item: Item) -> None:
        """Takes a whole item, and hands on what has not come in pieces.

        Args:
            index: Its place in the answer; None: that of the item that began and has not ended, or after the others.
            item: The item.
        """
        if index is None:
            kind = item.get("type")
            index = next((part.index for part in self._parts if part.done is None and part.kind == kind), None)
        part = self.begin(index, item)
        if part.done is not None:
            return
        part.done = item
        text, said = _content(item, part.kind), "".join(part.texts)
        if text.startswith(said) and len(text) > len(said) and not (said and part.kind == "reasoning"):
            self._hand_on(part, text[len(said) :])
        if part.kind == "custom_tool_call":
            self._on_delta(ToolPiece(part.call, arguments=_CLOSES))

    def rest(self, items: list[Item]) -> None:
        """Takes the items of the whole answer, for those that have not come before.

        Args:
            items: All of them.
        """
        ended = sum(part.done is not None for part in self._parts)
        if ended < len(items):
            for index, item in enumerate(items):
                self.end(index, item)

    def completion(self) -> Completion:
        """Gives the answer; not whole where one of its items has no counterpart, or their order would be lost."""
        completion = Completion(text="", finish_reason="stop")
        thoughts: list[str] = []
        last = -1
        for part in sorted(self._parts, key=lambda part: part.index):
            order = _ORDER.get(part.kind, 2)
            completion.whole = completion.whole and (order > last or order == 2) and _is_whole(part)
            last = order
            text = "".join(part.texts) if part.done is None else _content(part.done, part.kind)
            if part.kind in _CALLS:
                arguments = freeform(text) if part.kind == "custom_tool_call" else text
                function = {"name": part.tool["name"], "arguments": arguments}
                completion.tool_calls.append({"id": part.tool["id"], "type": "function", "function": function})
            elif part.kind == "reasoning":
                thoughts.append("".join(part.texts))
            elif part.kind == "message":
                completion.text += text
                _note(part.done or {}, completion)
        completion.reasoning = "".join(thoughts)
        if completion.tool_calls and completion.finish_reason == "stop":
            completion.finish_reason = "tool_calls"
        return completion

    def _hand_on(self, part: _Part, text: str) -> None:
        part.texts.append(text)
        if part.kind == "reasoning":
            self._on_delta(Thought(text))
        elif part.kind == "custom_tool_call":
            self._on_delta(ToolPiece(part.call, arguments=msgspec.json.encode(text).decode()[1:-1]))
        elif part.kind in _CALLS:
            self._on_delta(ToolPiece(part.call, arguments=text))
        elif part.kind == "message":
            self._on_delta(text)


def _name(item: Item, kind: str) -> str:
    if kind in ACTION_OF_ITEM:
        return ACTION_OF_ITEM[kind]
    return chat_name(_text(item.get("name")), _text(item.get("namespace")))


def _content(item: Item, kind: str) -> str:
    """The text of an item, or the arguments of a call."""
    if kind == "message":
        return "".join(_text(part.get("text") or part.get("refusal")) for part in _list(item.get("content")))
    if kind == "reasoning":
        shown = _list(item.get("summary")) or _list(item.get("content"))
        return "\n\n".join(_text(part.get("text")) for part in shown)
    if kind in ACTION_OF_ITEM:
        action = ACTIONS[ACTION_OF_ITEM[kind]]
        given = item.get(action.field)
        found = given if isinstance(given, dict) else {}
        said = {name: value for name, value in found.items() if value is not None and action.fixed.get(name) != value}
        return msgspec.json.encode(said).decode()
    return _text(item.get("arguments" if kind == "function_call" else "input"))


def _is_whole(part: _Part) -> bool:
    """Whether a completion says all that the item does."""
    item = part.done or {}
    if part.kind == "message":
        plain = all(
            one.get("type") == "output_text" and not one.get("annotations") for one in _list(item.get("content"))
        )
        return plain and item.get("phase") in _PLAIN_PHASES
    if part.kind == "reasoning":
        return not item.get("encrypted_content")
    return part.kind in _CALLS and not item.get("namespace")


def _note(item: Item, completion: Completion) -> None:
    """Notes a refusal and the logprobs of a message."""
    for part in _list(item.get("content")):
        if part.get("type") == "refusal":
            completion.finish_reason = "content_filter"
        if part.get("logprobs"):
            completion.logprobs = {"content": part["logprobs"]}


def _list(value: Any) -> list[Item]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
