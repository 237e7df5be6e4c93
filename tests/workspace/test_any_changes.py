"""Whatever happens in a workspace, looking at the folders where it happened finds what a whole new look would find."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from support.reader import Reading

PLACES = ["", "a/", "b/", "a/a/", "a/b/", "a/a/b/"]
NAMES = ["x.py", "y.log", ".gitignore", ".beastignore", "a", "b", ".env"]
TEXTS = ["x = 1\n", "*.log\n", "a/\n", "!a/\nb\n", "*\n!*.py\n", "", "\0", "AKIA" + "A1B2C3D4E5F6G7H8\n"]

Step = tuple[str, str, str, str]
WRITE = st.tuples(st.just("write"), st.sampled_from(PLACES), st.sampled_from(NAMES), st.sampled_from(TEXTS))
REMOVE = st.tuples(st.just("remove"), st.sampled_from(PLACES), st.sampled_from(NAMES), st.just(""))
LINK = st.tuples(st.just("link"), st.sampled_from(PLACES), st.sampled_from(NAMES), st.sampled_from(PLACES))
MOVE = st.tuples(st.just("move"), st.sampled_from(PLACES), st.sampled_from(NAMES), st.sampled_from(PLACES))
STEPS = st.lists(st.lists(st.one_of(WRITE, WRITE, REMOVE, LINK, MOVE), min_size=1, max_size=4), max_size=8)


def do(root: Path, step: Step) -> set[str]:
    """Changes something; returns the folders that a watcher would name."""
    verb, place, name, more = step
    thing = root / place / name
    touched = {place}
    try:
        if verb == "write":
            thing.parent.mkdir(parents=True, exist_ok=True)
            thing.write_text(more)
        elif verb == "remove" and thing.is_dir() and not thing.is_symlink():
            shutil.rmtree(thing)
        elif verb == "remove":
            thing.unlink()
        elif verb == "link":
            thing.symlink_to(root / more)
        else:
            thing.rename(root / more / f"moved-{name}")
            touched.add(more)
    except OSError:  # it can not be done as things are
        pass
    above = [place[: at + 1] for at, sign in enumerate(place) if sign == "/"]
    return touched | {"", *above}


@contextmanager
def folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="bt-any-"))
    (place / "project").mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_a_look_at_what_changed_is_as_good_as_a_look_at_everything(
    steps: list[list[tuple[str, str, str, str]]],
) -> None:
    with folder() as place:
        root = place / "project"
        followed = Reading(root, place / "followed.db")
        followed.scan()
        for number, together in enumerate(steps):
            before = followed.catalogue.known()
            touched = set().union(*(do(root, step) for step in together))
            changed = followed.look(*touched)
            fresh = Reading(root, place / f"fresh{number}.db")
            fresh.scan()
            after, expected = followed.catalogue.known(), fresh.catalogue.known()
            fresh.catalogue.close()
            assert {path: one[4] for path, one in after.items()} == {path: one[4] for path, one in expected.items()}
            assert followed.left_out == fresh.left_out
            assert followed.scanning.places.keys() == fresh.scanning.places.keys()
            assert followed.scanning.files == len(after)
            other = {path for path in {*before, *after} if before.get(path, "")[4:] != after.get(path, "")[4:]}
            assert set(changed) >= other
        followed.catalogue.close()
