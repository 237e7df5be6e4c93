"""The shipped price table: it says what genai-prices says, in a fraction of the time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beastmode.core.deployments import Price
from beastmode.core.types import Usage
from beastmode.costs import build_prices
from beastmode.costs.prices import cost_usd
from beastmode.costs.tariffs import SHIPPED, ProviderTariffs, Tariff, Tariffs, in_force

MODES: dict[str, list[dict[str, str]]] = {
    "batch": [{"processing": "batch"}],
    "flex": [{"service_tier": "flex"}],
    "priority": [{"service_tier": "priority"}],
    "fast": [{"service_tier": "fast"}, {"speed": "fast"}],
}


def at_now(several: list[Tariff], now: datetime) -> Tariff:
    return in_force(several, now.timestamp(), lambda one: one)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestShipped:
    def test_it_is_small_and_says_where_it_is_from(self) -> None:
        assert SHIPPED.stat().st_size < 200_000
        table = Tariffs()
        assert table.source.startswith("genai-prices ")
        assert datetime.fromisoformat(table.date).year >= 2026

    def test_it_agrees_with_its_source_on_every_name_it_knows(self) -> None:
        genai = pytest.importorskip("genai_prices.types", reason="needs the extra dev")
        from genai_prices.data import providers

        table = Tariffs()
        now = datetime.fromisoformat(table.date).replace(tzinfo=UTC)
        known = 0
        for provider in providers:
            for name in {name for model in provider.models for name in (model.id, *_names(model.match))}:
                tariff = table.find(provider.id, name, now.timestamp())
                if tariff is None:
                    continue
                known += 1
                theirs = provider.find_model(name, all_providers=providers)
                assert theirs is not None, (provider.id, name)
                contexts = [(tariff, None), *((at_now(one, now), MODES[mode]) for mode, one in tariff.modes.items())]
                for (valid, context), prompt in itertools.product(contexts, (1_000, 200_000, 1_200_000)):
                    answer = 0 if len(valid.usd) < 2 or valid.usd[1] is None else 100
                    usage = {"input_tokens": prompt, "cache_read_tokens": 300, "cache_write_tokens": 200}
                    counted = genai.Usage(output_tokens=answer, cache_write_1h_tokens=50, **usage)
                    prices = [theirs.get_prices(now, one) for one in context or [None]]
                    want = {float(one.calc_price(counted)["total_price"]) for one in prices}
                    got = cost_usd(Price(*valid.rates(prompt)), Usage(prompt, answer, 300, 200), written_1h_tokens=50)
                    assert any(got == pytest.approx(one, abs=1e-8) for one in want), (provider.id, name, context)
        assert known > 2_000

    def test_the_script_makes_the_shipped_file(self, tmp_path: Path) -> None:
        pytest.importorskip("genai_prices", reason="needs the extra dev")
        table = Tariffs()
        made = tmp_path / "prices.json"
        build_prices.main(["--date", table.date, "--out", str(made)])
        if Tariffs(made).source == table.source:
            assert made.read_text() == SHIPPED.read_text()
        else:
            assert json.loads(made.read_text())["providers"].keys()

    def test_a_date_without_hyphens_finds_the_model_of_that_date(self) -> None:
        table = Tariffs()
        assert table.find("openai", "gpt-4o-20240513", 1.8e9) == table.find("openai", "gpt-4o-2024-05-13", 1.8e9)
        assert table.find("openai", "gpt-4o-2024-05-13", 1.8e9) != table.find("openai", "gpt-4o", 1.8e9)

    def test_case_does_not_matter(self) -> None:
        assert Tariffs().find("openai", "GPT-4o", 1.8e9) == Tariffs().find("openai", "gpt-4o", 1.8e9)

    def test_a_provider_may_sell_anothers_models(self) -> None:
        assert Tariffs().find("azure", "gpt-4o", 1.8e9) is not None

    def test_a_model_that_is_charged_for_more_than_tokens_is_unknown(self) -> None:
        assert Tariffs().find("perplexity", "sonar-deep-research", 1.8e9) is None

    def test_unknown_names_are_unknown(self) -> None:
        table = Tariffs()
        assert table.find("openai", "no-such-model", 1.8e9) is None
        assert table.find("nobody", "gpt-4o", 1.8e9) is None

    def test_an_endpoint_tells_its_provider(self) -> None:
        table = Tariffs()
        assert table.provider_at("https://api.anthropic.com") == "anthropic"
        assert table.provider_at("http://127.0.0.1:11434/v1") is None
        assert table.provider_at("https://example.com/?u=https://api.anthropic.com") is None


def _names(clause: Any) -> Iterator[str]:
    if hasattr(clause, "or_"):
        for one in clause.or_:
            yield from _names(one)
    elif not hasattr(clause, "and_") and not hasattr(clause, "regex"):
        yield from vars(clause).values()


class TestTariff:
    def test_a_tier_begins_above_its_number_and_holds_for_all_tokens(self) -> None:
        tariff = Tariff(usd=(1.0, 2.0), over=[(100, (3.0, 4.0)), (200, (5.0, 6.0))])
        assert [tariff.rates(tokens)[0] for tokens in (0, 100, 101, 200, 201)] == [1.0, 1.0, 3.0, 3.0, 5.0]

    def test_a_tariff_begins_on_its_day(self) -> None:
        tariff = Tariff(usd=(1.0, 2.0), since="2026-11-20")
        assert not tariff.in_force(at("2026-11-19T23:59:59"))
        assert tariff.in_force(at("2026-11-20T00:00:00"))

    @pytest.mark.parametrize(
        ("hours", "time", "holds"),
        [
            (("08:00:00", "16:30:00"), "08:00:00", True),
            (("08:00:00", "16:30:00"), "16:30:00", False),
            (("16:30:00", "00:30:00"), "23:00:00", True),
            (("16:30:00", "00:30:00"), "00:29:59", True),
            (("16:30:00", "00:30:00"), "00:30:00", False),
        ],
    )
    def test_hours_may_run_over_midnight(self, hours: tuple[str, str], time: str, holds: bool) -> None:
        assert Tariff(usd=(1.0, 2.0), hours=hours).in_force(at(f"2026-11-20T{time}")) is holds

    def test_the_last_one_in_force_counts_and_else_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.json"
        tariffs = [{"usd": [1, 1]}, {"usd": [2, 2], "hours": ["01:00:00", "02:00:00"]}]
        later = [{"usd": [3, 3], "since": "2099-01-01"}]
        provider = {"exact": {"m": 0, "later": 1}, "rules": [], "tariffs": [tariffs, later]}
        path.write_text(json.dumps({"source": "s", "date": "d", "urls": {}, "providers": {"p": provider}}))
        table = Tariffs(path)
        found = [table.find("p", "m", at(f"2026-11-20T{time}").timestamp()) for time in ("01:30:00", "03:00:00")]
        assert [tariff and tariff.usd[0] for tariff in found] == [2, 1]
        future = table.find("p", "later", at("2026-11-20T00:00:00").timestamp())
        assert future is not None
        assert future.usd == (3, 3)


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        ("^gpt", "gpt-4", "my-gpt"),
        ("$mini", "gpt-mini", "mini-gpt"),
        ("*claude", "a-claude-b", "cloud"),
        ("=exact", "exact", "exactly"),
        ("~^o[13]$", "o3", "o30"),
        (["^a", "$z"], "a-z", "a-y"),
    ],
)
def test_rules_match_names(rule: str | list[str], yes: str, no: str) -> None:
    known = ProviderTariffs(exact={}, rules=[(rule, 0)], tariffs=[[Tariff(usd=(1.0, 1.0))]])
    assert known.find(yes)
    assert known.find(no) is None


def test_a_clause_that_can_not_be_flattened_is_refused() -> None:
    either = SimpleNamespace(or_=[SimpleNamespace(equals="a"), SimpleNamespace(equals="b")])
    with pytest.raises(ValueError, match="not flat"):
        build_prices.leaves(SimpleNamespace(and_=[either, SimpleNamespace(equals="c")]))
