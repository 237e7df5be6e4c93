"""An answer as the typed events of OpenAI's Responses.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.deltas import Piece, ToolPiece, pieces_of
from beastmode.core.types import Completion
from beastmode.wire.dialect import StreamWriter, Told
from beastmode.wire.responses_answer import Output, Outputs, ended, incomplete, logprobs_of, response, text_part

_encode = msgspec.json.Encoder().encode


class ResponsesWriter(StreamWriter):
    """Writes one answer.

    A text or a thought is done when something else begins; calls may come side by side and are done at the end.

    Args:
        told: Whose answer it is, with its request.
    """

    def __init__(self, told: Told) -> None:
        self._outputs = Outputs(told)
        self._response = response(told)
        self._number = 0
        self._open: list[Output] = []
        self._logprobs: list[Any] = []

    def begin(self) -> bytes:
        """Opens the stream."""
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def piece(self, piece: Piece) -> bytes:
        """Writes a piece; what proves a thought to its provider has no words here."""
        known = len(self._outputs.items)
        taken = self._outputs.take(piece)
        if taken is None:
            return b""
        output, text = taken
        events = b""
        if len(self._outputs.items) > known:
            events = self._close("message", "reasoning") + self._add(output)
        return events + self._grow(output, text) if text else events

    def finish(self, completion: Completion) -> bytes:
        """Writes how the answer ended; what no piece has told is told first."""
        silent = not self._outputs.items
        parts = [self.piece(piece) for piece in pieces_of(completion) if silent or self._is_new(piece)]
        why = incomplete(completion)
        self._logprobs = logprobs_of(completion)
        last = self._outputs.items[-1] if why and self._outputs.items else None
        parts.append(self._close(cut=last))
        items = [self._item(output, output is last) for output in self._outputs.items]
        done = ended(self._response, completion, items)
        return b"".join(parts) + self._event(f"response.{done['status']}", response=done)

    def _is_new(self, piece: Piece) -> bool:
        return isinstance(piece, ToolPiece) and not self._outputs.knows(piece.index)

    def _item(self, output: Output, cut: bool) -> dict[str, Any]:
        return output.item("incomplete" if cut else "completed", self._logprobs)

    def _add(self, output: Output) -> bytes:
        self._open.append(output)
        events = self._event("response.output_item.added", output_index=output.index, item=output.item("in_progress"))
        place = {"item_id": output.id, "output_index": output.index}
        if output.kind == "message":
            events += self._event("response.content_part.added", **place, content_index=0, part=text_part(""))
        elif output.kind == "reasoning":
            part = {"type": "summary_text", "text": ""}
            events += self._event("response.reasoning_summary_part.added", **place, summary_index=0, part=part)
        return events

    def _grow(self, output: Output, text: str) -> bytes:
        place = {"item_id": output.id, "output_index": output.index}
        match output.kind:
            case "message":
                return self._event("response.output_text.delta", **place, content_index=0, delta=text, logprobs=[])
            case "reasoning":
                return self._event("response.reasoning_summary_text.delta", **place, summary_index=0, delta=text)
            case "function":
                return self._event("response.function_call_arguments.delta", **place, delta=text)
        return b""  # an input inside JSON, which is taken out of it when it is whole

    def _close(self, *kinds: str, cut: Output | None = None) -> bytes:
        """Ends the open items of some kinds, of all where none is named."""
        closing = [output for output in self._open if not kinds or output.kind in kinds]
        self._open = [output for output in self._open if output not in closing]
        return b"".join(self._done(output, output is cut) for output in closing)

    def _done(self, output: Output, cut: bool) -> bytes:
        place: dict[str, Any] = {"item_id": output.id, "output_index": output.index}
        text = output.text
        item = self._item(output, cut)
        events = b""
        match output.kind:
            case "message":
                place["content_index"] = 0
                events = self._event("response.output_text.done", **place, text=text, logprobs=self._logprobs)
                events += self._event("response.content_part.done", **place, part=item["content"][0])
            case "reasoning":
                place["summary_index"] = 0
                events = self._event("response.reasoning_summary_text.done", **place, text=text)
                events += self._event("response.reasoning_summary_part.done", **place, part=item["summary"][0])
            case "function":
                if not any(output.texts):
                    events = self._grow(output, text)
                place["name"] = output.called.name
                events += self._event("response.function_call_arguments.done", **place, arguments=text)
            case "custom":
                events = self._event("response.custom_tool_call_input.delta", **place, delta=text)
                events += self._event("response.custom_tool_call_input.done", **place, input=text)
        return events + self._event("response.output_item.done", output_index=output.index, item=item)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
