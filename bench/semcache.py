"""The semantic cache against others, on streams: hit rate, wrong hits and their bound, cost of steps, unseen kinds.

Run `python -P bench/semcache.py [--data FOLDER] [--vectors FILE] [--json FILE]`. It replays the development stream, a
Zipf 0.5 stream and one without any exact repeat (half of it near-duplicates that want another answer), storing each
text's cluster as its answer. A hit whose answer is another cluster is wrong. Writes `semcache.json` and `semcache.svg`.

GPTCache's rule: score = 4 - squared distance of unit vectors, served from 0.8 of the greatest score (its defaults).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # so that `bench` is found, however this file is run

from beastmode.cache.features import NAMES, features
from beastmode.cache.guard import Analysis, align, analyse, veto_aligned
from beastmode.cache.verifier import Model, Verifier
from bench.semcache_kinds import base_texts, drawn_pairs, listed_pairs, read
from bench.semcache_picture import picture
from bench.semcache_vectors import Vectors
from bench.train_verifier import FLOOR, ROOT, SERVED, Sizes, bound, fit, measure

NEIGHBOURS = 8
Request = tuple[str, str]
Decide = Callable[["Prompt", "Prompt", float], float]


class Prompt(NamedTuple):
    """A text as a cache holds it."""

    text: str
    analysis: Analysis


class Policy(NamedTuple):
    """A rule that says how sure it is that an answer may be served."""

    name: str
    floor: float
    decide: Decide


def clusters(data: Path) -> dict[str, list[str]]:
    """Texts that want one answer, by cluster: pairs of label 1 are joined, those of label 0 stay apart."""
    head: dict[str, str] = {}

    def top(text: str) -> str:
        while head.setdefault(text, text) != text:
            text = head[text]
        return text

    for pair in listed_pairs(data):
        one, other = top(pair.a), top(pair.b)
        if pair.label and one != other:
            head[other] = one
    found: dict[str, list[str]] = defaultdict(list)
    for text in head:
        found[top(text)].append(text)
    return found


def zipf_stream(groups: dict[str, list[str]], exponent: float, length: int, seed: int) -> list[Request]:
    draw = random.Random(seed)
    names = sorted(groups)
    draw.shuffle(names)
    weights = [1 / (place + 1) ** exponent for place in range(len(names))]
    return [(draw.choice(groups[name]), name) for name in draw.choices(names, weights, k=length)]


def stream_without_repeats(data: Path, groups: dict[str, list[str]], length: int, seed: int) -> list[Request]:
    """Half texts of clusters with more than one wording, half near-duplicates, one of each cluster that is in it."""
    draw = random.Random(seed)
    names = [name for name in sorted(groups) if len(groups[name]) > 1]
    draw.shuffle(names)
    plain = [(text, name) for name in names for text in draw.sample(groups[name], min(3, len(groups[name])))]
    del plain[length // 2 :]
    inside = {text for text, _ in plain}
    pairs = [pair for pair in listed_pairs(data) if not pair.label and pair.a in inside]
    pairs += [pair for pair in drawn_pairs(sorted(inside), 60, seed) if not pair.label and pair.a in inside]
    home = dict(plain)
    twins = {home[pair.a]: pair.b for pair in draw.sample(pairs, len(pairs)) if pair.b not in inside}
    both = plain + [(text, f"twin:{text}") for text in list(twins.values())[: length // 2]]
    draw.shuffle(both)
    return both


class Cache:
    """A cache of one scope that serves by a policy."""

    def __init__(self, policy: Policy, vectors: Vectors, size: int) -> None:
        self.policy, self.vectors = policy, vectors
        self.matrix = np.zeros((size, 384), np.float32)
        self.prompts: list[Prompt] = []
        self.answers: dict[str, str] = {}

    def lookup(self, prompt: Prompt, threshold: float) -> tuple[str, str] | None:
        """Returns how it hit and the answer."""
        if prompt.text in self.answers:
            return "exact", self.answers[prompt.text]
        if not self.prompts or self.policy.floor > 1:
            return None
        similar = self.matrix[: len(self.prompts)] @ self.vectors[prompt.text]
        for place in np.argsort(-similar)[:NEIGHBOURS]:
            if similar[place] < self.policy.floor:
                return None
            if self.policy.decide(self.prompts[place], prompt, float(similar[place])) >= threshold:
                return "semantic", self.answers[self.prompts[place].text]
        return None

    def put(self, prompt: Prompt, answer: str) -> None:
        self.matrix[len(self.prompts)] = self.vectors[prompt.text]
        self.prompts.append(prompt)
        self.answers[prompt.text] = answer


def replay(
    stream: Sequence[Request], policy: Policy, vectors: Vectors, known: dict[str, Prompt], threshold: float
) -> dict[str, Any]:
    cache = Cache(policy, vectors, len(stream))
    exact = semantic = wrong = possible = 0
    seen: set[str] = set()
    examples = []
    for text, cluster in stream:
        possible += cluster in seen
        seen.add(cluster)
        hit = cache.lookup(known[text], threshold)
        if hit is None:
            cache.put(known[text], cluster)
            continue
        exact, semantic = exact + (hit[0] == "exact"), semantic + (hit[0] == "semantic")
        if hit[1] != cluster:
            wrong += 1
            examples.append((text, hit[1]))
    hits = exact + semantic
    return {
        "requests": len(stream),
        "possible": round(possible / len(stream), 4),
        "hit_rate": round(hits / len(stream), 4),
        "exact": round(exact / len(stream), 4),
        "semantic": round(semantic / len(stream), 4),
        "wrong": wrong,
        "wrong_per_hit": round(wrong / hits, 5) if hits else None,
        "wrong_bound": round(bound(wrong, hits), 5) if hits else None,
        "wrong_per_request": round(wrong / len(stream), 5),
        "examples": examples[:10],
    }


def policies(verifier: Verifier, vectors: Vectors) -> list[Policy]:
    def judged(a: Prompt, b: Prompt, similarity: float, guards: bool, learned: bool, pieces: bool) -> float:
        found = align(a.analysis, b.analysis)
        if guards and veto_aligned(a.analysis, b.analysis, found):
            return 0.0
        if not learned:
            return similarity
        ends = (vectors.whole(a.text), vectors.whole(b.text)) if pieces and found.swaps else (None, None)
        return verifier.confidence(a.analysis, b.analysis, similarity, *ends, alignment=found)

    return [
        Policy("exact only", 2.0, lambda a, b, s: 0.0),
        Policy("cosine 0.95", 0.95, lambda a, b, s: s),
        Policy("GPTCache's rule", 0.6, lambda a, b, s: 1.0 if 4 - (2 - 2 * s) >= 0.8 * 4 else 0.0),
        Policy("ours", FLOOR, lambda a, b, s: judged(a, b, s, True, True, True)),
        Policy("ours, no token level", FLOOR, lambda a, b, s: judged(a, b, s, True, True, False)),
        Policy("ours, no guards", FLOOR, lambda a, b, s: judged(a, b, s, False, True, False)),
        Policy("ours, no verifier", FLOOR, lambda a, b, s: judged(a, b, s, True, False, False)),
    ]


def steps_us(stream: Sequence[Request], vectors: Vectors, verifier: Verifier) -> dict[str, float]:
    """Median cost of each step on the stream's own texts, in microseconds."""
    texts = list(dict.fromkeys(text for text, _ in stream))[:400]
    pairs = list(pairwise(texts))
    matrix = np.stack([vectors[text] for text, _ in stream])
    analyses = {text: analyse(text) for text in texts}
    laid = [(analyses[a], analyses[b], align(analyses[a], analyses[b])) for a, b in pairs]
    values = [features(found, a, b, 0.9) for a, b, found in laid]

    def median(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
        spent = []
        for item in items:
            started_s = time.perf_counter()
            work(item)
            spent.append(time.perf_counter() - started_s)
        return round(float(np.median(spent)) * 1e6, 1)

    return {
        "embed": median(vectors.whole, texts[:100]),
        f"neighbours among {len(matrix)}": median(lambda text: np.argsort(-(matrix @ vectors[text]))[:8], texts),
        "analyse a prompt": median(analyse, texts),
        "align a pair": median(lambda pair: align(analyses[pair[0]], analyses[pair[1]]), pairs),
        "guards": median(lambda item: veto_aligned(*item), laid),
        "features": median(lambda item: features(item[2], item[0], item[1], 0.9), laid),
        "verifier": median(verifier.judge, values),
    }


def unseen_kinds(data: Path, vectors: Vectors, each: int) -> dict[str, dict[str, Any]]:
    """What is served of each kind that wants another answer, when the verifier was not trained on it.

    `guards_off` is the harder half: neither guards nor training know the kind.
    """
    pairs = [*listed_pairs(data), *drawn_pairs(base_texts(data), each, seed=2)]
    rows = measure(pairs, vectors, pieces=False)
    sizes = Sizes(rows)
    found = {}
    for kind in sorted({row.pair.kind for row in rows if not row.pair.label}):
        rest = [row for row in rows if row.pair.kind != kind]
        chosen = [row for row in rows if row.pair.kind == kind]
        served = {}
        for name, train in (("guards_on", [r for r in rest if r.veto is None]), ("guards_off", rest)):
            model = retrained(train, sizes)
            asked = [row for row in chosen if name == "guards_off" or row.veto is None]
            served[name] = sum(model.judge(row.values) >= SERVED for row in asked) / len(chosen)
        found[kind] = {"pairs": len(chosen), **{name: round(share, 4) for name, share in served.items()}}
    return found


def retrained(rows: list[Any], sizes: Sizes) -> Verifier:
    values, labels = np.array([row.values for row in rows]), np.array([float(row.pair.label) for row in rows])
    intercept, weights = fit(values, labels, sizes.importance(rows), steps=1000)
    return Verifier(
        Model(
            embedder="",
            trained="",
            command="",
            features=list(NAMES),
            intercept=intercept,
            weights=[float(weight) for weight in weights],
            knots=[(1.0, 1.0)],
            metrics={},
        )
    )


def show(name: str, table: dict[str, dict[str, Any]]) -> None:
    first = next(iter(table.values()))
    print(f"\n{name}: {first['requests']} requests, at most {first['possible']:.3f} could hit")
    print(f"  {'':24}{'hit rate':>9}{'semantic':>9}{'wrong':>7}{'w/hits':>9}{'bound':>8}{'w/req':>8}")
    for policy, row in table.items():
        figures = [row["wrong_per_hit"] or 0.0, row["wrong_bound"] or 0.0, row["wrong_per_request"]]
        print(
            f"  {policy:24}{row['hit_rate']:9.4f}{row['semantic']:9.4f}{row['wrong']:7}"
            + f"{figures[0]:9.4f}{figures[1]:8.4f}{figures[2]:8.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/semcache")
    parser.add_argument("--vectors", type=Path, default=None, help="keep vectors in this .npz between runs")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "bench/results/semcache.json", help="the picture lies beside"
    )
    parser.add_argument("--length", type=int, default=6000, help="requests in a drawn stream")
    parser.add_argument("--kinds", type=int, default=150, help="pairs of each drawn kind; 0 leaves them out")
    options = parser.parse_args()
    vectors, verifier = Vectors(options.vectors), Verifier.load()
    groups = clusters(options.data)
    streams = {
        "development, Zipf 0.9": [(row["text"], row["cluster"]) for row in read(options.data / "stream_dev.jsonl")],
        "drawn, Zipf 0.5": zipf_stream(groups, 0.5, options.length, seed=5),
        "no repeats, half twins": stream_without_repeats(options.data, groups, options.length // 2, seed=6),
    }
    result: dict[str, Any] = {"threshold": SERVED, "streams": {}}
    for name, stream in streams.items():
        vectors.learn(text for text, _ in stream)
        known = {text: Prompt(text, analyse(text)) for text, _ in stream}
        rules = policies(verifier, vectors)
        table = {
            rule.name: replay(stream, rule, vectors, known, SERVED if rule.floor == FLOOR else 0.0) for rule in rules
        }
        result["streams"][name] = table
        show(name, table)
    result["steps_us"] = steps_us(streams["development, Zipf 0.9"], vectors, verifier)
    print("\nmedian cost of each step, us:", result["steps_us"])
    if options.kinds:
        result["unseen_kinds"] = unseen_kinds(options.data, vectors, options.kinds)
        print(f"\nserved of kinds the verifier was not trained on:\n{'':30}{'pairs':>6}{'guards on':>11}{'off':>9}")
        for kind, row in result["unseen_kinds"].items():
            print(f"  {kind:28}{row['pairs']:6}{row['guards_on']:11.4f}{row['guards_off']:9.4f}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    options.json.with_suffix(".svg").write_text(picture(result["streams"]), encoding="utf-8")
    print(f"\nwritten: {options.json} and {options.json.with_suffix('.svg').name}")


if __name__ == "__main__":
    main()
