"""The commands for models: listed, chosen for this editor, registered with a key that nobody sees again."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from beastmode_lsp.models import is_free, is_ready, register_model
from support.lsp_client import LspError
from support.lsp_house import MODEL, House

KEY = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


def test_models_are_listed(house: House) -> None:
    assert [one["id"] for one in house.editor().client.command("beast.models", {})["models"]] == [MODEL]


def test_a_model_is_chosen_for_one_editor_alone(house: House) -> None:
    house.daemon.add("custom:other", f"{house.coder.url}/v1", upstream_model="other", key="sk-test")
    try:
        first, second = house.editor(), house.editor()
        assert first.client.command("beast.selectModel", {"model": "custom:other"}) == {"model": "custom:other"}
        assert first.client.command("beast.chat", {"message": "Hi"})["model"] == "custom:other"
        assert second.client.command("beast.chat", {"message": "Hi"})["model"] == MODEL
        assert first.client.command("beast.chat", {"message": "Hi", "model": MODEL})["model"] == MODEL
        assert first.client.command("beast.selectModel", {"model": ""}) == {"model": ""}
        assert first.client.command("beast.chat", {"message": "Hi"})["model"] == MODEL
    finally:
        house.daemon.call("models.remove", {"id": "custom:other"})


def test_a_model_that_is_not_there_is_not_chosen(house: House) -> None:
    editor = house.editor()
    with pytest.raises(LspError, match=r"There is no model 'custom:none'. Known: custom:mock"):
        editor.client.command("beast.selectModel", {"model": "custom:none"})
    assert editor.client.command("beast.status")["model"] == ""


@pytest.mark.parametrize(("answer", "model"), [({"title": MODEL}, MODEL), ({"title": "auto"}, "auto"), (None, "")])
def test_without_a_name_the_user_is_asked(house: House, answer: Any, model: str) -> None:
    editor = house.editor()
    editor.client.answers["window/showMessageRequest"] = lambda params: answer
    assert editor.client.command("beast.selectModel") == {"model": model}
    (asked,) = editor.client.of("window/showMessageRequest")
    assert [one["title"] for one in asked["actions"]] == ["The daemon's default", "auto", MODEL]


def test_a_model_is_registered_and_its_key_is_nowhere(house: House) -> None:
    editor = house.editor()
    found = editor.client.command(
        "beast.registerModel",
        {
            "id": "custom:mine",
            "base_url": f"{house.coder.url}/v1",
            "key": KEY,
            "upstream_model": "m",
            "price": {"prompt": 1, "completion": 2},
            "test": False,
        },
    )
    assert found["model"]["id"] == "custom:mine"
    assert editor.client.command("beast.selectModel", {"model": "custom:mine"}) == {"model": "custom:mine"}
    house.daemon.call("models.remove", {"id": "custom:mine"})
    assert KEY not in str(editor.client.received)
    for path in house.daemon.home.rglob("*.log"):
        assert KEY not in path.read_text()


def test_a_key_is_not_in_the_error_of_an_endpoint_that_refuses_it(house: House) -> None:
    editor = house.editor()
    with pytest.raises(LspError) as refused:
        editor.client.command(
            "beast.registerModel", {"id": "custom:x", "base_url": "http://127.0.0.1:9/v1", "key": KEY}
        )
    assert refused.value.code == -32803
    assert refused.value.data["kind"] == "connection_refused"
    assert KEY not in str((refused.value.message, refused.value.data))


def test_without_a_form_it_says_what_to_send(house: House) -> None:
    with pytest.raises(LspError) as refused:
        house.editor().client.command("beast.registerModel")
    assert '"base_url"' in refused.value.message
    assert "beast models add" in refused.value.message


async def test_without_a_form_models_of_this_machine_are_offered() -> None:
    added: list[dict[str, Any]] = []
    servers = [{"base_url": "http://127.0.0.1:11434/v1", "kind": "ollama", "models": ["qwen3:8b", "tiny"]}]

    async def call(method: str, params: dict[str, Any]) -> Any:
        if method == "models.discover":
            return {"servers": servers}
        added.append(params)
        return {"model": {"id": params["id"]}}

    async def ask(params: Any) -> Any:
        assert [one.title for one in params.actions] == [
            "qwen3:8b at http://127.0.0.1:11434/v1",
            "tiny at http://127.0.0.1:11434/v1",
        ]
        return params.actions[0]

    session = SimpleNamespace(
        daemon=SimpleNamespace(call=call),
        server=SimpleNamespace(window_show_message_request_async=ask),
        catalogue=SimpleNamespace(renew=lambda: None),
        has_views=True,
    )
    assert (await register_model(cast(Any, session), None))["model"]["id"] == "custom:qwen3-8b"
    assert added == [{"id": "custom:qwen3-8b", "base_url": "http://127.0.0.1:11434/v1", "upstream_model": "qwen3:8b"}]


def a_model(kind: str, price: dict[str, float] | None, state: str) -> dict[str, Any]:
    return {"kind": kind, "deployments": [{"price": price, "state": state}]}


@pytest.mark.parametrize(
    ("model", "free", "ready"),
    [
        (a_model("local", None, "ready"), True, True),
        (a_model("custom", {"prompt": 0, "completion": 0}, "ready"), True, True),
        (a_model("custom", {"prompt": 0, "completion": 1}, "cooling"), False, False),
        (a_model("custom", None, "no_key"), False, False),
        ({"kind": "custom", "deployments": []}, False, False),
    ],
)
def test_what_costs_nothing_and_can_be_asked(model: dict[str, Any], free: bool, ready: bool) -> None:
    assert (is_free(model), is_ready(model)) == (free, ready)
