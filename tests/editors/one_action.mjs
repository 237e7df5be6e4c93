// One action under plain Node.js, told as one JSON object: run by test_same_action.py as `one_action.mjs KIND`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { Editor } from "./client.mjs";

const [kind] = process.argv.slice(2);
const path = join(process.env.WORKSPACE, "sample.py");
const uri = pathToFileURL(path).href;
const editor = new Editor();
await editor.overStdio("beast", "lsp");
await editor.initialize(process.env.WORKSPACE);
await editor.open(uri, readFileSync(path, "utf8"));
const range = { start: { line: 0, character: 0 }, end: { line: 3, character: 0 } };
const { text, cache } = await editor.command(kind, { uri, range, apply: false, show: false });
console.log(JSON.stringify({ step: kind, text, cache }));
await editor.end();
process.exit(0);
