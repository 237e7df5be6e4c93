"""A developer's days at an editor, drawn from a seed: what is opened, edited, saved and asked.

`python -P bench/day.py [--seed 1] [--days 1]` prints the steps as JSON lines. It imports nothing of the daemon.

Each seed has its own developer (habits, favourite questions, order of work) and project. A day has a morning with its
questions, threads of work that go on over hours and days (a feature, a bug, reading), lunch, and other people's
branches that are looked at and left again. A fifth to a third of all requests nobody could have known: they are drawn
without regard to what came before.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

sys.path.append(str(Path(__file__).parents[1]))  # so that `bench` is found, however this file is run

from bench.day_code import Function, Project
from bench.day_words import ABOUT_CODE, AFTER_WORK, LOOKED_UP, MORNING, RANDOM, THINGS

Event = Literal["request", "open", "edit", "save", "branch"]
DAY_S, HOUR_S, MINUTE_S = 86_400.0, 3_600.0, 60.0
ACTIONS = ("explain", "docstring", "tests", "fix", "refactor", "ask")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the developer does.

    Attributes:
        at_s: When, in seconds since the midnight before the first day.
        event: `request`: asks a model; `open`, `edit`, `save`: of a file; `branch`: another branch is checked out.
        path: The file, inside the workspace; empty: none (a question about nothing in particular, a branch).
        symbol: The function or class that is meant, or was written.
        action: Of a request: explain, fix, docstring, tests, refactor, ask; `chat`: a question, in `text`.
        text: Of a request: the question or instruction, in the developer's words. Of an edit: all of the file's text
            from now on (unsaved until `save`). Of a branch: its name.
        first_line: Of the symbol in the file's text of now, from 0; -1: none.
        last_line: The last of them.
        diagnostic: Of `fix`: what the language server reports of it; empty: nothing.
        files: Of a branch: the text that each file has now, by path; what it does not name is as it was.
        noise: Nobody could have known that it comes: for tables only, no program may look at it.
    """

    at_s: float
    event: Event
    path: str = ""
    symbol: str = ""
    action: str = ""
    text: str = ""
    first_line: int = -1
    last_line: int = -1
    diagnostic: str = ""
    files: dict[str, str] = field(default_factory=dict)
    noise: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """What a seed gives.

    Attributes:
        seed: The seed.
        files: The workspace at the beginning: text by path.
        steps: What is done, in order of time.
    """

    seed: int
    files: dict[str, str]
    steps: list[Step]


class Habits:
    """How one developer works.

    Args:
        chance: Draws them.
    """

    def __init__(self, chance: random.Random) -> None:
        self.morning = chance.sample(MORNING, 3)
        self.about_code = chance.choice(ABOUT_CODE)
        self.after_work = chance.choice(AFTER_WORK)
        self.after_writing = chance.choice([("docstring", "tests"), ("tests", "docstring"), ("tests",)])
        self.explains = chance.uniform(0.6, 0.9)
        self.keeps_order = chance.uniform(0.85, 0.97)
        self.tests_again = chance.uniform(0.75, 0.95)
        self.asks = chance.uniform(0.15, 0.5)
        self.refactors = chance.uniform(0.05, 0.25)
        self.breaks = chance.uniform(0.2, 0.45)
        self.noise = chance.uniform(0.2, 0.3)


@dataclass
class Thread:
    """A piece of work that goes on, perhaps over days.

    Attributes:
        path: The file.
        symbol: The function.
        near: What has to be understood for it: other functions, by path.
        rounds: How many bouts of typing are still to come.
        new: The function, until it is in the file.
    """

    path: str
    symbol: str
    near: list[tuple[str, str]]
    rounds: int
    new: Function | None = None


class Developer:
    """Draws what one person does, and keeps what the files are.

    Args:
        seed: Draws all of it.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"day {seed}")
        self._habits = Habits(self._chance)
        self._project = Project(self._chance)
        self._popular = list(self._project.modules)
        self._chance.shuffle(self._popular)
        self._threads: list[Thread] = []
        self._open: str = ""
        self._now_s = 0.0
        self.first = self._project.texts()
        self.steps: list[Step] = []

    def live(self, day: int) -> None:
        """One day."""
        chance, start_s = self._chance, day * DAY_S
        self._now_s = start_s + 9 * HOUR_S + chance.uniform(-20, 20) * MINUTE_S
        self._open = ""
        for question in self._habits.morning:
            if chance.random() < 0.85:
                self._chat(question)
        lunch_s = start_s + 12.5 * HOUR_S + chance.uniform(-15, 15) * MINUTE_S
        self._work_until(lunch_s)
        self._now_s = max(self._now_s, lunch_s) + chance.uniform(35, 60) * MINUTE_S
        self._work_until(start_s + 17.3 * HOUR_S + chance.uniform(-20, 20) * MINUTE_S)

    def _work_until(self, end_s: float) -> None:
        while self._now_s < end_s:
            what = self._chance.random()
            if what < 0.72:
                self._go_on(self._chosen_thread())
            elif what < 0.88:
                self._read()
            else:
                self._review()
            self._wait(2, 12, unit_s=MINUTE_S)

    def _chosen_thread(self) -> Thread:
        """Work that was begun is gone on with; now and then something new is begun."""
        if not self._threads or (len(self._threads) < 3 and self._chance.random() < 0.35):
            self._threads.append(self._begin())
        return self._chance.choices(self._threads, [3.0 if one is self._threads[-1] else 1.0 for one in self._threads])[
            0
        ]

    def _begin(self) -> Thread:
        """A feature (a new function) or a change of one that is there."""
        path = self._some_path()
        near = [(place, self._some_symbol(place)) for place in dict.fromkeys((path, self._some_path()))]
        if self._chance.random() < 0.6:
            function = self._project.new_function()
            return Thread(path, function.name, near, self._chance.randint(3, 7), function)
        return Thread(path, self._some_symbol(path), near, self._chance.randint(2, 5))

    def _go_on(self, thread: Thread) -> None:
        """A sitting: look at what is needed, then write, save and ask, once or several times."""
        self._show(thread.path)
        for path, symbol in thread.near:
            if self._chance.random() < self._habits.explains:
                self._show(path)
                self._ask("explain", path, symbol)
        self._show(thread.path)
        for _ in range(min(thread.rounds, self._chance.randint(1, 3))):
            self._round(thread)
            thread.rounds -= 1
        if thread.rounds <= 0:
            self._threads.remove(thread)
            self._chat(self._habits.after_work)

    def _round(self, thread: Thread) -> None:
        """Some typing, and the questions that this person asks after it."""
        habits, path, symbol = self._habits, thread.path, thread.symbol
        if thread.new is not None:
            functions = self._project.modules[path].functions
            functions.insert(self._chance.randint(0, len(functions)), thread.new)
            thread.new = None
        self._type(path, symbol)
        broken = self._chance.random() < habits.breaks
        if broken:
            self._ask("fix", path, symbol, diagnostic=f"Name 'found' is not defined in {symbol}")
            self._answer_is_taken("fix", path, symbol)
        for action in habits.after_writing:
            wanted = habits.tests_again if action == "tests" else habits.keeps_order
            if action == "docstring" and self._project.modules[path].find(symbol).documented:
                wanted = 0.1
            if self._chance.random() < wanted:
                self._ask(action, path, symbol)
                self._answer_is_taken(action, path, symbol)
        if self._chance.random() < habits.asks:
            self._ask("ask", path, symbol, habits.about_code)
        if self._chance.random() < habits.refactors:
            self._ask("refactor", path, symbol)
            self._answer_is_taken("refactor", path, symbol)

    def _read(self) -> None:
        """A file is opened and its functions are looked at, from the top; the same ones as the last time."""
        path = self._some_path()
        self._show(path)
        names = [one.name for one in self._project.modules[path].functions]
        for name in names[: self._chance.randint(1, 3)]:
            if self._chance.random() < self._habits.explains:
                self._ask("explain", path, name)

    def _review(self) -> None:
        """Somebody's branch is looked at: what changed on it is explained, then the own branch is back."""
        own = {path: self._project.modules[path].text() for path in self._project.modules}
        before = {path: [list(one.body) for one in module.functions] for path, module in self._project.modules.items()}
        changed: dict[str, str] = {}
        for path in dict.fromkeys(self._some_path() for _ in range(self._chance.randint(1, 3))):
            changed[path] = self._some_symbol(path)
            self._project.change(self._project.modules[path].find(changed[path]))
        self._step("branch", text=f"review-{len(self.steps)}", files=self._project.texts(changed))
        for path, symbol in changed.items():
            self._show(path)
            self._ask("explain", path, symbol)
        for path in changed:
            for one, body in zip(self._project.modules[path].functions, before[path], strict=True):
                one.body = body
        self._wait(10, 60)
        self._step("branch", text="work", files={path: own[path] for path in changed})
        self._open = ""

    def _some_path(self) -> str:
        """A file; some are worked on far more than others."""
        weights = [1 / (rank + 1) ** 1.2 for rank in range(len(self._popular))]
        return self._chance.choices(self._popular, weights)[0]

    def _some_symbol(self, path: str) -> str:
        return self._chance.choice(self._project.modules[path].functions).name

    def _wait(self, low: float, high: float, unit_s: float = 1.0) -> None:
        self._now_s += self._chance.uniform(low, high) * unit_s

    def _show(self, path: str) -> None:
        if path != self._open:
            self._wait(3, 20)
            self._open = path
            self._step("open", path)

    def _type(self, path: str, symbol: str) -> None:
        """A bout of typing in one function, and the saving of it."""
        function = self._project.modules[path].find(symbol)
        for _ in range(self._chance.randint(1, 4)):
            self._wait(15, 90)
            self._project.change(function)
            self._edited(path, symbol)
        self._wait(1, 8)
        self._step("save", path)

    def _edited(self, path: str, symbol: str) -> None:
        self._step("edit", path, symbol, text=self._project.modules[path].text())

    def _answer_is_taken(self, action: str, path: str, symbol: str) -> None:
        """What the model wrote is mostly put into the file."""
        if self._chance.random() > 0.85:
            return
        self._wait(4, 25)
        function, place, name = self._project.modules[path].find(symbol), path, symbol
        if action == "docstring":
            function.documented = True
        elif action == "tests":
            place, name = self._project.tests_of(path, symbol), f"test_{symbol}"
        else:
            self._project.change(function)
        self._edited(place, name)
        self._wait(1, 4)
        self._step("save", place)

    def _ask(self, action: str, path: str, symbol: str, text: str = "", diagnostic: str = "") -> None:
        self._interrupted()
        self._wait(8, 45)
        self._step("request", path, symbol, action=action, text=text, diagnostic=diagnostic)

    def _chat(self, question: str) -> None:
        self._interrupted()
        self._wait(10, 60)
        self._step("request", action="chat", text=question)

    def _interrupted(self) -> None:
        """Now and then comes a request that has nothing to do with the rest."""
        chance = self._chance
        if chance.random() >= self._habits.noise / (1 - self._habits.noise):
            return
        self._wait(10, 90)
        what = chance.random()
        if what < 0.5:
            a, b = chance.sample(THINGS, 2)
            question = f"{chance.choice(RANDOM).format(a=a, b=b)} ({chance.randint(2, 9)} sentences)"
            self._step("request", action="chat", text=question, noise=True)
        elif what < 0.65:
            weights = [1 / (rank + 1) for rank in range(len(LOOKED_UP))]
            self._step("request", action="chat", text=chance.choices(LOOKED_UP, weights)[0], noise=True)
        else:
            back, path = self._open, chance.choice(self._popular)
            action = chance.choice(ACTIONS)
            self._show(path)
            self._wait(5, 30)
            text = chance.choice(ABOUT_CODE) if action == "ask" else ""
            self._step("request", path, self._some_symbol(path), action=action, text=text, noise=True)
            if back:
                self._show(back)

    def _step(
        self,
        event: Event,
        path: str = "",
        symbol: str = "",
        action: str = "",
        text: str = "",
        diagnostic: str = "",
        files: dict[str, str] | None = None,
        noise: bool = False,
    ) -> None:
        first, last = self._project.modules[path].place(symbol) if symbol else (-1, -1)
        step = Step(self._now_s, event, path, symbol, action, text, first, last, diagnostic, files or {}, noise)
        self.steps.append(step)


def draw(seed: int, days: int = 1) -> Day:
    """Draws some days of one developer.

    Args:
        seed: Draws the developer, the project and all that happens.
        days: How many, the first one new to the project.
    """
    developer = Developer(seed)
    for day in range(days):
        developer.live(day)
    return Day(seed, developer.first, developer.steps)


def main(words: Sequence[str] | None = None) -> None:
    """Prints days as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=1)
    asked = parser.parse_args(words)
    for step in draw(asked.seed, asked.days).steps:
        print(json.dumps(asdict(step)))


if __name__ == "__main__":
    main()
