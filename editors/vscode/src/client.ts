// The language client: which of its features we use, what the server is told, and what happens to a resolved action.
import * as vscode from "vscode";
import {
  CloseAction,
  CodeActionResolveRequest,
  DynamicFeature,
  ErrorAction,
  LanguageClient,
  type ConfigurationParams,
  type LanguageClientOptions,
  type Middleware,
  type ShowDocumentParams,
  type ShowDocumentResult,
  type StaticFeature,
  type StreamInfo,
} from "vscode-languageclient/node";
import { forServer } from "./settings";
import { show } from "./troubles";

/** Commands are ours, so that they exist without a server too; completion would ask a model at every word. */
const LEFT_OUT = new Set(["workspace/executeCommand", "textDocument/completion"]);
const DOCUMENTS = [{ scheme: "file" }, { scheme: "untitled" }];

export class BeastClient extends LanguageClient {
  /**
   * @param log Takes all that goes wrong on the way.
   * @param connect Gives the streams to and from the server.
   */
  constructor(log: vscode.LogOutputChannel, connect: () => Promise<StreamInfo>) {
    const self: { client?: BeastClient } = {};
    super("beast", "BEAST MODE", connect, options(log, self));
    self.client = this;
  }

  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    const method = DynamicFeature.is(feature) ? feature.registrationType.method : "";
    if (!LEFT_OUT.has(method)) super.registerFeature(feature);
  }

  protected override fillInitializeParams(params: Parameters<LanguageClient["fillInitializeParams"]>[0]): void {
    super.fillInitializeParams(params);
    (params.capabilities.workspace ??= {}).executeCommand = {};
  }

  /** Into the log alone: the status bar shows how the connection is, and commands tell their own errors. */
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }

  override info(message: string, data?: unknown): void {
    super.info(message, data, false);
  }
}

function options(log: vscode.LogOutputChannel, self: { client?: BeastClient }): LanguageClientOptions {
  return {
    documentSelector: DOCUMENTS,
    outputChannel: log,
    initializationOptions: () => forServer(firstFolder()),
    synchronize: { configurationSection: "beast" },
    // What ends is begun anew by `server.ts`, with a fresh client.
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => ({ action: CloseAction.DoNotRestart, handled: true }),
    },
    initializationFailedHandler: () => false,
    middleware: middleware(self),
  };
}

function firstFolder(): vscode.Uri | undefined {
  return vscode.workspace.workspaceFolders?.[0]?.uri;
}

function middleware(self: { client?: BeastClient }): Middleware {
  return {
    workspace: {
      // The server knows its own settings only; those that say how to reach it are not for it.
      configuration: (params: ConfigurationParams) =>
        params.items.map((item) =>
          item.section === "beast" ? forServer(item.scopeUri ? vscode.Uri.parse(item.scopeUri) : firstFolder()) : null,
        ),
      didChangeConfiguration: (_sections, next) => next(undefined),
    },
    window: { showDocument: (params, _token, next) => showDocument(params, next as Next) },
    handleWorkDoneProgress: () => undefined, // each command shows its own progress, with a way to stop it
    resolveCodeAction: (item, token) => (self.client ? resolve(self.client, item, token) : item),
  };
}

type Next = (params: ShowDocumentParams) => Promise<ShowDocumentResult>;

/** Answers in markdown are read, not edited. */
async function showDocument(params: ShowDocumentParams, next: Next): Promise<ShowDocumentResult> {
  if (params.external || !params.uri.endsWith(".md")) return next(params);
  await vscode.commands.executeCommand("markdown.showPreviewToSide", vscode.Uri.parse(params.uri));
  return { success: true };
}

/**
 * The editor applies an action's edit without looking at versions. So the edit does not go back to it: a command of ours
 * applies it, to the versions that it was made for.
 */
async function resolve(client: BeastClient, item: vscode.CodeAction, token: vscode.CancellationToken): Promise<vscode.CodeAction> {
  if (item.command) return item;
  const params = client.code2ProtocolConverter.asCodeActionSync(item);
  const uri = (item as { data?: { uri?: string } }).data?.uri;
  const action = new vscode.CodeAction(item.title, item.kind);
  action.diagnostics = item.diagnostics;
  const progress = { location: vscode.ProgressLocation.Notification, title: item.title, cancellable: true };
  const told = await vscode.window
    .withProgress(progress, (_progress, stop) => {
      const either = new vscode.CancellationTokenSource();
      for (const one of [token, stop]) one.onCancellationRequested(() => either.cancel());
      return client.sendRequest(CodeActionResolveRequest.type, params, either.token);
    })
    .then(undefined, (error: unknown) => void show(error));
  if (!told) return action;
  if (told.edit) action.command = { title: item.title, command: "beast.applyResolved", arguments: [told, uri] };
  else if (told.command) action.command = client.protocol2CodeConverter.asCommand(told.command);
  return action;
}
