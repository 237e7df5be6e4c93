// A small editor under plain Node.js, on the libraries that VS Code speaks the protocol with: documents, edits, progress.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import net from "node:net";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../clients/node/package.json", import.meta.url));
const rpc = require("vscode-jsonrpc/node");
const lsp = require("vscode-languageserver-protocol");

export const { CancellationTokenSource } = rpc;

const CAPABILITIES = {
  general: { positionEncodings: ["utf-16"] },
  window: { showDocument: { support: true }, workDoneProgress: true, showMessage: {} },
  workspace: {
    applyEdit: true,
    configuration: true,
    workspaceFolders: true,
    workspaceEdit: {
      documentChanges: true,
      resourceOperations: ["create", "rename", "delete"],
      changeAnnotationSupport: { groupsOnLabel: true },
    },
  },
  textDocument: {
    codeAction: {
      codeActionLiteralSupport: { codeActionKind: { valueSet: ["quickfix", "refactor", "refactor.rewrite", "source"] } },
      dataSupport: true,
      resolveSupport: { properties: ["edit", "command"] },
    },
    inlineCompletion: {},
    synchronization: { didSave: true },
  },
};

/** Waits until something holds. */
export async function until(holds, what, limitMs = 30_000) {
  const deadline = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`it did not come to be: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function offsetAt(text, { line, character }) {
  let start = 0;
  for (let at = 0; at < line; at++) start = text.indexOf("\n", start) + 1;
  return start + character;
}

/** Applies text edits, last first: as an editor does. */
export function edited(text, edits) {
  const placed = edits.map((edit) => [offsetAt(text, edit.range.start), offsetAt(text, edit.range.end), edit.newText]);
  placed.sort((one, other) => other[0] - one[0]);
  return placed.reduce((done, [start, end, words]) => done.slice(0, start) + words + done.slice(end), text);
}

export class Editor {
  constructor(settings = {}) {
    this.settings = settings;
    this.documents = new Map();
    this.deltas = [];
    this.done = [];
    this.progress = [];
    this.shown = [];
    this.refused = [];
    this.statuses = [];
    this.closed = false;
  }

  /** Over the standard streams of a program. */
  async overStdio(command, ...words) {
    this.child = spawn(command, words, { stdio: ["pipe", "pipe", "inherit"] });
    this.exited = new Promise((resolve) => this.child.once("exit", resolve));
    this.#listen(this.child.stdout, this.child.stdin);
  }

  /** Over the daemon's socket. */
  async overSocket(path) {
    const socket = net.connect(path);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    this.socket = socket;
    this.#listen(socket, socket);
  }

  #listen(reader, writer) {
    this.closed = false;
    const connection = rpc.createMessageConnection(new rpc.StreamMessageReader(reader), new rpc.StreamMessageWriter(writer));
    this.connection = connection;
    connection.onClose(() => (this.closed = true));
    connection.onError(() => {});
    connection.onNotification("beast/delta", (params) => this.deltas.push(params));
    connection.onNotification("beast/done", (params) => this.done.push(params));
    connection.onNotification("beast/status", (params) => this.statuses.push(params));
    connection.onNotification("$/progress", (params) => this.progress.push(params.value.kind));
    connection.onRequest(lsp.ConfigurationRequest.type, (params) => params.items.map(() => this.settings));
    connection.onRequest(lsp.WorkDoneProgressCreateRequest.type, () => undefined);
    connection.onRequest(lsp.ShowDocumentRequest.type, (params) => (this.shown.push(params.uri), { success: true }));
    connection.onRequest(lsp.ApplyWorkspaceEditRequest.type, (params) => ({ applied: this.apply(params.edit) }));
    connection.listen();
  }

  async initialize(folder) {
    const uri = pathToFileURL(folder).href;
    const result = await this.connection.sendRequest(lsp.InitializeRequest.type, {
      processId: process.pid,
      clientInfo: { name: "node" },
      rootUri: uri,
      workspaceFolders: [{ uri, name: "workspace" }],
      capabilities: CAPABILITIES,
      initializationOptions: { deltas: true, status: true },
    });
    await this.connection.sendNotification(lsp.InitializedNotification.type, {});
    return result;
  }

  async open(uri, text, languageId = "python") {
    this.documents.set(uri, { text, version: 1 });
    await this.#opened(uri, languageId);
  }

  /** Tells a new server all that is open. */
  async reopen(languageId = "python") {
    for (const uri of this.documents.keys()) await this.#opened(uri, languageId);
  }

  async #opened(uri, languageId) {
    const { text, version } = this.documents.get(uri);
    const textDocument = { uri, languageId, version, text };
    await this.connection.sendNotification(lsp.DidOpenTextDocumentNotification.type, { textDocument });
  }

  async change(uri, range, text) {
    const document = this.documents.get(uri);
    document.text = edited(document.text, [{ range, newText: text }]);
    document.version += 1;
    await this.#changed(uri, [{ range, text }]);
  }

  #changed(uri, contentChanges) {
    const textDocument = { uri, version: this.documents.get(uri).version };
    const params = { textDocument, contentChanges };
    return this.connection.sendNotification(lsp.DidChangeTextDocumentNotification.type, params);
  }

  /** Applies a workspace edit whose versions are the present ones; a stale one is refused as a whole. */
  apply(edit) {
    const changes = edit.documentChanges ?? [];
    const stale = changes.some((one) => one.edits && one.textDocument.version !== (this.documents.get(one.textDocument.uri)?.version ?? null));
    if (stale) {
      this.refused.push(edit);
      return false;
    }
    for (const one of changes) {
      if (!one.edits) continue;
      const document = this.documents.get(one.textDocument.uri) ?? { text: "", version: 0 };
      this.documents.set(one.textDocument.uri, document);
      document.text = edited(document.text, one.edits);
      document.version += 1;
      if (document.version > 1) void this.#changed(one.textDocument.uri, [{ text: document.text }]);
    }
    return true;
  }

  text(uri) {
    return this.documents.get(uri).text;
  }

  request(method, params, token) {
    return token ? this.connection.sendRequest(method, params, token) : this.connection.sendRequest(method, params);
  }

  command(name, argument, token) {
    const params = { command: `beast.${name}`, arguments: argument ? [argument] : [] };
    return this.request("workspace/executeCommand", params, token);
  }

  /** What was streamed under an id. */
  streamed(id) {
    return this.deltas.filter((one) => one.id === id).map((one) => one.delta);
  }

  async end() {
    await this.connection.sendRequest(lsp.ShutdownRequest.type);
    await this.connection.sendNotification(lsp.ExitNotification.type);
    if (this.child) return await this.exited;
    await until(() => this.closed, "the server hangs up");
    return 0;
  }
}
