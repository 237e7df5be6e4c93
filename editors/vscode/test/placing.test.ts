// Where the code of an answer goes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { withCode } from "../src/placing";

const FILE = "import os\n\n\ndef add(a, b):\n    return a + b\n\n\nclass Sum:\n    def of(self, a):\n        return a\n\n    def more(self):\n        return 2\n";

test("what is selected is replaced", () => {
  const start = FILE.indexOf("    return a + b");
  assert.equal(withCode(FILE, "    return b + a\n", "python", { start, end: start + 16 }), FILE.replace("a + b", "b + a"));
});

test("a definition takes the place of the one of its name", () =>
  assert.equal(withCode(FILE, "def add(a, b):\n    return b\n", "python", undefined), FILE.replace("return a + b", "return b")));

test("and gets the indentation that was there", () => {
  const wanted = FILE.replace("    def of(self, a):\n        return a\n", "    def of(self, a):\n        x = a\n        return x\n");
  assert.equal(withCode(FILE, "def of(self, a):\n    x = a\n    return x\n", "python", undefined), wanted);
});

test("braces end a definition too", () => {
  const file = "const one = 1;\nfunction f() {\n  return 1;\n}\nfunction g() {}\n";
  assert.equal(withCode(file, "function f() {\n  return 2;\n}", "js", undefined), file.replace("return 1", "return 2"));
});

test("code that holds most of the file is the file", () => {
  const whole = FILE.replace("a + b", "b + a").replace("return 2", "return 3");
  assert.equal(withCode(FILE, whole, "python", undefined), whole);
});

test("a diff is applied as one", () =>
  assert.equal(withCode("a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n+c", "diff", undefined), "a\nc\n"));

test("line ends are those of the file", () =>
  assert.equal(withCode("def f():\r\n    return 1\r\n", "def f():\n    return 2\n", "python", undefined), "def f():\r\n    return 2\r\n"));

test("nothing is guessed", () => {
  assert.equal(withCode(FILE, "print(1)\n", "python", undefined), undefined);
  assert.equal(withCode(`${FILE}\n${FILE}`, "def add(a, b):\n    return b\n", "python", undefined), undefined);
});
