// Where a piece of code belongs in a text; needs no editor.
import { linesOf, patched } from "./patch";

export interface Span {
  start: number;
  end: number;
}

/** The text after a piece of code of an answer was put into it, or undefined where nothing tells its place. */
export function withCode(text: string, code: string, language: string, span: Span | undefined): string | undefined {
  if (language === "diff" || language === "patch") return patched(text, code.endsWith("\n") ? code : `${code}\n`);
  const found = span && span.end > span.start ? span : (sameBlock(text, code) ?? wholeFile(text, code));
  return found && text.slice(0, found.start) + fitted(text.slice(found.start, found.end), code, text) + text.slice(found.end);
}

/** With the line ends of the text, and the indentation and the last line's end of what it replaces. */
function fitted(old: string, code: string, text: string): string {
  const indent = /^[ \t]*(?=\S)/.exec(old)?.[0] ?? "";
  const bare = !/^[ \t]/.test(code);
  const lines = code.replace(/\r?\n$/, "").split(/\r?\n/).map((line) => (bare && line ? indent + line : line));
  const end = text.includes("\r\n") ? "\r\n" : "\n";
  return lines.join(end) + (/\n$/.test(old) ? end : "");
}

const HEAD = /^[ \t]*(?:export\s+|default\s+|public\s+|private\s+|async\s+|static\s+|pub\s+)*(?:def|class|function|func|fn|struct|interface|type|const|let)\s+([A-Za-z_$][\w$]*)/;

function indentOf(line: string): number {
  return /^[ \t]*/.exec(line)![0].length;
}

/** The definition of the same name, to where its indentation ends. */
function sameBlock(text: string, code: string): Span | undefined {
  const first = linesOf(code).find((line) => line.trim() && !/^\s*[@#/]/.test(line)) ?? "";
  const name = HEAD.exec(first)?.[1];
  if (!name || definitions(code) !== 1) return undefined;
  const lines = linesOf(text);
  const heads = lines.map((line, at) => (HEAD.exec(line)?.[1] === name ? at : -1)).filter((at) => at >= 0);
  if (heads.length !== 1) return undefined;
  const from = heads[0]!;
  const depth = indentOf(lines[from]!);
  let to = from + 1;
  while (to < lines.length && (!lines[to]!.trim() || indentOf(lines[to]!) > depth || /^[ \t]*[)\]}]/.test(lines[to]!))) {
    to++;
    if (/^[ \t]*[}]/.test(lines[to - 1]!) && indentOf(lines[to - 1]!) === depth) break;
  }
  while (to > from + 1 && !lines[to - 1]!.trim()) to--;
  const start = lines.slice(0, from).join("").length;
  return { start, end: start + lines.slice(from, to).join("").length };
}

/** How many definitions stand at the outermost indentation. */
function definitions(code: string): number {
  const heads = linesOf(code).filter((line) => HEAD.test(line));
  const least = Math.min(...heads.map(indentOf));
  return heads.filter((line) => indentOf(line) === least).length;
}

/** All of the text, where the code holds most of its lines. */
function wholeFile(text: string, code: string): Span | undefined {
  const wanted = linesOf(text).map((line) => line.trim()).filter(Boolean);
  const there = new Set(linesOf(code).map((line) => line.trim()));
  const kept = wanted.filter((line) => there.has(line)).length;
  return kept >= wanted.length * 0.6 ? { start: 0, end: text.length } : undefined;
}
