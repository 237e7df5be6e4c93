"""Functions and classes of a text by its grammar (tree-sitter, extra `index`); nothing where there is no grammar."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beastmode.workspace.languages import Language
from beastmode.workspace.outlines import WHOLE_ROWS, Span

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

_MODULES = {
    "python": "tree_sitter_python:language",
    "javascript": "tree_sitter_javascript:language",
    "javascriptreact": "tree_sitter_javascript:language",
    "typescript": "tree_sitter_typescript:language_typescript",
    "typescriptreact": "tree_sitter_typescript:language_tsx",
    "go": "tree_sitter_go:language",
    "rust": "tree_sitter_rust:language",
    "java": "tree_sitter_java:language",
    "c": "tree_sitter_c:language",
    "cpp": "tree_sitter_cpp:language",
    "csharp": "tree_sitter_c_sharp:language",
    "php": "tree_sitter_php:language_php",
    "ruby": "tree_sitter_ruby:language",
    "shellscript": "tree_sitter_bash:language",
}
_FUNCTIONS = {
    "function_definition",
    "function_declaration",
    "generator_function_declaration",
    "function_signature",
    "function_item",
    "function_signature_item",
    "method_definition",
    "method_declaration",
    "method_signature",
    "abstract_method_signature",
    "constructor_declaration",
    "compact_constructor_declaration",
    "destructor_declaration",
    "local_function_statement",
    "method",
    "singleton_method",
    "macro_definition",
}
_CLASSES = {
    "class_definition",
    "class_declaration",
    "abstract_class_declaration",
    "interface_declaration",
    "enum_declaration",
    "type_alias_declaration",
    "record_declaration",
    "struct_declaration",
    "trait_declaration",
    "annotation_type_declaration",
    "class_specifier",
    "struct_specifier",
    "union_specifier",
    "enum_specifier",
    "struct_item",
    "enum_item",
    "union_item",
    "trait_item",
    "impl_item",
    "mod_item",
    "internal_module",
    "class",
    "module",
    "type_spec",
    "type_definition",
}
_NEED_A_BODY = {
    "class_specifier",
    "struct_specifier",
    "union_specifier",
    "enum_specifier",
    "mod_item",
}
_WRAPPERS = {
    "decorated_definition",
    "export_statement",
    "template_declaration",
    "lexical_declaration",
    "variable_declaration",
    "expression_statement",
    "type_declaration",
    "ambient_declaration",
}
_HOLDERS = {
    "variable_declarator": ("name", "value"),
    "assignment_expression": ("left", "right"),
    "pair": ("key", "value"),
    "public_field_definition": ("name", "value"),
    "field_definition": ("property", "value"),
}
_VALUES = {"function_expression": "function", "arrow_function": "function", "generator_function": "function"}
_VALUES |= {"function": "function", "class": "class"}
_DEPTH = 24
_STEPS = 100_000
_READ_BYTES = 1 << 16
_LAST_NAME = re.compile(r"[\w$]+(?=\W*$)")
_RECEIVER = re.compile(r"(\w+)(?:\[[^\]]*\])?\s*\)$")


@functools.cache
def _language(module: str) -> Any:
    """The grammar of a module; None where it, or tree-sitter itself, is not installed."""
    name, _, factory = module.partition(":")
    try:
        from tree_sitter import Language as Grammar

        return Grammar(getattr(importlib.import_module(name), factory)())
    except (ImportError, AttributeError, ValueError):
        return None


def by_grammar(rows: Sequence[str], language: Language) -> list[Span] | None:
    """Functions and classes of a text, by its grammar.

    The same text gives the same spans, however busy the machine is: what bounds the work is its steps, not time.

    Args:
        rows: The text's lines without their ends.
        language: What it is written in.

    Returns:
        None where there is no grammar, or the text is too much for it.
    """
    tree = tree_of("\n".join(rows), language)
    if tree is None:
        return None
    top: list[Span] = []
    _children(tree.root_node, top, None, _DEPTH)
    return top


def tree_of(text: str, language: Language) -> Tree | None:
    """The tree of a text; None where there is no grammar, or the text is too much for it.

    Args:
        text: All of it.
        language: What it is written in.
    """
    grammar = _language(_MODULES[language.id]) if language.id in _MODULES else None
    return _parse(text.encode(errors="replace"), grammar) if grammar is not None else None


def _parse(source: bytes, grammar: Any) -> Tree | None:
    """Parses step by step, which lets other threads run in between."""
    from tree_sitter import Parser

    steps = [0]

    def read(offset: int, _point: Any) -> bytes:
        return source[offset : offset + _READ_BYTES]

    def enough(_offset: int, _has_error: bool) -> bool:
        steps[0] += 1
        return steps[0] > _STEPS

    try:
        return Parser(grammar).parse(read, progress_callback=enough)
    except ValueError:
        return None


def _children(node: Node, into: list[Span], around: Span | None, depth: int) -> None:
    """Adds the definitions below a node; rows hold one definition at most, the others lend it their names."""
    if depth == 0:
        return
    for child in node.named_children:
        _visit(child, child, into, around, depth)


def _visit(node: Node, outer: Node, into: list[Span], around: Span | None, depth: int) -> None:
    if node.type in _WRAPPERS and node.named_child_count:
        _unwrap(node, outer, into, around, depth)
        return
    kind, name, body = _definition(node)
    if not kind:
        if node.end_point.row > node.start_point.row:
            _children(node, into, around, depth - 1)
        return
    _add(outer, body, kind, name, into, around, depth)


def _unwrap(node: Node, outer: Node, into: list[Span], around: Span | None, depth: int) -> None:
    """Looks into what only stands around a definition, such as its decorators; they belong to it where it is alone."""
    inside = [child for child in node.named_children if child.type in _WRAPPERS or _definition(child)[0]]
    if len(inside) == 1:
        _visit(inside[0], outer, into, around, depth)
    elif node.end_point.row > node.start_point.row:
        _children(node, into, around, depth - 1)


def _add(outer: Node, body: Node, kind: str, name: str, into: list[Span], around: Span | None, depth: int) -> None:
    first, last = outer.start_point.row, outer.end_point.row
    if outer.end_point.column == 0 and last > first:  # it ends with the line before
        last -= 1
    if into and first <= into[-1].last:
        into[-1].names.append(name.rpartition(".")[2])
        return
    if around is not None and around.kind == "class" and kind == "function":
        kind = "method"
    symbol = f"{around.symbol}.{name}" if around is not None else name
    span = Span(first, last, symbol, kind, [name.rpartition(".")[2]])
    into.append(span)
    if kind == "class" or last - first >= WHOLE_ROWS:
        _children(body, span.inner, span, depth - 1)


def _definition(node: Node) -> tuple[str, str, Node]:
    """What a node defines: its kind (empty: nothing), its name, and where its own definitions are."""
    if node.type in _FUNCTIONS:
        name = _name_of(node)
        return ("function" if name else "", name, node)
    if node.type in _CLASSES:
        if node.type in _NEED_A_BODY and node.child_by_field_name("body") is None:
            return "", "", node
        name = _name_of(node)
        return ("class" if name else "", name, node)
    fields = _HOLDERS.get(node.type)
    value = node.child_by_field_name(fields[1]) if fields else None
    holder = node.child_by_field_name(fields[0]) if fields else None
    if value is None or holder is None or value.type not in _VALUES:
        return "", "", node
    return _VALUES[value.type], _value_name(_text(holder)), value


def _name_of(node: Node) -> str:
    found = node.child_by_field_name("name")
    inner = node.child_by_field_name("declarator") if found is None else None
    while inner is not None:  # C puts the name inside of what it is
        found = inner
        inner = inner.child_by_field_name("declarator")
    if found is None:
        found = node.child_by_field_name("type")
    name = _last_name(_text(found)) if found is not None else ""
    receiver = node.child_by_field_name("receiver")
    whose = _RECEIVER.search(_text(receiver)) if receiver is not None and name else None
    return f"{whose[1]}.{name}" if whose else name


def _value_name(left: str) -> str:
    """`Cache.prototype.get` is `Cache.get`, `module.exports.get` is `get`."""
    parts = [part for part in re.findall(r"[\w$]+", left) if part not in ("prototype", "module", "exports", "this")]
    return ".".join(parts[-2:])


def _last_name(text: str) -> str:
    found = _LAST_NAME.search(text.partition("<")[0])
    return found[0] if found else ""


def _text(node: Node) -> str:
    return (node.text or b"")[:200].decode(errors="replace")
