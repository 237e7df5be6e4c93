"""The table of methods: each once, with its types and its words; every door and the documents are made from it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from beastmode.servers import jsonrpc
from beastmode.servers.jsonrpc import InvalidRequestError
from beastmode.servers.services import Caller, Services

Params = TypeVar("Params")
Result = TypeVar("Result")
Reply: TypeAlias = Union[Result, Coroutine[Any, Any, Result]]  # noqa: UP007  # a generic alias needs the old spelling

NO_PARAMS = msgspec.Raw(b"{}")


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters."""


class Method:
    """One method of the daemon.

    Args:
        name: As callers write it.
        run: Takes services, caller and parameters; gives the result, or a coroutine of it.
        params: The type of its parameters.
        result: The type of its result.
        doc: Its documentation.
    """

    def __init__(self, name: str, run: Callable[..., Any], params: type[msgspec.Struct], result: Any, doc: str) -> None:
        self.name = name
        self.run = run
        self.params = params
        self.result = result
        self.doc = doc
        self._decoder = msgspec.json.Decoder(params)

    def decode(self, raw: msgspec.Raw) -> Any:
        """Reads the parameters.

        Raises:
            InvalidRequestError: With the standard code: not JSON, or not what this method takes.
        """
        try:
            return self._decoder.decode(raw or NO_PARAMS)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(jsonrpc.INVALID_PARAMS, f"`{self.name}`: {error}.") from None
        except jsonrpc.MALFORMED as error:
            raise InvalidRequestError(jsonrpc.PARSE_ERROR, f"Not JSON: {error}.") from None


METHODS: dict[str, Method] = {}


def method(name: str) -> Callable[[Callable[[Services, Caller, Params], Result]], Callable[..., Result]]:
    """Puts a function into the table, with the types of its signature and its docstring."""

    def register(run: Callable[[Services, Caller, Params], Result]) -> Callable[..., Result]:
        hints = get_type_hints(run)
        METHODS[name] = Method(name, run, hints["params"], _result_of(hints["return"]), inspect.getdoc(run) or "")
        return run

    return register


def _result_of(hint: Any) -> Any:
    """The result's type, where a function may also return a coroutine of it."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if not _later(part))
    return hint


def _later(hint: Any) -> bool:
    return inspect.isclass(get_origin(hint)) and issubclass(get_origin(hint), Coroutine)
