"""The words of a developer's questions, for `bench/day.py`."""

MORNING = (
    "Which steps does our release checklist have?",
    "How do I bring my branch up to date with main without a merge commit?",
    "Give me a one-line joke for the stand-up.",
    "What are good questions to ask in a stand-up?",
    "How do I list the pull requests that wait for my review, on the command line?",
    "Show me the command that runs only the tests that failed last time.",
)
LOOKED_UP = (
    "How do I undo the last commit but keep its changes?",
    "What is the difference between a shallow and a deep copy in Python?",
    "How do I parametrize a pytest fixture?",
    "Write a regular expression for an ISO 8601 date.",
    "How do I profile a slow Python function?",
    "When do I need `functools.wraps`?",
    "How does `git rebase --onto` work?",
    "How do I mock the clock in a test?",
)
ABOUT_CODE = ("Is this thread-safe?", "Which edge cases are not handled here?", "How could this be made faster?")
AFTER_WORK = (
    "Draft a commit message for this change, in the imperative mood.",
    "What should a reviewer of this change look at first?",
)
RANDOM = ("What is {a} good for, compared with {b}?", "Explain {a} as if I knew only {b}.", "Is {a} older than {b}?")
THINGS = [
    "Kafka",
    "Raft",
    "CRDTs",
    "WebGPU",
    "Zig",
    "eBPF",
    "Parquet",
    "Nix",
    "gRPC",
    "OAuth",
    "Erlang",
    "Datalog",
    "WASM",
    "QUIC",
    "Prolog",
    "Bazel",
]
