"""Guards: which differences between two prompts forbid to answer one with the other's answer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.cache.guard import Analysis, align, analyse, difference, veto, veto_analysed

VETOED = [
    ("number", "Round to 2 decimal places", "Round to 3 decimal places"),
    ("number", "Find the second largest number", "Find the third largest number"),
    ("number", "Find the median of three numbers", "Find the median of four numbers"),
    ("number", "Find users created before 2020-01-01", "Find users created before 2021-01-01"),
    ("number", "Find the sum of cubes", "Find the sum of cubes twice"),
    ("negation", "Show files owned by root", "Show files not owned by root"),
    ("negation", "Remove all empty lines", "Remove all non-empty lines"),
    ("negation", "List all files that contain tabs", "List all files that don't contain tabs"),
    ("negation", "Exit vim", "Exit vim without saving"),
    ("opposite", "Sort the list in ascending order", "Sort the list in descending order"),
    ("opposite", "Find the maximum of a list", "Find the minimum of a list"),
    ("opposite", "Write a function to parse dates", "Read a function to parse dates"),
    ("opposite", "Show staged changes", "Show unstaged changes"),
    ("opposite", "Find all files in the folder", "Find all directories in the folder"),
    ("language", "Write a function in Python to add two numbers", "Write a function in Java to add two numbers"),
    ("language", "Explain async in JavaScript", "Explain async in Rust"),
    ("library", "Read a CSV with pandas", "Read a CSV with polars"),
    ("database", "List all tables in MySQL", "List all tables in SQLite"),
    ("format", "Print the result as JSON", "Print the result as YAML"),
    ("type", "Write a function to reverse a string", "Write a function to reverse a tuple"),
    ("quoted", "Search for 'foo' in all files", "Search for 'bar' in all files"),
    ("quoted", "Rename it to `Report.txt` in the archive", "Rename it to `report.txt` in the archive"),
    ("path", "Delete everything below /tmp/a", "Delete everything below /tmp/b"),
    ("path", "Find all *.c files", "Find all *.h files"),
    ("identifier", "Explain the class UserStore", "Explain the class UserCache"),
    ("identifier", "What does parse_args do", "What does parse_known_args do"),
    ("flag", "Explain grep -v in scripts", "Explain grep -i in scripts"),
    ("url", "Download https://example.com/a", "Download https://example.com/b"),
    ("code_block", "Explain:\n```\nx = 1\n```", "Explain:\n```\nx = 2\n```"),
    ("order", "Convert a string to a list", "Convert a list to a string"),
    ("order", "Merge branch dev into main", "Merge branch main into dev"),
    ("order", "Sort by name then by age", "Sort by age then by name"),
    ("order", "Copy the files from alpha to beta", "Copy the files to alpha from beta"),
    ("order", "Open the list and copy lines to it", "Open the list and copy lines from it"),
    ("order", "Subtract a from b", "Subtract b from a"),
    ("order", "Check whether an element exists within a tuple", "Check whether an element within exists a tuple"),
    ("order", "Read the file through a buffer", "Read through the file a buffer"),
    ("order", "List folders below the other directories", "List directories below the other folders"),
    ("order", "Print all processes of a child process", "Print all process of a child processes"),
    ("and_or", "Find files with a tab and a space", "Find files with a tab or a space"),
    ("unit", "List files larger than 10 MB", "List files larger than 10 GB"),
    ("unit", "Set the timeout to 5s", "Set the timeout to 5ms"),
    ("quantifier", "Check whether all values are prime", "Check whether any values are prime"),
    ("quantifier", "List directories", "List only directories"),
    ("quantifier", "Print every second line", "Print the second line"),
    ("number", "Multiply by 1e3 again", "Multiply by 1e6 again"),
    ("order", "What is list[1:] here", "What is list[:1] here"),
    ("quantifier", "Files larger than 5 kB here", "Files at least 5 kB large here"),
    ("comparison", "Filter rows where price > 5", "Filter rows where price = 5"),
    ("time", "Show commits from monday", "Show commits from tuesday"),
    ("question", "Explain how to write a parser", "How to write a parser"),
    ("question", "What is Docker?", "Why Docker?"),
    ("output_format", "Answer with an example: what is a monad", "Answer briefly: what is a monad"),
    ("natural_language", "Explain closures in French", "Explain closures in German"),
    ("sign", "What does a + b give", "What does a - b give"),
    ("system", "Install node on macOS", "Install node on Windows"),
]

ALLOWED = [
    ("How do I undo the last commit in git?", "how can I undo the last commit in git"),
    ("Write a python function that reverses a string", "Create a function in Python to reverse a string"),
    ("Hey, could you please explain how a mutex works?", "Explain how a mutex works."),
    ("List all files larger than 10 MB", "list all the files larger than 10MB, thanks!"),
    ("Delete files older than 7 days", "Remove files older than seven days"),
    ("Don't use recursion: compute factorial", "Do not use recursion: calculate the factorial"),
    ("Sort a list of tuples by the second element", "Sort a tuple list by the 2nd element"),
    ("Check whether a number is prime", "Check if a number is prime or not"),
    ("Find the colour of the centre pixel", "Find the color of the center pixel"),
    ("Implement a fucntion that calculates sums", "Implement a function that calculates sums"),
    ("In the current directory, find all large logs", "Find all large logs in the current directory"),
    ("Using awk, print the second column", "Print the second column using awk"),
    ("Search for 'foo' in /usr/lib/", 'Search for "foo" in /usr/lib'),
    ("Find all .txt files", "Find all *.txt files"),
    ("A Python function to reverse a string", "Write a Python function to reverse a string"),
    ("Give me a regex that matches emails", "Write me a regex to match emails"),
    ("Tell me what a monad is", "What is a monad?"),
    ("Find files/directories owned by normal/regular users", "Find files/directories owned by regular users"),
    ("What's the command to delete all logs", "Delete all logs"),
    ("Explain:\n```\nx = 1  \n```", "Please explain:\n```\nx = 1\n```"),
    ("Display all Files In ~/Src", "display all files in ~/src"),
    ("Check whether a number is prime", "Verify that a number is prime"),
    ("Check if the triangle is valid", "Check whether the triangle is valid or not"),
    ("Sort a list according to the second element", "Sort a list by the second element"),
    ("Split a string by using regex", "Split a string using RegEx"),
    ("Convert a decimal number to a binary number", "Convert decimal to binary"),
    ("Perform the concatenation of two lists", "Concatenation of two lists"),
    ("Find the difference of two squares", "Find the difference between two squares"),
    ("Convert a camel case string to lower case", "Convert a camel cases string to lower cases"),
    ("List the working directory", "List the working folder"),
]


@pytest.mark.parametrize(("guard", "a", "b"), VETOED)
def test_a_difference_that_changes_the_answer_is_vetoed_by_its_guard(guard: str, a: str, b: str) -> None:
    assert veto(a, b) == guard


@pytest.mark.parametrize(("guard", "a", "b"), VETOED)
def test_it_does_not_matter_which_prompt_came_first(guard: str, a: str, b: str) -> None:
    assert veto(b, a) is not None


@pytest.mark.parametrize(("a", "b"), ALLOWED)
def test_politeness_spelling_synonyms_and_adjuncts_change_nothing(a: str, b: str) -> None:
    assert veto(a, b) is None
    found = align(analyse(a), analyse(b))
    assert not (found.swaps or found.only_a or found.only_b or found.moved)


def test_words_that_nobody_listed_have_no_partner_though_no_guard_objects() -> None:
    found = align(analyse("Write a haiku about gardens"), analyse("Write a limerick about gardens"))
    assert [(x.text, y.text) for x, y in found.swaps] == [("haiku", "limerick")]
    assert veto("Write a haiku about gardens", "Write a limerick about gardens") is None


def test_a_stored_prompt_is_taken_apart_once() -> None:
    stored = analyse("Sort the list in ascending order")
    assert veto_analysed(stored, analyse("Sort the list in descending order")) == "opposite"
    assert veto_analysed(stored, analyse("Please sort the list in ascending order")) is None


def test_code_blocks_decide_before_anything_is_compared() -> None:
    assert veto_analysed(analyse("Fix\n```\na\n```"), analyse("Fix\n```\nb\n```")) == "code_block"


def test_the_difference_is_told_in_the_words_of_both_prompts() -> None:
    assert difference("Sort it in ascending order", "Sort it in descending order") == [("ascending", "descending")]
    assert ("", "only") in difference("List directories", "List only directories")
    assert ("python", "java") in difference("A function in Python", "A function in Java")
    assert ("from alpha", "to alpha") in difference("Copy from alpha to beta", "Copy to alpha from beta")
    assert ("find", "list") in difference("find all logs here", "list all logs here")
    assert difference("Please sort it by name", "sort it by name") == []


def test_a_lower_case_copy_is_the_same_but_a_file_name_in_other_case_is_not() -> None:
    assert veto("Search for all files named README.md", "search for all files named readme.md") is None
    assert veto("Search for all files named README.md", "Search for all files named readme.md") is not None


def test_capitals_after_a_polite_opening_are_meant() -> None:
    assert veto("make the directory /path/to/x", "Can you make the directory /PATH/to/x") == "path"


SLIPS = [
    ("Print the directory of the script", "Print the directry of the script"),
    ("Change the permissions of all files", "Change the permisions of all files"),
    ("List files accessed last week", "List files accesed last week"),
    ("Follow all symlinks", "Follow all symliks"),
    ("List the current folder", "List the current foler"),
    ("Change the owner of the file", "Chnge the owner of the file"),
    ("List files bigger than 10 MB", "List files biger than 10 MB"),
]


@pytest.mark.parametrize(("meant", "slip"), SLIPS)
def test_a_slip_of_the_finger_in_a_long_word_changes_nothing(meant: str, slip: str) -> None:
    assert veto(meant, slip) is None
    found = align(analyse(meant), analyse(slip))
    assert not (found.swaps or found.only_a or found.only_b or found.moved)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Run the chmod command on it", "Run the chown command on it"),  # both are known
        ("Show the stdin of the script", "Show the stdio of the script"),  # another last letter
        ("Find the atime of the file", "Find the mtime of the file"),  # another first letter
        ("Explain the class Directry here", "Explain the class Directory here"),  # a name
        ("Count the quatlor in the list", "Count the quatloo in the list"),  # neither is known
        ("Find the triplet in the list", "Find the triple in the list"),
    ],
)
def test_words_that_are_only_alike_are_no_slips(a: str, b: str) -> None:
    found = align(analyse(a), analyse(b))
    assert veto(a, b) is not None or found.swaps or found.only_a or found.only_b


def test_small_letters_are_variables_where_they_stand_like_one() -> None:
    assert veto("Loop over i and j in the grid", "Loop over j in the grid") is not None
    assert veto("Divide a by b safely", "Divide b safely") is not None


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200))
def test_any_text_can_be_taken_apart_and_equals_itself(text: str) -> None:
    assert veto(text, text) is None
    assert difference(text, text) == []


TEXT = "find list the a of to from all files not 5 10 MB 'x y' /tmp/a and or python in before after sum with x_y"
WORDS = st.sampled_from(TEXT.split())


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=9), st.lists(WORDS, max_size=9))
def test_both_orders_agree_on_what_is_without_objection_and_without_difference(a: list[str], b: list[str]) -> None:
    one, other = analyse(" ".join(a)), analyse(" ".join(b))

    def same(x: Analysis, y: Analysis) -> bool:
        found = align(x, y)
        return veto_analysed(x, y) is None and not (found.swaps or found.only_a or found.only_b)

    assert same(one, other) == same(other, one)


@pytest.mark.parametrize(
    "piece", ["a", "a-", "/", "'", '"', "' ", "a/b", "~.", "-", "1", "1.", "```", "x y ", "$", "[a", "é"]
)
def test_no_text_makes_taking_apart_slow(piece: str) -> None:
    text = (piece * 8192)[:8192]
    started_s = time.perf_counter()
    assert veto(text, text) is None
    assert time.perf_counter() - started_s < 5


def test_a_long_prompt_that_is_quite_another_costs_no_long_comparison() -> None:
    a, b = analyse(" ".join(f"alpha{n}x" for n in range(1500))), analyse(" ".join(f"beta{n}y" for n in range(1500)))
    started_s = time.perf_counter()
    assert veto_analysed(a, b) is not None
    assert time.perf_counter() - started_s < 5
