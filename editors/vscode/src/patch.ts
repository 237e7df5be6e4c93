// Applies a unified diff to a text; needs no editor.

interface Hunk {
  start: number;
  before: string[];
  after: string[];
}

const HEAD = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;
const END = "\\ No newline at end of file";

/** Lines with their ends: joined they are the text again. */
export function linesOf(text: string): string[] {
  const lines = text.split(/(?<=\n)/);
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

/** Hunks of a diff of one file. */
export function hunksOf(diff: string): Hunk[] {
  const hunks: Hunk[] = [];
  let hunk: Hunk | undefined;
  let [old, fresh] = [0, 0];
  let last: string[][] = [];
  for (const line of linesOf(diff)) {
    const head = HEAD.exec(line);
    if (head) {
      [old, fresh] = [Number(head[2] ?? 1), Number(head[4] ?? 1)];
      hunk = { start: Number(head[1]) - (old ? 1 : 0), before: [], after: [] };
      hunks.push(hunk);
    } else if (line.startsWith(END)) {
      for (const side of last) side.push((side.pop() ?? "").replace(/\r?\n$/, ""));
    } else if (hunk && (old > 0 || fresh > 0)) {
      const mark = line[0];
      last = mark === "-" ? [hunk.before] : mark === "+" ? [hunk.after] : [hunk.before, hunk.after];
      for (const side of last) side.push(mark === "\n" || mark === "\r" ? line : line.slice(1));
      if (mark !== "+") old--;
      if (mark !== "-") fresh--;
    }
  }
  return hunks;
}

function isThere(lines: string[], at: number, wanted: string[]): boolean {
  return at >= 0 && wanted.every((line, i) => lines[at + i] === line);
}

function placeOf(lines: string[], hunk: Hunk, shift: number): number | undefined {
  if (isThere(lines, hunk.start + shift, hunk.before)) return hunk.start + shift;
  if (!hunk.before.length) return undefined;
  const places = lines.map((_, at) => at).filter((at) => isThere(lines, at, hunk.before));
  return places.length === 1 ? places[0] : undefined;
}

/**
 * The text after a diff.
 *
 * @param text What the diff was made for, or that text moved on elsewhere.
 * @param diff A unified diff of one file.
 * @returns undefined where a hunk's lines are not there, or in more than one place.
 */
export function patched(text: string, diff: string): string | undefined {
  let lines = linesOf(text);
  let shift = 0;
  for (const hunk of hunksOf(diff)) {
    const at = placeOf(lines, hunk, shift);
    if (at === undefined) return undefined;
    lines = [...lines.slice(0, at), ...hunk.after, ...lines.slice(at + hunk.before.length)];
    shift = at - hunk.start + hunk.after.length - hunk.before.length;
  }
  return lines.join("");
}
