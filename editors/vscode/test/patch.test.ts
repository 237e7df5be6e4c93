// Unified diffs applied to texts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { patched } from "../src/patch";

const TEXT = "one\ntwo\nthree\nfour\n";
const DIFF = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";

test("a hunk replaces its lines", () => assert.equal(patched(TEXT, DIFF), "one\n2\nthree\nfour\n"));

test("a hunk whose lines have moved is found where they are unique", () =>
  assert.equal(patched(`new\nlines\n${TEXT}`, DIFF), "new\nlines\none\n2\nthree\nfour\n"));

test("lines that are gone, or there twice, are not touched", () => {
  assert.equal(patched("one\nTWO\nthree\n", DIFF), undefined);
  assert.equal(patched(`x\n${TEXT}${TEXT}`, DIFF), undefined);
});

test("line ends stay as they are", () =>
  assert.equal(patched("one\r\ntwo\r\n", "@@ -1,2 +1,2 @@\n one\r\n-two\r\n+2\r\n"), "one\r\n2\r\n"));

test("a missing last line end is kept, added and removed", () => {
  assert.equal(patched("a\nb", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"), "a\nc");
  assert.equal(patched("a", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"), "a\n");
  assert.equal(patched("a\n", "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"), "a");
});

test("a new file comes from nothing, and an empty one from all of it", () => {
  assert.equal(patched("", "--- /dev/null\n+++ b/f\n@@ -0,0 +1,2 @@\n+a\n+b\n"), "a\nb\n");
  assert.equal(patched("a\nb\n", "@@ -1,2 +0,0 @@\n-a\n-b\n"), "");
});

test("later hunks count what earlier ones changed", () => {
  const diff = "@@ -1,1 +1,2 @@\n-one\n+1\n+1b\n@@ -4,1 +5,0 @@\n-four\n";
  assert.equal(patched(TEXT, diff), "1\n1b\ntwo\nthree\n");
});

test("lines of code that look like the head of a diff are code", () =>
  assert.equal(patched("-- a\nb\n", "@@ -1,2 +1,2 @@\n--- a\n+++ c\n b\n"), "++ c\nb\n"));

test("random edits come back as they were made", () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 300; round++) {
    const before = Array.from({ length: random(12) }, () => `line ${random(5)}\n`);
    const at = random(before.length + 1);
    const gone = random(before.length - at + 1);
    const fresh = Array.from({ length: random(4) }, () => `fresh ${random(3)}\n`);
    const after = [...before.slice(0, at), ...fresh, ...before.slice(at + gone)];
    if (!gone && !fresh.length) continue;
    const start = (count: number) => (count ? at + 1 : at);
    const head = `@@ -${start(gone)},${gone} +${start(fresh.length)},${fresh.length} @@\n`;
    const body = [...before.slice(at, at + gone).map((line) => `-${line}`), ...fresh.map((line) => `+${line}`)];
    assert.equal(patched(before.join(""), head + body.join("")), after.join(""));
  }
});
