"""OpenAI's protocols, as the test provider server speaks them: Chat Completions, Completions and Embeddings."""

from __future__ import annotations

import json

from support.provider_talks import Talk, http

LIMITS = {
    "x-request-id": "req_mock",
    "x-ratelimit-remaining-requests": "99",
    "x-ratelimit-reset-tokens": "6ms",
    "openai-processing-ms": "12",
}


class Chat(Talk):
    """Chat Completions; `n`, `logprobs` and `stream_options` are followed; objects have fields nobody knows."""

    limits = LIMITS
    kind = "chat.completion"

    def count(self) -> int:
        return self.body.get("n") or 1

    def finish(self) -> str:
        return "length" if self.model == "length" else "tool_calls" if self.calls else "stop"

    def usage(self) -> dict:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def tool_calls(self) -> list[dict]:
        return [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for i, (name, given) in enumerate(self.calls)
        ]

    def logprobs(self, words: list[str]) -> dict | None:
        if not self.body.get("logprobs"):
            return None
        tokens = [{"token": word, "logprob": -0.5, "bytes": [*word.encode()], "top_logprobs": []} for word in words]
        return {"content": tokens, "refusal": None}

    def head(self, kind: str) -> dict:
        head = {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": self.model}
        return head | {"system_fingerprint": "fp_1", "x_unknown": {"z": 1.50}}

    def whole(self) -> dict:
        message = {"role": "assistant", "content": None if self.calls else self.text, "refusal": None}
        if self.calls:
            message["tool_calls"] = self.tool_calls()
        choice = {"message": message, "finish_reason": self.finish(), "logprobs": self.logprobs(self.words())}
        reply = self.head(self.kind) | {"choices": [{"index": i, **choice} for i in range(self.count())]}
        return reply if self.model == "no-usage" else reply | {"usage": self.usage()}

    def events(self) -> list[bytes]:
        pieces = [({"role": "assistant", "content": ""}, None)]
        pieces += [] if self.calls else [({"content": word}, self.logprobs([word])) for word in self.words()]
        for i, call in enumerate(self.tool_calls()):
            text, begun = call["function"]["arguments"], {**call, "function": {**call["function"], "arguments": ""}}
            pieces.append(({"tool_calls": [{"index": i, **begun}]}, None))
            pieces += [
                ({"tool_calls": [{"index": i, "function": {"arguments": part}}]}, None) for part in (text[:5], text[5:])
            ]
        choices = [{"delta": delta, "finish_reason": None, "logprobs": logprobs} for delta, logprobs in pieces]
        choices.append({"delta": {}, "finish_reason": self.finish(), "logprobs": None})
        events = [self._event({"choices": [{"index": i, **one}]}) for one in choices for i in range(self.count())]
        return [*events, *self.last_events()]

    def last_events(self) -> list[bytes]:
        """The usage, when it was asked for, and the end."""
        asked = (self.body.get("stream_options") or {}).get("include_usage") and self.model != "no-usage"
        return [*([self._event({"choices": [], "usage": self.usage()})] if asked else []), b"data: [DONE]\n\n"]

    def _event(self, fields: dict) -> bytes:
        return b"data: " + json.dumps(self.head(f"{self.kind}.chunk") | fields).encode() + b"\n\n"

    def error(self, message: str, kind: str) -> dict:
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def too_long(self) -> dict:
        message = "This model's maximum context length is 8192 tokens."
        return {"error": {"message": message, "type": "invalid_request_error", "code": "context_length_exceeded"}}


class Completions(Chat):
    """The older Completions: continues, or fills the gap before `suffix`; one choice for each prompt."""

    kind = "text_completion"

    def __init__(self, body: dict) -> None:
        prompt = body.get("prompt", "")
        self.prompts = prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]
        super().__init__({**body, "messages": [{"role": "user", "content": str(self.prompts[0])}]})
        self.text = f" after {self.prompts[0]}" + (f" before {body['suffix']}" if body.get("suffix") else "")

    def count(self) -> int:
        return len(self.prompts) * (self.body.get("n") or 1)

    def logprobs(self, words: list[str]) -> dict | None:
        if self.body.get("logprobs") is None:
            return None
        return {"tokens": words, "token_logprobs": [-0.5] * len(words), "top_logprobs": None, "text_offset": []}

    def finish(self) -> str:
        return "length" if self.model == "length" else "stop"

    def whole(self) -> dict:
        choice = {"text": self.text, "finish_reason": self.finish(), "logprobs": self.logprobs(self.words())}
        reply = self.head(self.kind) | {"choices": [{"index": i, **choice} for i in range(self.count())]}
        return reply if self.model == "no-usage" else reply | {"usage": self.usage()}

    def events(self) -> list[bytes]:
        choices = [{"text": w, "finish_reason": None, "logprobs": self.logprobs([w])} for w in self.words()]
        choices.append({"text": "", "finish_reason": self.finish(), "logprobs": None})
        events = [self._event({"choices": [{"index": i, **one}]}) for one in choices for i in range(self.count())]
        return [*events, *self.last_events()]


class Embeddings(Chat):
    """Vectors of three numbers: the length of the text, and its place."""

    def answer(self) -> list[bytes]:
        return [http(self.whole(), 200, self.limits)]

    def whole(self) -> dict:
        given = self.body.get("input", "")
        texts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        data = [{"object": "embedding", "index": i, "embedding": [len(t), i, 0.50]} for i, t in enumerate(texts)]
        tokens = sum(len(str(text)) for text in texts) // 4 + 1
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": self.model, "usage": usage, "x_unknown": {"z": 1.50}}


OPENAI = {"/chat/completions": Chat, "/completions": Completions, "/embeddings": Embeddings}
"""By the end of the path, the longest first."""
