"""Pages that commands write: one file without anything from elsewhere, light and dark, for screens and for paper."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {127: 0x2421}
_CONTROLS |= dict.fromkeys([*range(128, 160), *range(0xD800, 0xE000)], 0xFFFD)
COLOURS = 8
_LIGHT = ("#1f5fbf", "#b3440b", "#0b7a4b", "#7a3fb0", "#8a6100", "#b0246b", "#0a7490", "#5c5f66")
_DARK = ("#7db0ff", "#ff9a66", "#5fd3a0", "#c79bff", "#e6bd4a", "#ff8cc0", "#5ccbe6", "#b4b8c0")
_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --text: #1b1d21; --soft: #50545c; --line: #c9cdd4; --card: #f4f5f7;
  %s }
@media (prefers-color-scheme: dark) { :root { --back: #14161a; --text: #eceef1; --soft: #b0b5be; --line: #3c414a;
  --card: #1d2026; %s } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .75rem; margin: 1.25rem 0 0;
  padding: 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
.tiles b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } .wide:focus-visible { outline: 2px solid var(--c0); }
table { border-collapse: collapse; width: 100%%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; min-width: 9rem; }
th { font-weight: 600; } tfoot th, tfoot td { border-top: 2px solid var(--text); font-weight: 600; }
td.text { text-align: left; white-space: pre-wrap; overflow-wrap: anywhere; min-width: 14rem; }
svg { width: 100%%; min-width: 40rem; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); } %s
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin: .5rem 0; list-style: none; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem; margin-right: .4rem; } %s
summary { cursor: pointer; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } .tiles li, tr { break-inside: avoid; }
  * { print-color-adjust: exact; } }
"""


def escaped(text: object) -> str:
    """Text for a page: nothing in it is markup, and control characters are shown, not obeyed."""
    return html.escape(str(text).translate(_CONTROLS), quote=True)


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: Its name, plain text.
        parts: Its content, markup.
    """
    body = "\n".join(part for part in parts if part)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{_style()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def tiles(values: Iterable[tuple[str, str, str]]) -> str:
    """Figures side by side.

    Args:
        values: What it is, the figure, and a word on it; plain text.
    """
    items = (
        f'<li><span class="soft">{escaped(name)}</span><b>{escaped(value)}</b>'
        f'<span class="soft">{escaped(note)}</span></li>'
        for name, value, note in values
    )
    return f'<ul class="tiles">{"".join(items)}</ul>'


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], foot: Sequence[str] | None = None, text: int = 0
) -> str:
    """A table whose first column names the row.

    Args:
        caption: What it shows, plain text.
        head: Names of the columns, plain text.
        rows: Plain text.
        foot: The last row, the total.
        text: So many columns after the first one are running text.
    """
    heads = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    body = "".join(_row(cells, text) for cells in rows)
    last = f"<tfoot>{_row(foot, text)}</tfoot>" if foot else ""
    label = escaped(caption)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}"><table aria-label="{label}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>{last}</table></div>"
    )


def _row(cells: Sequence[str], text: int) -> str:
    first, *rest = cells
    row = f'<th scope="row">{escaped(first)}</th>'
    for number, cell in enumerate(rest):
        row += f'<td class="text">{escaped(cell)}</td>' if number < text else f"<td>{escaped(cell)}</td>"
    return f"<tr>{row}</tr>"


def _style() -> str:
    light, dark = (
        " ".join(f"--c{number}: {colour};" for number, colour in enumerate(colours)) for colours in (_LIGHT, _DARK)
    )
    fills = " ".join(f".f{number} {{ fill: var(--c{number}); }}" for number in range(COLOURS))
    signs = " ".join(f".s{number} {{ background: var(--c{number}); }}" for number in range(COLOURS))
    return _STYLE % (light, dark, fills, signs)
