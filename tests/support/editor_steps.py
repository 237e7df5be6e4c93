"""What every editor's scripted session must have seen, whichever editor it was: shared by the tests of each."""

from __future__ import annotations

from support.editor_stage import MODEL, Played

DOCUMENTED = 'def add(a, b):\n    """Written by a model."""\n    result = a + b\n    return result\n'
MENDED = "def mul(a, b):\n    return a * b\n"
REFACTORED = 'def add(a, b):\n    """Written by a model."""\n    total = a + b\n    return total\n'
REQUEST_FAILED = -32803
CANCELLED = -32800


def menu_called_no_model(played: Played) -> None:
    """Opening the menu of code actions costs nothing."""
    titles = played["menu"]["titles"]
    assert {"BEAST: Explain", "BEAST: Refactor", "BEAST: Write docstring", "BEAST: Write tests"} <= set(titles)
    assert all(title.startswith("BEAST: ") for title in titles)
    assert ["BEAST: Fix “Undefined name c”", "quickfix"] in played["menu"]["wrong"]
    assert played.calls_at("menu") == 0


def actions_were_resolved_and_applied(played: Played) -> None:
    """Each code action asked the model once, and what it wrote is in the document."""
    assert played["docstring"]["text"].startswith(DOCUMENTED)
    assert "a * c" in played["docstring"]["text"]
    assert played["fix"]["text"].rstrip("\n") == f"{DOCUMENTED}\n\n{MENDED}".rstrip("\n")
    assert (played.calls_at("docstring"), played.calls_at("fix")) == (1, 2)


def command_edited(played: Played) -> None:
    """A command has the editor apply its edit."""
    assert played["command"]["text"].rstrip("\n") == f"{REFACTORED}\n\n{MENDED}".rstrip("\n")


def preview_waited_for_the_person(played: Played) -> None:
    """Nothing is applied before the person says so."""
    assert played["preview"]["before"] == played["command"]["text"]
    documented = MENDED.replace("b):\n", 'b):\n    """Written by a model."""\n')
    assert played["preview"]["text"].rstrip("\n") == f"{REFACTORED}\n\n{documented}".rstrip("\n")


def cancel_reached_the_provider(played: Played) -> None:
    """The provider was hung up on, and the ledger says cancelled; so it says of what the restart cut off."""
    pairs = zip(played.prompts, played.endings, strict=True)
    assert [ending for prompt, ending in pairs if "slowly" in prompt] == ["left", "left"]
    assert [row["outcome"] for row in played.rows].count("cancelled") == 2


def restart_kept_the_document(played: Played) -> None:
    """After a restart the server knows the text that was never saved."""
    assert played["restart"]["text"] == "You said: And after the restart"
    (prompt,) = [prompt for prompt in played.prompts if "And after the restart" in prompt]
    assert "# not saved yet" in prompt


def costs_are_told(played: Played, client: str) -> None:
    """The ledger knows the editor, and what each answer cost."""
    assert {row["client"] for row in played.rows} == {client}
    assert {row["model"] for row in played.rows} == {MODEL}
    hits = [row for row in played.rows if row["cache"]["result"] == "hit_exact"]
    assert [(row["cost_usd"], row["outcome"]) for row in hits] == [(0, "success")]
    assert all(row["cost_usd"] for row in played.rows if row["outcome"] == "success" and row not in hits)
