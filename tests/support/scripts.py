"""What the scripted provider's model says: for each script, what comes next in the conversation that it is shown.

A script knows nothing of protocols. `Asked` is the request in neutral words, `Say` and `Fail` are what to do.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

PLAIN = "Bern is the capital of Switzerland, and the Aare flows around it."
DONE = "Done: the file is changed."
THOUGHT = "First I read the file, then I change the word."
CONTINUED = "    return a + b"
WORDS_OF_SLOW = 2000
TASK = re.compile(r"In the file (\S+) change the word (\w+) to (\w+)")

SCRIPTS = """
plain       one answer; JSON where the request names a schema; a call of the tool that it forces
edit        `In the file PATH change the word A to B`: does it with the tools of the agent that asks, then says so
weather     calls the first tool for Bern; after its result says it
parallel    calls the first tool for Bern and for Genève; after both results says them
slow        a word every 20 ms, for a long time
think       thinks aloud first, then goes on as edit
cut         a stream whose connection breaks in the middle
e500 e429 e400 ...   that status; 429 with retry-after
flaky-N     503 for the first N calls, then as plain
busy-N      429 for the first N calls, then as plain
"""


@dataclass
class Asked:
    """A request, in words that belong to no protocol.

    Attributes:
        script: The upstream name of the model.
        prompts: Texts that the user wrote, oldest first.
        tools: JSON schemas of the arguments, by the name of the tool.
        results: What tools gave back since the user's last words, oldest first.
        forced: The tool that must be called.
        schema: The shape that the answer must have.
        calls_before: How many requests for this script came before this one.
    """

    script: str
    prompts: list[str] = field(default_factory=list)
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)
    forced: str | None = None
    schema: dict[str, Any] | None = None
    calls_before: int = 0


@dataclass
class Say:
    """An answer.

    Attributes:
        text: What it says.
        calls: Tools with their arguments.
        pause_s: Between two words of a stream.
        cut: The connection breaks in the middle.
        thought: What it thinks before that.
    """

    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    pause_s: float = 0.0
    cut: bool = False
    thought: str = ""


@dataclass
class Fail:
    """An error.

    Attributes:
        status: HTTP status.
    """

    status: int


def next_step(asked: Asked) -> Say | Fail:
    """Goes on with the script."""
    name, _, number = asked.script.partition(".")[0].partition("-")
    if re.fullmatch(r"e\d{3}", name):
        return Fail(int(name[1:]))
    if name in ("flaky", "busy") and asked.calls_before < int(number):
        return Fail(503 if name == "flaky" else 429)
    return {"edit": edit, "weather": weather, "parallel": weather, "slow": slow, "cut": cut, "think": think}.get(
        name, plain
    )(asked)


def plain(asked: Asked) -> Say:
    """Says its sentence, in the shape that was asked for."""
    if asked.forced:
        return Say(calls=[(asked.forced, instance_of(asked.tools[asked.forced]))])
    if asked.schema:
        return Say(json.dumps(instance_of(asked.schema), ensure_ascii=False))
    return Say(PLAIN)


def slow(asked: Asked) -> Say:
    """Speaks for longer than anyone listens."""
    return Say(" ".join(f"word{i}" for i in range(WORDS_OF_SLOW)), pause_s=0.02)


def cut(asked: Asked) -> Say:
    """Is interrupted."""
    return Say(PLAIN, cut=True)


def weather(asked: Asked) -> Say:
    """Asks for the weather of one town, or of two at once."""
    if asked.results:
        return Say(f"The tools said: {'; '.join(asked.results)}")
    towns = ["Bern", "Genève"] if asked.script.startswith("parallel") else ["Bern"]
    return Say(calls=[(next(iter(asked.tools)), {"city": town}) for town in towns])


def edit(asked: Asked) -> Say:
    """Changes a file the way that the asking agent's tools allow; without tools it shows the changed file."""
    task = next((found for prompt in reversed(asked.prompts) if (found := TASK.search(prompt))), None)
    if task is None:
        return Say(PLAIN)
    path, old, new = task.groups()
    steps = steps_of_an_edit(asked.tools, path, old, new)
    if not asked.tools:
        return Say(f"{path}\n```\n{new} and more\n```\n")
    return Say(calls=[steps[len(asked.results)]]) if len(asked.results) < len(steps) else Say(DONE)


def think(asked: Asked) -> Say:
    """Thinks, then edits."""
    return replace(edit(asked), thought=THOUGHT)


def steps_of_an_edit(tools: dict[str, Any], path: str, old: str, new: str) -> list[tuple[str, dict[str, Any]]]:
    """The calls that change a word in a file, one a turn."""
    if {"Read", "Edit"} <= set(tools):  # Claude Code edits only what it has read
        edit = {"file_path": path, "old_string": old, "new_string": new}
        return [("Read", {"file_path": path}), ("Edit", edit)]
    if {"Read", "MultiEdit"} <= set(tools):  # Continue
        edits = [{"old_string": old, "new_string": new}]
        return [("Read", {"filepath": path}), ("MultiEdit", {"file_path": path, "edits": edits})]
    patch = f"*** Begin Patch\n*** Update File: {path}\n@@\n-{old} and more\n+{new} and more\n*** End Patch\n"
    if "apply_patch" in tools:
        return [("apply_patch", {"input": patch})]
    if "exec_command" in tools:
        return [("exec_command", {"cmd": f"apply_patch <<'EOF'\n{patch}EOF"})]
    return []


def instance_of(schema: dict[str, Any], definitions: dict[str, Any] | None = None) -> Any:
    """Makes a value that fits a JSON schema, as far as SDKs write them."""
    definitions = definitions or schema.get("$defs", {})
    if "$ref" in schema:
        return instance_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("anyOf"):
        return instance_of(schema["anyOf"][0], definitions)
    match schema.get("type"):
        case "object":
            return {name: instance_of(below, definitions) for name, below in schema.get("properties", {}).items()}
        case "array":
            return [instance_of(schema["items"], definitions)]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case _:
            return "Bern"
