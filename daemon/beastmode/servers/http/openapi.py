"""`GET /openapi.json`: OpenAPI 3.1, made from the table of routes and the types of their bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:  # the table shows this document itself
    from beastmode.servers.http.routes import Route

JSON = "application/json"
_REQUEST_HEADERS = {
    "x-beast-cache": ("What the cache may do.", {"type": "string", "enum": ["default", "off", "only", "refresh"]}),
    "x-beast-user": ("Who asks; a scope that no stored answer crosses.", {"type": "string", "maxLength": 200}),
    "x-beast-tags": ("Labels for cost reports, separated by commas.", {"type": "string"}),
    "x-beast-project": ("The workspace it is about.", {"type": "string", "maxLength": 200}),
    "x-beast-session-id": ("The session it belongs to.", {"type": "string", "maxLength": 200}),
    "x-beast-max-cost-usd": ("The most that it may cost.", {"type": "number", "minimum": 0}),
}
_ERRORS = {
    "400": "The request is wrong.",
    "401": "The token is missing or wrong, or a provider refused its key.",
    "402": "It would cost more than is allowed.",
    "403": "The Host or the Origin is not of this machine.",
    "404": "There is no such model or path, or nothing is stored.",
    "405": "The path does not take this method.",
    "409": "It needs something that is not there yet.",
    "413": "The request is too large.",
    "415": "The body does not say that it is JSON.",
    "422": "A provider refused the request.",
    "429": "A limit is reached: come again after Retry-After.",
    "431": "The headers are too large.",
    "500": "A fault of the daemon.",
    "502": "The provider failed.",
    "503": "No model can answer now, or the daemon stops.",
    "504": "The provider did not answer in time.",
}


def document(version: str, routes: Sequence[Route]) -> dict[str, Any]:
    """Makes the document.

    Args:
        version: Of this program.
        routes: Every path.
    """
    types = [route.takes for route in routes if route.takes is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    shapes = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shapes)
    return {
        "openapi": "3.1.0",
        "info": {"title": "BEAST MODE", "version": version, "summary": "One local door to every language model"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"bearer": []}, {"key": []}],
    }


def _operation(route: Route, shapes: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_').replace('{', '').replace('}', '')}",
        "responses": {"200": {"description": "The answer."}}
        | {status: {"description": why} for status, why in _ERRORS.items()},
    }
    parameters = []
    if "{id}" in route.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}})
    if route.takes is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": shapes[route.takes]}}}
        if route.path.startswith("/v1/"):
            parameters += [
                {"name": name, "in": "header", "required": False, "description": why, "schema": schema}
                for name, (why, schema) in _REQUEST_HEADERS.items()
            ]
    if parameters:
        found["parameters"] = parameters
    if route.open:
        found["security"] = []
    return found
