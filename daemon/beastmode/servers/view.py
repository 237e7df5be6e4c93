"""What somebody wants to see: a window of time, and whose requests."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.metrics.figures import Filters

TEXT_MAX_CHARS = 300


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer wants to see.

    Attributes:
        window: How far back.
        origin: Whose requests; None: those of persons, but the costs of every origin.
        filters: Which requests.
        page: All parts of the page; else only the figures.
    """

    window: Literal["1h", "24h", "7d", "30d"] = "24h"
    origin: Any = None
    filters: Filters = Filters()
    page: bool = True


def view_of(query: dict[str, str]) -> View:
    """Reads a view from the address of the stream.

    Args:
        query: `window`, `model`, `project`, `client`, `user`; what is absent or empty does not filter.

    Raises:
        BadInputError: There is no such window, or a filter is no name.
    """
    chosen = {name: query[name] for name in ("model", "project", "client", "user") if query.get(name)}
    if any(len(value) > TEXT_MAX_CHARS for value in chosen.values()):
        raise BadInputError("A filter is longer than any name.", tips=["beast dashboard"])
    try:
        return msgspec.convert({"window": query.get("window") or "24h", "filters": chosen}, View)
    except msgspec.ValidationError as error:
        raise BadInputError(f"There is no such view: {error}.", tips=["window is one of 1h, 24h, 7d, 30d"]) from None
