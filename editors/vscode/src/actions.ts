// Explain, fix, refactor, document, test, generate, ask: asked from the palette, a menu, a key, a code action or a lens.
import * as vscode from "vscode";
import type { CodeAction } from "vscode-languageclient/node";
import type { ActionArgument, ActionResult, Applied, Kind } from "./contract";
import type { Previews } from "./preview";
import type { Server } from "./server";
import { previewFirst } from "./settings";
import type { StatusBar } from "./status";
import { placeOf, targetOf } from "./target";

/** Shows an answer in words where the person reads answers: the chat view. */
export interface Reader {
  tell(question: string, about: ActionArgument, run: (onDelta: (delta: string) => void, token: vscode.CancellationToken) => Promise<ActionResult>): Promise<void>;
}

const IN_WORDS: ReadonlySet<Kind> = new Set(["explain", "ask"]);
export const DOING: Record<Kind, string> = {
  explain: "Explain",
  fix: "Fix",
  refactor: "Refactor",
  docstring: "Write docstring",
  tests: "Write tests",
  generate: "Generate",
  ask: "Ask",
};
/** Kinds that want words of the person first: what is asked, and whether none will do. */
const INSTRUCTION: Partial<Record<Kind, { prompt: string; mayBeEmpty: boolean }>> = {
  ask: { prompt: "What do you want to know about the selection?", mayBeEmpty: false },
  generate: { prompt: "What shall be written here?", mayBeEmpty: false },
  refactor: { prompt: "How shall it be rewritten? Leave empty to let the model decide.", mayBeEmpty: true },
};

export class Actions {
  constructor(
    private readonly server: Server,
    private readonly previews: Previews,
    private readonly status: StatusBar,
    private readonly reader: Reader,
  ) {}

  /**
   * Runs one action.
   *
   * @param kind Which.
   * @param given What a code action or lens named; nothing: the selection.
   */
  async run(kind: Kind, given?: ActionArgument): Promise<void> {
    const client = await this.server.ready();
    const target = targetOf(client, kind, given);
    if (!target) return void vscode.window.showInformationMessage("BEAST MODE: open a file first, and select what it is about.");
    const instruction = await this.instruction(kind, target);
    if (instruction === undefined) return;
    const argument = { ...target, ...(instruction ? { instruction } : {}), show: false };
    if (IN_WORDS.has(kind)) await this.tell(kind, argument);
    else await this.edit(kind, argument);
  }

  /** Applies, or shows, what a code action was resolved to: only to the versions that it was made for. */
  async applyResolved(action: CodeAction, uri?: string): Promise<void> {
    const client = await this.server.ready();
    const edit = action.edit;
    if (!edit) return;
    const title = action.title.replace(/^BEAST: /, "");
    const apply = async (): Promise<Applied> => {
      const stale = { applied: false, reason: "The document has changed since it was read. Ask again." };
      const converted = await client.protocol2CodeConverter.asWorkspaceEdit(edit);
      if (!client.validateWorkspaceEdit(edit)) return stale;
      return (await vscode.workspace.applyEdit(converted)) ? { applied: true } : stale;
    };
    const scope = uri ? vscode.Uri.parse(uri) : undefined;
    if (previewFirst(scope)) {
      const converted = await client.protocol2CodeConverter.asWorkspaceEdit(edit);
      return this.previews.showEdit(title, edit, () => converted, apply);
    }
    const { applied, reason } = await apply();
    if (applied) return void this.showCost();
    const picked = await vscode.window.showWarningMessage(`BEAST MODE: not applied. ${reason}`, "Show Diff");
    if (picked) await vscode.commands.executeCommand("beast.preview");
  }

  /** `beast.preview`: the last edits, as a diff. */
  async previewLast(): Promise<void> {
    const { diff } = await this.server.run<{ diff: string }>("beast.preview", { show: false });
    if (!diff) return void vscode.window.showInformationMessage("BEAST MODE: no answer of this window had an edit yet.");
    const document = await vscode.workspace.openTextDocument({ language: "diff", content: diff });
    await vscode.window.showTextDocument(document, { preview: true });
  }

  /** `beast.apply`: the last edits, where they still fit. */
  async applyLast(): Promise<void> {
    this.report(await this.server.run<Applied>("beast.apply"));
  }

  /** Runs an action whose edits are shown and not applied; for the chat participant. */
  async propose(kind: Kind, argument: ActionArgument, onDelta: (delta: string) => void, token: vscode.CancellationToken): Promise<ActionResult> {
    const options = { token, onDelta };
    const result = await this.server.run<ActionResult>(`beast.${kind}`, { ...argument, apply: false, show: false }, options);
    this.status.answered(result.costLine);
    return result;
  }

  /** Shows the edits of an answer that were kept back. */
  show(title: string, result: ActionResult): Promise<void> {
    const accept = () => this.server.run<Applied>("beast.apply", { request_id: result.request_id });
    return this.previews.show(title, result.summary ?? "", result.edits, accept);
  }

  private async instruction(kind: Kind, target: ActionArgument): Promise<string | undefined> {
    const wanted = INSTRUCTION[kind];
    if (!wanted || target.instruction) return target.instruction ?? "";
    const { prompt, mayBeEmpty } = wanted;
    const said = await vscode.window.showInputBox({ title: `BEAST: ${DOING[kind]} (${placeOf(target)})`, prompt, ignoreFocusOut: true });
    return said?.trim() || (mayBeEmpty && said !== undefined ? "" : undefined);
  }

  private tell(kind: Kind, argument: ActionArgument): Promise<void> {
    const question = argument.instruction ?? DOING[kind];
    return this.reader.tell(question, argument, (onDelta, token) =>
      this.server.run<ActionResult>(`beast.${kind}`, argument, { onDelta, token }),
    );
  }

  private async edit(kind: Kind, argument: ActionArgument): Promise<void> {
    const look = previewFirst(vscode.Uri.parse(argument.uri));
    const title = `${DOING[kind]}: ${placeOf(argument)}`;
    const progress = { location: vscode.ProgressLocation.Notification, title: `BEAST: ${title}`, cancellable: true };
    const result = await vscode.window.withProgress(progress, (report, token) => {
      let characters = 0;
      const onDelta = (delta: string) => report.report({ message: `${(characters += delta.length)} characters` });
      return this.server.run<ActionResult>(`beast.${kind}`, { ...argument, apply: !look }, { token, onDelta });
    });
    this.status.answered(result.costLine);
    if (!result.edits.length) return this.noEdit(result);
    if (look) return this.show(DOING[kind], result);
    if (!result.applied) return this.notApplied(DOING[kind], result);
  }

  private async noEdit(result: ActionResult): Promise<void> {
    const said = result.summary || "The model proposes no change.";
    const picked = await vscode.window.showInformationMessage(`BEAST: ${said}`, "Read the Answer");
    if (picked) await vscode.commands.executeCommand("beast.explainLast");
  }

  private async notApplied(title: string, result: ActionResult): Promise<void> {
    const picked = await vscode.window.showWarningMessage(`BEAST MODE: not applied. ${result.reason ?? ""}`.trim(), "Show Diff");
    if (picked) await this.show(title, result);
  }

  private report({ applied, reason }: Applied): void {
    if (applied) void vscode.window.setStatusBarMessage("$(check) BEAST: applied", 5000);
    else void vscode.window.showWarningMessage(`BEAST MODE: not applied. ${reason ?? ""}`.trim());
  }

  private showCost(): void {
    this.server.run<{ line: string }>("beast.cost").then(
      ({ line }) => this.status.answered(line),
      (error: Error) => this.server.log.warn(`beast.cost: ${error.message}`),
    );
  }
}
