// The scripted session of an editor, under plain Node.js: tells what it saw at each step as one JSON object a line.
// Run by test_node_client.py as `session.mjs stdio|socket`.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { CancellationTokenSource, Editor, until } from "./client.mjs";

const [mode] = process.argv.slice(2);
const folder = process.env.WORKSPACE;
const socket = join(process.env.BEAST_HOME, "run", "lsp.sock");
const uri = pathToFileURL(join(folder, "sample.py")).href;
const at = (line, character) => ({ line, character });
const span = (first, last, end) => ({ start: at(first, 0), end: at(last, end) });
const ADD = span(0, 2, 17);
const MUL = span(5, 6, 16);
const WRONG = { range: { start: at(6, 15), end: at(6, 16) }, message: "Undefined name c", severity: 1, source: "lint" };

const tell = (step, facts) => console.log(JSON.stringify({ step, ...facts }));
const failure = (promise) => promise.then((result) => ({ unexpected: result }), (error) => ({ code: error.code, message: error.message, data: error.data }));

const editor = new Editor({ model: "" });
const connect = () => (mode === "stdio" ? editor.overStdio("beast", "lsp") : editor.overSocket(socket));

async function attach() {
  await connect();
  const told = await editor.initialize(folder);
  await editor.open(uri, readFileSync(join(folder, "sample.py"), "utf8"));
  tell("attach", { name: told.serverInfo.name, capabilities: told.capabilities });
}

async function actions() {
  const params = { textDocument: { uri }, range: ADD, context: { diagnostics: [] } };
  const plain = await editor.request("textDocument/codeAction", params);
  const wrong = await editor.request("textDocument/codeAction", { ...params, range: MUL, context: { diagnostics: [WRONG] } });
  tell("menu", { titles: plain.map((one) => one.title), wrong: wrong.map((one) => [one.title, one.kind]) });
  await resolve("docstring", plain.find((one) => one.title.includes("docstring")));
  await resolve("fix", wrong.find((one) => one.title.includes("Fix")));
}

async function resolve(step, action) {
  const resolved = await editor.request("codeAction/resolve", action);
  const applied = editor.apply(resolved.edit);
  tell(step, { before: action.edit ?? null, edit: resolved.edit, applied, text: editor.text(uri) });
}

async function command() {
  const result = await editor.command("refactor", { uri, range: span(0, 3, 17) });
  tell("command", { result, text: editor.text(uri), progress: editor.progress });
  const kept = await editor.command("docstring", { uri, range: span(6, 7, 16), apply: false });
  const preview = await editor.command("preview", { request_id: kept.request_id });
  const before = editor.text(uri);
  const applied = await editor.command("apply", { request_id: kept.request_id });
  tell("preview", { kept, preview, applied, before, text: editor.text(uri) });
}

async function stream() {
  const result = await editor.command("explain", { uri, range: ADD, instruction: "Tell me in a few words", id: "s1", show: false });
  tell("stream", { result, deltas: editor.streamed("s1"), done: editor.done });
}

async function cancel() {
  const source = new CancellationTokenSource();
  const reply = failure(editor.command("ask", { uri, range: ADD, instruction: "Count slowly", id: "c1", show: false }, source.token));
  await until(() => editor.streamed("c1").length >= 3, "words stream in");
  source.cancel();
  const error = await reply;
  await until(() => editor.done.some((one) => one.id === "c1"), "beast/done");
  const before = editor.streamed("c1").length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  tell("cancel", { error, done: editor.done.find((one) => one.id === "c1"), after: editor.streamed("c1").length - before });
}

async function inline() {
  const lines = editor.text(uri).split("\n");
  const last = at(lines.length - 1, lines.at(-1).length);
  await editor.change(uri, { start: last, end: last }, "def sub(a, b):\n");
  const position = at(lines.length, 0);
  const found = await editor.request("textDocument/inlineCompletion", { textDocument: { uri }, position, context: { triggerKind: 1 } });
  tell("inline", { items: found.items ?? found });
}

async function restart() {
  await editor.change(uri, { start: at(0, 0), end: at(0, 0) }, "# not saved yet\n");
  const waiting = failure(editor.command("ask", { uri, instruction: "Count slowly again", id: "r1", show: false }));
  await until(() => editor.streamed("r1").length >= 3, "words stream in");
  const flag = join(folder, ".restarted");
  console.log(JSON.stringify({ do: "restart", then: flag }));
  await until(() => existsSync(flag), "the daemon is back", 40_000);
  if (mode === "socket") {
    await until(() => editor.closed, "the connection ended");
    await connect();
    await editor.initialize(folder);
    await editor.reopen();
  }
  const error = mode === "stdio" ? await waiting : null;
  const result = await editor.command("explain", { uri, instruction: "And after the restart", show: false });
  tell("restart", { error, text: result.text, cost: result.costLine });
}

async function chat() {
  const first = await editor.command("chat", { message: "What is a semaphore?", session_id: `${mode}-1`, id: "t1" });
  const again = await editor.command("chat", { message: "What is a semaphore?", session_id: `${mode}-2`, id: "t2" });
  const deltas = [editor.streamed("t1"), editor.streamed("t2")];
  tell("chat", { first, again, deltas });
  const cost = await editor.command("cost");
  const status = await editor.command("status");
  tell("cost", { cost, status });
}

await attach();
await actions();
await command();
await stream();
await cancel();
await inline();
await restart();
await chat();
tell("end", { code: await editor.end(), refused: editor.refused.length });
process.exit(0);
