"""Trains the verifier of the semantic cache and writes the data file that is shipped.

Run `python -P bench/train_verifier.py [--data FOLDER] [--vectors FILE] [--out FILE]`; a minute with vectors at hand.
Pairs: the development files, kinds drawn by `semcache_kinds`, and neighbours of other clusters. The model is a logistic
regression whose weights may only lower the odds, so that one more difference never makes a pair more alike; what it
says is then calibrated on pairs it was not trained on (folds by base text), and held to the target.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # so that `bench` is found, however this file is run

from beastmode.cache.features import NAMES, far_words, features
from beastmode.cache.guard import Analysis, align, analyse, veto_aligned
from beastmode.cache.verifier import DATA_FILE
from bench.semcache_kinds import Pair, base_texts, drawn_pairs, listed_pairs, read
from bench.semcache_vectors import Vectors

ROOT = Path(__file__).resolve().parents[1]
FLOOR = 0.75
FOLDS = 5
SERVED = 0.95
RIDGE = 0.002
GROUP = 60
Array = np.ndarray[Any, Any]


class Row(NamedTuple):
    """One pair as training sees it."""

    pair: Pair
    values: list[float]
    veto: str | None


def neighbours(data: Path, vectors: Vectors, each: int) -> list[Pair]:
    """Prompts of two clusters of the development stream that lie close: what a lookup meets and must not serve."""
    rows = read(data / "stream_dev.jsonl")
    clusters = {row["text"]: row["cluster"] for row in rows}
    texts = list(clusters)
    vectors.learn(texts)
    matrix = np.stack([vectors[text] for text in texts])
    found = []
    for place, text in enumerate(texts):
        similar = matrix @ matrix[place]
        for other in np.argsort(-similar)[1 : each + 1]:
            if similar[other] < FLOOR or other < place:
                continue
            label = int(clusters[text] == clusters[texts[other]])
            found.append(Pair(text, texts[other], label, "stream-same" if label else "stream-neighbour"))
    return found


def measure(pairs: list[Pair], vectors: Vectors, pieces: bool) -> list[Row]:
    """Lays pairs side by side; those below the floor are never asked about and left out."""
    vectors.learn(text for pair in pairs for text in (pair.a, pair.b))
    known: dict[str, Analysis] = {}
    rows = []
    for pair in pairs:
        similarity = vectors.similarity(pair.a, pair.b)
        if similarity < FLOOR:
            continue
        for text in pair[:2]:
            if text not in known:
                known[text] = analyse(text)
        a, b = known[pair.a], known[pair.b]
        found = align(a, b)
        veto = veto_aligned(a, b, found)
        far = None
        if pieces and found.swaps and veto is None:
            far = far_words(found, vectors.whole(pair.a), vectors.whole(pair.b))
        rows.append(Row(pair, features(found, a, b, similarity, far), veto))
    return rows


def fit(values: Array, labels: Array, weights: Array, steps: int = 4000) -> tuple[float, Array]:
    """Weighted logistic regression by projected gradient with momentum; no feature may raise the odds."""
    scale = np.maximum(np.abs(values).max(axis=0), 1e-9)
    scaled = values / scale
    slopes, intercept = np.full(values.shape[1], 0.5), 2.0
    push, push0 = np.zeros_like(slopes), 0.0
    total = weights.sum()
    for step in range(steps):
        odds = np.clip(intercept - scaled @ slopes, -40, 40)
        error = weights * (1 / (1 + np.exp(-odds)) - labels) / total
        rate = 4.0 * (0.2 + 0.8 * (1 - step / steps))
        push = 0.9 * push - rate * (-(scaled.T @ error) + RIDGE * slopes / len(slopes))
        push0 = 0.9 * push0 - rate * float(error.sum())
        slopes, intercept = np.maximum(0.0, slopes + push), intercept + push0
    return intercept, np.where(scale > 1e-8, slopes / scale, 0.0)


def predict(model: tuple[float, Array], values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(model[0] - values @ model[1], -40, 40))))


class Sizes:
    """How much a pair counts: every kind alike within its label, what guards veto included.

    Args:
        rows: All pairs, vetoed ones among them.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.pairs: dict[str, int] = defaultdict(int)
        for row in rows:
            self.pairs[row.pair.kind] += 1
        self.kinds = [len({row.pair.kind for row in rows if row.pair.label == label}) for label in (0, 1)]

    def importance(self, rows: list[Row]) -> Array:
        return np.array([1.0 / self.pairs[r.pair.kind] / self.kinds[r.pair.label] for r in rows]) * len(rows)


def out_of_fold(rows: list[Row], sizes: Sizes) -> Array:
    """What a model says of pairs whose base texts it has not seen."""
    values, labels = np.array([row.values for row in rows]), np.array([float(row.pair.label) for row in rows])
    weights, found = sizes.importance(rows), np.zeros(len(rows))
    folds = np.array([random.Random(row.pair.a).randrange(FOLDS) for row in rows])
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        found[test] = predict(fit(values[train], labels[train], weights[train]), values[test])
    return found


def calibration(raw: Array, rows: list[Row], sizes: Sizes) -> list[tuple[float, float]]:
    """Isotonic regression (pool adjacent violators) over groups of at least `GROUP` pairs.

    A group's share of right pairs is held down by one pair that might have been wrong, so that few pairs prove little.
    """
    weights = sizes.importance(rows)
    blocks: list[list[float]] = []
    for group in groups_of(raw):
        weight = float(weights[group].sum())
        right = float(sum(weights[place] * rows[place].pair.label for place in group))
        held = (right - weight / len(group)) / weight
        blocks.append([float(raw[group[-1]]), weight, max(0.0, held) * weight])
        while len(blocks) > 1 and blocks[-2][2] / blocks[-2][1] >= blocks[-1][2] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [last[0], blocks[-1][1] + last[1], blocks[-1][2] + last[2]]
    knots = [(round(top, 6), round(min(0.999, right / weight), 4)) for top, weight, right in blocks]
    return [*knots[:-1], (1.0, knots[-1][1])]


def groups_of(raw: Array) -> list[list[int]]:
    """Cuts pairs, least likely first, into groups; pairs of which the same is said stay together."""
    groups: list[list[int]] = [[]]
    for place in np.argsort(raw, kind="stable"):
        if len(groups[-1]) >= GROUP and raw[place] > raw[groups[-1][-1]] + 1e-6:
            groups.append([])
        groups[-1].append(int(place))
    return groups


def bound(wrong: int, total: int) -> float:
    """Upper end of the Wilson interval, 95%."""
    if not total:
        return 1.0
    z, share = 1.96, wrong / total
    middle = share + z * z / 2 / total
    return (middle + z * math.sqrt(share * (1 - share) / total + z * z / 4 / total**2)) / (1 + z * z / total)


def kind_figures(rows: list[Row], confident: Array) -> dict[str, dict[str, Any]]:
    """Share of each kind that is served."""
    found: dict[str, dict[str, Any]] = {}
    for kind in sorted({row.pair.kind for row in rows}):
        chosen = [i for i, row in enumerate(rows) if row.pair.kind == kind]
        served = sum(rows[i].veto is None and confident[i] >= SERVED for i in chosen)
        found[kind] = {
            "label": rows[chosen[0]].pair.label,
            "pairs": len(chosen),
            "served": round(served / len(chosen), 4),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/semcache")
    parser.add_argument("--vectors", type=Path, default=None, help="keep vectors in this .npz between runs")
    parser.add_argument("--out", type=Path, default=ROOT / "daemon/beastmode/cache" / DATA_FILE)
    parser.add_argument("--each", type=int, default=250, help="pairs of each drawn kind")
    parser.add_argument("--pieces", action="store_true", help="compare pieces too (embeds each text anew)")
    options = parser.parse_args()
    vectors = Vectors(options.vectors)
    pairs = listed_pairs(options.data) + neighbours(options.data, vectors, 4)
    pairs += drawn_pairs(base_texts(options.data), options.each, seed=1)
    rows = measure(pairs, vectors, options.pieces)
    asked = [row for row in rows if row.veto is None]
    sizes = Sizes(rows)
    raw = out_of_fold(asked, sizes)
    knots = calibration(raw, asked, sizes)
    confident = np.interp(raw, [0.0] + [k[0] for k in knots], [0.0] + [k[1] for k in knots])
    by_row = dict(zip(map(id, asked), confident, strict=True))
    figures = kind_figures(rows, np.array([by_row.get(id(row), 0.0) for row in rows]))
    model = fit(
        np.array([row.values for row in asked]),
        np.array([float(row.pair.label) for row in asked]),
        sizes.importance(asked),
    )
    wrong = sum(not row.pair.label for row, c in zip(asked, confident, strict=True) if c >= SERVED)
    served = int((confident >= SERVED).sum())
    data: dict[str, Any] = {
        "embedder": "minilm-l6-v2-int8",
        "trained": datetime.date.today().isoformat(),
        "command": "python -P bench/train_verifier.py" + (" --pieces" if options.pieces else ""),
        "features": list(NAMES),
        "intercept": round(model[0], 5),
        "weights": [round(float(weight), 5) for weight in model[1]],
        "knots": knots,
        "metrics": {
            "pairs": len(rows),
            "vetoed": len(rows) - len(asked),
            "served": served,
            "wrong": wrong,
            "wrong_bound": round(bound(wrong, served), 5),
            "kinds": figures,
        },
    }
    options.out.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    for kind, each in figures.items():
        print(f"{kind:36} label {each['label']}  {each['pairs']:5} pairs  served {each['served']:.3f}")
    print(dict(zip(NAMES, data["weights"], strict=True)), data["intercept"])
    print(f"served {served}, wrong {wrong}, bound {bound(wrong, served):.4f}")
    print(knots)


if __name__ == "__main__":
    main()
