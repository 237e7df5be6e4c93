// What a model writes is shown, and never run.
import assert from "node:assert/strict";
import { test } from "node:test";
import { rendered } from "../src/view/markdown";

test("raw HTML is text", () => {
  const html = rendered('<img src=x onerror="alert(1)"> <script>alert(1)</script>');
  assert.ok(!html.includes("<img") && !html.includes("<script"));
});

test("links go to the web alone", () => {
  assert.ok(rendered("[a](https://example.org)").includes('href="https://example.org"'));
  for (const bad of ["javascript:alert(1)", "command:beast.clear", "file:///etc/passwd", "data:text/html,x", "vscode://x"]) {
    assert.ok(!rendered(`[a](${bad})`).includes("<a "), bad);
  }
});

test("nothing is fetched for a picture", () => assert.ok(!rendered("![a](https://example.org/a.png)").includes("<img")));

test("code has its language, its colours and its buttons", () => {
  const html = rendered("```python\ndef f(): return '<b>'\n```");
  assert.ok(html.includes('data-language="python"') && html.includes("hljs-keyword") && html.includes("&lt;b&gt;"));
  for (const what of ["insert", "apply", "diff", "copy"]) assert.ok(html.includes(`data-do="${what}"`));
});

test("a fence that is still open is code already", () => assert.ok(rendered("Text\n\n```js\nconst a = 1;").includes('class="code"')));

test("the name of a language can not break out", () => assert.ok(!rendered('```"><img/src=x>\nx\n```').includes("<img")));

test("tables have no styles of their own", () => assert.ok(!rendered("| a |\n|:-:|\n| b |").includes("style=")));
