// Builds the parts and joins them. Nothing here waits: the connection is made while the window goes on.
import * as vscode from "vscode";
import { Actions, DOING } from "./actions";
import { Chats } from "./chats";
import { ChatView, VIEW } from "./chatView";
import { tools } from "./commands";
import { KINDS, type ActionArgument, type ActionResult, type Kind } from "./contract";
import { generateFeature } from "./feature";
import { offerModels } from "./languageModels";
import { ModelChoice } from "./models";
import { offerParticipant } from "./participant";
import { Previews } from "./preview";
import { Server } from "./server";
import { StatusBar } from "./status";
import { guarded } from "./troubles";

let server: Server | undefined;

/** Called by the editor, once. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("BEAST MODE", { log: true });
  server = new Server(log);
  const previews = new Previews();
  const status = new StatusBar(server);
  const choice = new ModelChoice(server, context.workspaceState);
  const chats = new Chats(context.workspaceState);
  const view = new ChatView({ extension: context.extensionUri, server, chats, choice, previews, status });
  const actions = new Actions(server, previews, status, view);
  const icon = vscode.Uri.joinPath(context.extensionUri, "media", "icon.png");
  context.subscriptions.push(log, server, previews, status, choice);
  context.subscriptions.push(vscode.window.registerWebviewViewProvider(VIEW, view));
  register(context, {
    ...Object.fromEntries(KINDS.map((kind) => [kind, (given?: ActionArgument) => actions.run(kind, argumentOf(given))])),
    ...tools(server, choice),
    openChat: () => view.open(),
    newChat: () => view.newChat(),
    history: () => view.history(),
    clear: () => view.clear(),
    stop: () => view.stop(),
    preview: () => actions.previewLast(),
    apply: () => actions.applyLast(),
    applyResolved: actions.applyResolved.bind(actions),
    generateFeature: (resume?: string) => generateFeature(server as Server, actions, status, typeof resume === "string" ? resume : undefined),
    showProposal: (kind: Kind, result: ActionResult) => actions.show(DOING[kind], result),
    acceptPreview: (uri?: vscode.Uri) => previews.accept(uri),
    discardPreview: (uri?: vscode.Uri) => previews.discard(uri),
  });
  for (const offered of [offerModels(choice, status), offerParticipant({ server, actions, choice, status, icon })]) {
    if (offered) context.subscriptions.push(offered);
  }
  server.start();
}

/** Called by the editor when the window closes. */
export async function deactivate(): Promise<void> {
  await server?.stop();
}

/** A menu of the editor hands over the file's address instead of an argument of ours. */
function argumentOf(given: ActionArgument | vscode.Uri | undefined): ActionArgument | undefined {
  return given && "uri" in given && typeof given.uri === "string" ? given : undefined;
}

function register(context: vscode.ExtensionContext, commands: Record<string, (...given: never[]) => unknown>): void {
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(`beast.${name}`, guarded(run as (...given: unknown[]) => unknown)));
  }
}
