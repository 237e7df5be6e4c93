// A feature of several files: asked for in words, shown as it is made, and applied once the person has looked at it.
import * as vscode from "vscode";
import type { Actions } from "./actions";
import type { ActionResult } from "./contract";
import type { Server } from "./server";
import type { StatusBar } from "./status";

/** What `beast.generateFeature` gives. */
interface FeatureResult extends ActionResult {
  id?: string;
  problems?: string[];
}

const TITLE = "Generate feature";

/**
 * `beast.generateFeature`: asks for a feature of the folder that the open file lies in, and shows its edits.
 *
 * @param resume Goes on with one that was cut off, or did not come out right.
 */
export async function generateFeature(server: Server, actions: Actions, status: StatusBar, resume?: string): Promise<void> {
  if (!vscode.workspace.workspaceFolders?.length) {
    return void vscode.window.showInformationMessage("BEAST MODE: open a folder first: a feature is made of its files.");
  }
  const wanted = resume ? { resume } : await wish();
  if (!wanted) return;
  const progress = { location: vscode.ProgressLocation.Notification, title: `BEAST: ${TITLE}`, cancellable: true };
  const result = await vscode.window.withProgress(progress, (report, token) => {
    let characters = 0;
    const onDelta = (delta: string) => report.report({ message: `${(characters += delta.length)} characters` });
    return server.run<FeatureResult>("beast.generateFeature", { ...wanted, show: false }, { token, onDelta });
  });
  status.answered(result.costLine);
  if (result.edits.length) return actions.show(TITLE, result);
  const said = [result.summary, ...(result.problems ?? [])].join("\n");
  await vscode.window.showWarningMessage(`BEAST: ${result.summary ?? "nothing came of it"}`, { detail: said });
}

async function wish(): Promise<{ request: string; uri?: string } | undefined> {
  const prompt = "What shall be made? Its edits are shown before anything changes.";
  const request = (await vscode.window.showInputBox({ title: `BEAST: ${TITLE}`, prompt, ignoreFocusOut: true }))?.trim();
  const uri = vscode.window.activeTextEditor?.document.uri;
  return request ? { request, ...(uri?.scheme === "file" ? { uri: uri.toString() } : {}) } : undefined;
}
