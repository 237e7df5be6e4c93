// What an answer was made from: opened where it lies now. And what is reported about what a question is about.
import * as vscode from "vscode";
import { DiagnosticSeverity, type Diagnostic } from "vscode-languageserver-protocol";
import type { Source } from "./contract";
import type { About } from "./talk";

const MAX_PROBLEMS = 20;

/** Shows a piece in its file. */
export async function openSource(source: Source | undefined): Promise<void> {
  if (!source?.uri) return;
  const document = await vscode.workspace.openTextDocument(vscode.Uri.parse(source.uri, true));
  const first = Math.min(document.lineCount, source.first_line ?? 1) - 1;
  const last = Math.min(document.lineCount, source.last_line ?? 1) - 1;
  const selection = new vscode.Range(first, 0, last, document.lineAt(Math.max(first, last)).text.length);
  await vscode.window.showTextDocument(document, { selection, preserveFocus: false });
}

/** Without the methods of the editor's own positions, which travel as something else. */
export function pointOf({ line, character }: vscode.Position): { line: number; character: number } {
  return { line, character };
}

/** Errors and warnings in the part that a question is about; in all of its file where no part is named. */
export function problemsOf(about: About): Diagnostic[] {
  const { range } = about;
  const part = range && new vscode.Range(range.start.line, range.start.character, range.end.line, range.end.character);
  return vscode.languages
    .getDiagnostics(vscode.Uri.parse(about.uri, true))
    .filter((one) => one.severity <= vscode.DiagnosticSeverity.Warning && (!part || part.intersection(one.range)))
    .slice(0, MAX_PROBLEMS)
    .map((one) => ({
      message: one.message,
      range: { start: pointOf(one.range.start), end: pointOf(one.range.end) },
      severity: one.severity === vscode.DiagnosticSeverity.Error ? DiagnosticSeverity.Error : DiagnosticSeverity.Warning,
      ...(one.source && { source: one.source }),
    }));
}
