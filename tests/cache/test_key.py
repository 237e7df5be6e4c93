"""The cache key: what makes two requests the same one, and what never does."""

from __future__ import annotations

import copy
import random
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.cache.key import TRANSPORT_FIELDS, make_key
from beastmode.core.errors import BadInputError
from beastmode.core.types import Digest, Message, Request

few = settings(deadline=None, max_examples=60)

texts = st.text(max_size=20)
names = st.text(alphabet="abcdefgh_", min_size=1, max_size=8)
small_ints = st.integers(-(2**53) + 1, 2**53 - 1)
scalars = st.none() | st.booleans() | small_ints | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=6)
text_parts = st.fixed_dictionaries({"type": st.just("text"), "text": texts})
image_parts = st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": texts})})
contents = texts | st.lists(text_parts | image_parts, min_size=1, max_size=3)
messages = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=contents)
digests = st.builds(Digest, path=texts, sha256=st.sampled_from(["00", "ff"]))
params = st.dictionaries(names.filter(lambda name: name not in TRANSPORT_FIELDS), values, max_size=3)
requests = st.builds(
    Request,
    model=st.sampled_from(["auto", "custom:a", "openai:b"]),
    messages=st.lists(messages, min_size=1, max_size=3),
    params=params,
    workspace=st.none() | texts,
    user=texts,
    digests=st.lists(digests, max_size=2),
)


def ask(text: str, **fields: Any) -> Request:
    return Request(model="custom:a", messages=[Message(role="user", content=text)], **fields)


def with_params(**params: Any) -> Request:
    return ask("hello", params=params)


def turned_around(value: Any) -> Any:
    """The same value with the fields of every object in the opposite order."""
    if isinstance(value, dict):
        return {name: turned_around(value[name]) for name in reversed(value)}
    return [turned_around(one) for one in value] if isinstance(value, list) else value


def as_floats(value: Any) -> Any:
    """The same value with every whole number written as 1.0."""
    if isinstance(value, dict):
        return {name: as_floats(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_floats(one) for one in value]
    return float(value) if type(value) is int else value


class TestSameRequest:
    @few
    @given(requests)
    def test_an_equal_request_has_an_equal_key(self, request_: Request) -> None:
        assert make_key(request_) == make_key(copy.deepcopy(request_))

    @few
    @given(requests)
    def test_the_order_of_fields_and_the_way_a_number_is_written_say_nothing(self, request_: Request) -> None:
        other = copy.deepcopy(request_)
        other.params = as_floats(turned_around(other.params))
        for message in other.messages:
            message.content = turned_around(message.content)
        assert make_key(request_) == make_key(other)

    @few
    @given(requests, st.sampled_from(sorted(TRANSPORT_FIELDS)), values)
    def test_transport_parameters_do_not_count(self, request_: Request, name: str, value: Any) -> None:
        other = copy.deepcopy(request_)
        other.params[name] = value
        assert make_key(request_) == make_key(other)

    def test_these_are_the_transport_parameters(self) -> None:
        assert {
            "stream",
            "stream_options",
            "store",
            "metadata",
            "client_metadata",
            "prompt_cache_key",
            "safety_identifier",
            "tags",
            "session_id",
            "cache",
        } == TRANSPORT_FIELDS

    def test_numbers_inside_content_parts_are_compared_by_value(self) -> None:
        def request(number: float) -> Request:
            parts = [{"type": "video", "fps": number}, {"type": "text", "text": "What is this?"}]
            return Request(model="auto", messages=[Message(role="user", content=parts)])

        assert make_key(request(2)) == make_key(request(2.0))
        assert make_key(request(2)) != make_key(request(2.5))

    @few
    @given(requests, names)
    def test_a_parameter_that_is_none_is_absent(self, request_: Request, name: str) -> None:
        other = copy.deepcopy(request_)
        other.params[name] = None
        request_.params.pop(name, None)
        assert make_key(request_) == make_key(other)

    def test_how_it_came_and_who_caused_it_does_not_count(self) -> None:
        plain = ask("hello")
        other = ask(
            "hello",
            stream=True,
            cache="refresh",
            origin="warming",
            tags=["a"],
            session_id="s",
            client="http",
            request_id="req_1",
        )
        assert make_key(plain) == make_key(other)

    def test_numbers_inside_tools_and_tool_calls_are_compared_by_value(self) -> None:
        def request(number: float) -> Request:
            call = {"id": "c", "type": "function", "function": {"name": "f"}, "index": number}
            history = [Message(role="assistant", tool_calls=[call]), Message(role="user", content="go on")]
            tools = [{"type": "function", "function": {"name": "f", "parameters": {"minimum": number}}}]
            return Request(model="auto", messages=history, params={"tools": tools})

        assert make_key(request(1)) == make_key(request(1.0))
        assert make_key(request(0)) == make_key(request(-0.0))
        assert make_key(request(1)) != make_key(request(1.5))

    def test_one_part_of_text_is_that_text(self) -> None:
        parts = Message(role="user", content=[{"type": "text", "text": "hello"}])
        assert make_key(Request(model="custom:a", messages=[parts])) == make_key(ask("hello"))


class TestAnotherRequest:
    @few
    @given(requests, requests)
    def test_different_requests_have_different_keys(self, one: Request, other: Request) -> None:
        if make_key(one).exact == make_key(other).exact:
            assert make_key(one).text == make_key(other).text
            assert one.model == other.model
            assert (one.user, one.workspace, one.digests) == (other.user, other.workspace, other.digests)
            assert len(one.messages) == len(other.messages)

    @pytest.mark.parametrize(
        "change",
        [
            lambda r: setattr(r, "model", "custom:b"),
            lambda r: setattr(r, "user", "someone"),
            lambda r: setattr(r, "workspace", "/elsewhere"),
            lambda r: setattr(r, "workspace", ""),
            lambda r: r.digests.append(Digest(path="a", sha256="00")),
            lambda r: r.digests.reverse(),
            lambda r: setattr(r.messages[0], "content", "be rude"),
            lambda r: setattr(r.messages[0], "role", "developer"),
            lambda r: setattr(r.messages[0], "name", "boss"),
            lambda r: r.messages.pop(0),
            lambda r: r.messages.insert(0, Message(role="user", content="")),
            lambda r: setattr(r.messages[-1], "role", "assistant"),
            lambda r: setattr(r.messages[-1], "name", "me"),
            lambda r: setattr(r.messages[-1], "tool_call_id", "t"),
            lambda r: setattr(r.messages[-1], "tool_calls", []),
            lambda r: r.params.update(temperature=0.1),
            lambda r: r.params.update(temperature="0"),
            lambda r: r.params.update(temperature=False),
            lambda r: r.params.update(seed=True),
            lambda r: r.params.update(stop=["b", "a"]),
            lambda r: r.params.update(a_field_of_next_year={}),
            lambda r: r.params.pop("seed"),
        ],
    )
    def test_a_change_of_anything_that_counts_changes_the_scope(self, change: Any) -> None:
        request = Request(
            model="custom:a",
            messages=[Message(role="system", content="be kind"), Message(role="user", content="hello")],
            params={"temperature": 0, "seed": 1, "stop": ["a", "b"]},
            digests=[Digest(path="x", sha256="00"), Digest(path="y", sha256="11")],
        )
        before = make_key(request)
        change(request)
        after = make_key(request)
        assert after.scope != before.scope
        assert after.exact != before.exact

    def test_another_text_changes_the_key_and_not_the_scope(self) -> None:
        one, other = make_key(ask("sort ascending")), make_key(ask("sort descending"))
        assert one.scope == other.scope
        assert one.exact != other.exact

    @few
    @given(params, names, values, values)
    def test_another_value_of_a_parameter_is_another_scope(self, params: Any, name: str, one: Any, other: Any) -> None:
        same = canonical(one) == canonical(other)
        keys = [make_key(ask("x", params={**params, name: value})).scope for value in (one, other)]
        if name not in TRANSPORT_FIELDS:
            assert (keys[0] == keys[1]) == same

    def test_true_is_not_one_and_none_in_a_list_is_not_absent(self) -> None:
        lists: list[list[Any]] = [[1], [True], ["1"], [None], [], [[1]], [1, None], [float("nan")], [float("inf")]]
        assert len({make_key(with_params(x=value)).exact for value in lists}) == len(lists)
        tops = [True, 1, "1", "true", float("nan"), float("inf")]
        assert len({make_key(with_params(x=value)).exact for value in tops}) == len(tops)

    def test_whole_numbers_of_any_size_are_told_apart(self) -> None:
        numbers = [2**53 + 1, 2**53 + 2, 2**64, 2**64 + 1, 10**40, 1e40, -(2**53) - 1, -(2**53), -(2.0**53)]
        assert len({make_key(with_params(seed=number)).exact for number in numbers}) == len(numbers)

    def test_text_can_not_move_between_fields_unnoticed(self) -> None:
        def two(system: str, user: str) -> Request:
            return Request(
                model="m", messages=[Message(role="system", content=system), Message(role="user", content=user)]
            )

        keys = [
            make_key(two("ab", "c")),
            make_key(two("a", "bc")),
            make_key(two('a","c', "b")),
            make_key(ask("abc")),
            make_key(ask("b", user="a")),
            make_key(ask("b", workspace="a")),
        ]
        assert len({key.exact for key in keys}) == len(keys)

    def test_ten_thousand_distinct_requests_have_ten_thousand_keys(self) -> None:
        rng = random.Random(7)
        seen: dict[bytes, bytes] = {}
        for _ in range(10_000):
            request = Request(
                model=rng.choice(["a", "b"]),
                user=rng.choice(["", "u"]),
                workspace=rng.choice([None, "", "w"]),
                params=rng.choice([{}, {"temperature": 0}, {"temperature": 1}, {"n": [1]}, {"n": [True]}]),
                messages=[
                    Message(role=rng.choice(["system", "user"]), content="".join(rng.choices("ab \n", k=3)).strip())
                    for _ in range(rng.randint(1, 3))
                ],
            )
            whole = msgspec.json.encode(request)
            assert seen.setdefault(make_key(request).exact, whole) == whole
        assert len(seen) > 3_000


class TestText:
    def test_blank_space_around_it_and_the_kind_of_line_end_do_not_count(self) -> None:
        assert make_key(ask(" \n\ta\r\nb \u00a0\r\n")) == make_key(ask("a\nb"))
        assert make_key(ask("a\r\nb")).text == "a\nb"

    def test_case_and_inner_space_and_a_lone_carriage_return_count(self) -> None:
        forms = ["say hello", "Say hello", "say  hello", "say\nhello", "say\rhello", "say hello."]
        assert len({make_key(ask(form)).exact for form in forms}) == len(forms)

    def test_composed_and_decomposed_characters_are_the_same(self) -> None:
        assert make_key(ask("Gr\u00f6\u00dfe")) == make_key(ask("Gro\u0308\u00dfe"))

    def test_compatibility_forms_are_not_the_same(self) -> None:
        assert make_key(ask("x\u00b2")) != make_key(ask("x2"))

    @few
    @given(st.text(max_size=50))
    def test_every_normal_form_of_a_text_that_nfc_equates_has_the_same_key(self, text: str) -> None:
        assert make_key(ask(text)) == make_key(ask(unicodedata.normalize("NFD", text)))

    @few
    @given(st.text(max_size=50))
    def test_the_text_of_a_key_is_its_own_key(self, text: str) -> None:
        key = make_key(ask(text))
        assert make_key(ask(key.text)) == key

    def test_lone_surrogates_are_keys_like_any_other(self) -> None:
        forms = ["\ud800", "\udfff", "a\ud800", "\\ud800", "?"]
        assert len({make_key(ask(form)).exact for form in forms}) == len(forms)
        systems = [Message(role="system", content=form) for form in forms]
        last = Message(role="user", content="hello")
        keys = {make_key(Request(model="m", messages=[system, last])).exact for system in systems}
        assert len(keys) == len(forms)

    def test_lone_surrogates_in_any_field_keep_the_rules(self) -> None:
        one = with_params(stop="\ud800", n=1, odd=[float("nan"), {"b": 1, "a": 2}])
        same = with_params(stop="\ud800", odd=[float("nan"), {"a": 2.0, "b": 1.0}], n=1.0)
        other = with_params(stop="\ud800", n=1, odd=[float("inf"), {"b": 1, "a": 2}])
        assert make_key(one) == make_key(same)
        assert make_key(one) != make_key(other)

    def test_a_long_text_is_normalised_too(self) -> None:
        words = "Gr\u00f6\u00dfe und \u65e5\u672c\u8a9e " * 500
        assert make_key(ask(unicodedata.normalize("NFD", words))) == make_key(ask(words))

    def test_endless_combining_marks_do_not_hold_up_the_loop(self) -> None:
        assert make_key(ask("a" + "\u0301\u0316" * 400_000)).exact  # minutes, when they are sorted one by one


class TestLastMessage:
    def test_of_several_parts_the_last_text_is_the_text(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:,x"}}

        def request(first: str, last: str, url: str = "data:,x") -> Request:
            shown = {**image, "image_url": {"url": url}}
            content = [{"type": "text", "text": first}, {"type": "text", "text": last}, shown]
            return Request(model="m", messages=[Message(role="user", content=content)])

        key = make_key(request("look", "what is it?"))
        assert key.text == "what is it?"
        assert make_key(request("look", "who is it?")).scope == key.scope
        assert make_key(request("see", "what is it?")).scope != key.scope
        assert make_key(request("look", "what is it?", "data:,y")).scope != key.scope

    def test_the_place_of_the_text_among_the_parts_counts(self) -> None:
        text, image = {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}
        orders = [[text, image], [image, text], [text], [image], [image, image]]
        keys = [make_key(Request(model="m", messages=[Message(role="user", content=order)])) for order in orders]
        assert len({key.scope for key in keys}) == len(orders)

    def test_a_field_beside_the_text_counts(self) -> None:
        def request(**fields: Any) -> Request:
            return Request(
                model="m", messages=[Message(role="user", content=[{"type": "text", "text": "a", **fields}])]
            )

        assert make_key(request()) != make_key(request(cache_control={"type": "ephemeral"}))

    @pytest.mark.parametrize(
        "last",
        [
            Message(role="tool", content="42", tool_call_id="c"),
            Message(role="assistant", content="Sure, "),
            Message(role="user", content=None),
            Message(role="user", content=[]),
            Message(role="user", content=[{"type": "image_url", "image_url": {"url": "u"}}]),
            Message(role="user", content=[{"type": "text", "text": 7}]),
        ],
    )
    def test_without_a_user_text_at_the_end_everything_counts(self, last: Message) -> None:
        before = [Message(role="user", content="hello")]
        key = make_key(Request(model="m", messages=[*before, last]))
        assert key.text == ""
        assert key.scope != make_key(Request(model="m", messages=before)).scope
        changed = msgspec.structs.replace(last, name="x")
        assert make_key(Request(model="m", messages=[*before, changed])).scope != key.scope

    def test_a_conversation_without_messages_has_a_key(self) -> None:
        assert make_key(Request(model="m", messages=[])).text == ""


class TestATextThatIsWrittenOn:
    def test_counts_to_its_last_blank(self) -> None:
        texts = ["return", "return ", " return", "return\n", "return\r\n", "e\u0301", "\u00e9"]
        keys = [make_key(Request(model="m", messages=[Message("user", text)], kind="completion")) for text in texts]
        assert len({key.exact for key in keys}) == len(texts)
        assert len({key.scope for key in keys}) == 1


class TestModel:
    def test_an_answer_is_found_under_the_model_that_gave_it(self) -> None:
        asked = ask("hello")
        asked.model = "auto"
        assert make_key(asked, "custom:a") == make_key(ask("hello"))
        assert make_key(asked, "custom:a") != make_key(asked)


def test_too_deep_a_request_is_refused_with_a_tip() -> None:
    deep: Any = 1.0
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(BadInputError) as raised:
        make_key(with_params(x=deep))
    assert raised.value.tips


def canonical(value: Any) -> Any:
    """An independent statement of when two parameters are equal."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, (int, float)):
        return ("number", value)
    if isinstance(value, list):
        return ("list", [canonical(one) for one in value])
    return ("object", {name: canonical(one) for name, one in value.items()})
