// `@beast` in the editor's own chat, where it has one.
import * as vscode from "vscode";
import type { Actions } from "./actions";
import { KINDS, type ActionArgument, type ActionResult, type ChatArgument, type ChatResult, type Kind } from "./contract";
import type { ModelChoice } from "./models";
import { participant } from "./newer";
import type { Server } from "./server";
import type { StatusBar } from "./status";
import { targetOf } from "./target";
import { isCancelled, sentence } from "./troubles";

interface Kept {
  session_id?: string;
}

export interface ParticipantParts {
  server: Server;
  actions: Actions;
  choice: ModelChoice;
  status: StatusBar;
  icon: vscode.Uri;
}

/** Registers it; nothing where the editor has no chat. */
export function offerParticipant(parts: ParticipantParts): vscode.Disposable | undefined {
  const made = participant("beast.participant", async (request, context, stream, token) => {
    try {
      const kind = KINDS.find((one) => one === request.command);
      return kind ? await act(parts, kind, request, stream, token) : await chat(parts, request, context, stream, token);
    } catch (error) {
      if (isCancelled(error) || token.isCancellationRequested) return {};
      return { errorDetails: { message: sentence(error) } };
    }
  });
  if (made) made.iconPath = parts.icon;
  return made;
}

async function act(
  { server, actions }: ParticipantParts,
  kind: Kind,
  request: vscode.ChatRequest,
  stream: vscode.ChatResponseStream,
  token: vscode.CancellationToken,
): Promise<vscode.ChatResult> {
  const target = targetOf(await server.ready(), kind, undefined);
  if (!target) {
    stream.markdown("Open a file first, and select what it is about.");
    return {};
  }
  const argument: ActionArgument = { ...target, ...(request.prompt.trim() && { instruction: request.prompt.trim() }) };
  const result = await actions.propose(kind, argument, (delta) => stream.markdown(delta), token);
  if (result.edits.length) stream.button({ title: "Show the Edit", command: "beast.showProposal", arguments: [kind, result] });
  foot(stream, result);
  return {};
}

async function chat(
  { server, choice, status }: ParticipantParts,
  request: vscode.ChatRequest,
  context: vscode.ChatContext,
  stream: vscode.ChatResponseStream,
  token: vscode.CancellationToken,
): Promise<vscode.ChatResult> {
  if (!request.prompt.trim()) {
    stream.markdown("Ask anything. `/explain`, `/fix`, `/refactor`, `/docstring` and `/tests` are about what is selected.");
    return {};
  }
  const session_id = sessionOf(context) ?? `vscode-chat-${Date.now().toString(36)}`;
  const argument: ChatArgument = { message: request.prompt, session_id, ...attached(request.references) };
  const picked = (request as { model?: { vendor?: string; id?: string } }).model;
  const model = picked?.vendor === "beast" ? picked.id : choice.model;
  if (model) argument.model = model;
  const result = await server.run<ChatResult>("beast.chat", argument, { token, onDelta: (delta) => stream.markdown(delta) });
  status.answered(result.costLine);
  foot(stream, result);
  return { metadata: { session_id } satisfies Kept };
}

function foot(stream: vscode.ChatResponseStream, result: ChatResult | ActionResult): void {
  for (const { uri, first_line = 1, last_line = 1 } of result.sources ?? []) {
    if (uri) stream.reference(new vscode.Location(vscode.Uri.parse(uri, true), new vscode.Range(first_line - 1, 0, last_line, 0)));
  }
  if (result.costLine) stream.markdown(`\n\n---\n*${result.costLine}*`);
  stream.button({ title: "Why This Answer?", command: "beast.explainLast", arguments: [result.request_id] });
}

function sessionOf(context: vscode.ChatContext): string | undefined {
  const last = context.history.findLast((turn): turn is vscode.ChatResponseTurn => "result" in turn);
  return (last?.result.metadata as Kept | undefined)?.session_id;
}

/** The first place in a file goes along as a selection, the files as files. */
function attached(references: readonly vscode.ChatPromptReference[]): Pick<ChatArgument, "uri" | "range" | "files"> {
  const files: string[] = [];
  for (const { value } of references) {
    if (value instanceof vscode.Location) {
      const { start, end } = value.range;
      return { uri: value.uri.toString(), range: { start: { line: start.line, character: start.character }, end: { line: end.line, character: end.character } } };
    }
    if (value instanceof vscode.Uri && value.scheme === "file") files.push(vscode.workspace.asRelativePath(value, false));
  }
  return files.length ? { files } : {};
}
