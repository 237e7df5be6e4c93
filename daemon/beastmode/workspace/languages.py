"""What a file is written in: its name for people and fences, how its comments begin, and where its tests belong."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec


class Language(msgspec.Struct, frozen=True):
    """A language.

    Attributes:
        id: As editors name it, and as a fence has it; empty: unknown.
        name: As people do.
        comment: What a comment to the end of the line begins with; empty: there is none.
        indented: Blocks are told by their indentation.
        braces: Blocks are told by braces.
    """

    id: str
    name: str
    comment: str = ""
    indented: bool = False
    braces: bool = False


_LANGUAGES = [
    (Language("python", "Python", "#", indented=True), "py pyi pyw"),
    (Language("javascript", "JavaScript", "//", braces=True), "js mjs cjs"),
    (Language("javascriptreact", "JavaScript with JSX", "//", braces=True), "jsx"),
    (Language("typescript", "TypeScript", "//", braces=True), "ts mts cts"),
    (Language("typescriptreact", "TypeScript with JSX", "//", braces=True), "tsx"),
    (Language("go", "Go", "//", braces=True), "go"),
    (Language("rust", "Rust", "//", braces=True), "rs"),
    (Language("java", "Java", "//", braces=True), "java"),
    (Language("kotlin", "Kotlin", "//", braces=True), "kt kts"),
    (Language("scala", "Scala", "//", braces=True), "scala"),
    (Language("swift", "Swift", "//", braces=True), "swift"),
    (Language("c", "C", "//", braces=True), "c h"),
    (Language("cpp", "C++", "//", braces=True), "cc cpp cxx hh hpp hxx"),
    (Language("csharp", "C#", "//", braces=True), "cs"),
    (Language("php", "PHP", "//", braces=True), "php"),
    (Language("dart", "Dart", "//", braces=True), "dart"),
    (Language("zig", "Zig", "//", braces=True), "zig"),
    (Language("ruby", "Ruby", "#"), "rb"),
    (Language("elixir", "Elixir", "#"), "ex exs"),
    (Language("lua", "Lua", "--"), "lua"),
    (Language("haskell", "Haskell", "--"), "hs"),
    (Language("sql", "SQL", "--"), "sql"),
    (Language("shellscript", "shell script", "#"), "sh bash zsh"),
    (Language("perl", "Perl", "#", braces=True), "pl pm"),
    (Language("r", "R", "#", braces=True), "r"),
    (Language("yaml", "YAML", "#", indented=True), "yaml yml"),
    (Language("toml", "TOML", "#"), "toml"),
    (Language("json", "JSON", braces=True), "json"),
    (Language("css", "CSS", braces=True), "css scss less"),
    (Language("html", "HTML"), "html htm"),
    (Language("xml", "XML"), "xml svg"),
    (Language("markdown", "Markdown"), "md markdown"),
]
_BY_ENDING = {ending: language for language, endings in _LANGUAGES for ending in endings.split()}
_BY_ID = {language.id: language for language, _ in _LANGUAGES}
_BY_NAME = {"makefile": Language("makefile", "Makefile", "#"), "dockerfile": Language("dockerfile", "Dockerfile", "#")}


def language_of(path: str, given: str | None = None) -> Language:
    """The language of a file. The file's name decides, so that every program that asks means the same.

    Args:
        path: Its name.
        given: As the editor says; counts where the name says nothing.
    """
    name = PurePosixPath(path).name.lower()
    found = _BY_NAME.get(name) or _BY_ENDING.get(name.rpartition(".")[2] if "." in name else "")
    if found is not None:
        return found
    if not given:
        return Language("", "")
    return _BY_ID.get(given.lower()) or Language(given, given)
