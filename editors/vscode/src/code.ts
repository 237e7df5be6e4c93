// The buttons of a piece of code in an answer: copy, insert, apply, diff.
import * as vscode from "vscode";
import type { Applied } from "./contract";
import { withCode, type Span } from "./placing";
import type { Previews } from "./preview";
import type { About, CodeDo } from "./talk";
import { currentEditor } from "./target";

/**
 * Does what a button says.
 *
 * @param what Which button.
 * @param code The piece.
 * @param language As its fence names it.
 * @param about What its question was about.
 * @param previews Shows diffs.
 */
export async function useCode(what: CodeDo, code: string, language: string, about: About | undefined, previews: Previews): Promise<void> {
  if (what === "copy") return vscode.env.clipboard.writeText(code);
  const editor = currentEditor();
  if (what === "insert") return editor ? insert(editor, code) : open(code, language);
  const document = about ? await vscode.workspace.openTextDocument(vscode.Uri.parse(about.uri)) : editor?.document;
  if (!document) return open(code, language);
  const version = document.version;
  const text = withCode(document.getText(), code, language, spanOf(document, editor, about));
  if (text === undefined) {
    return void vscode.window.showInformationMessage("BEAST MODE: nothing tells where this belongs. Select what it shall replace, and try again.");
  }
  const apply = (): Promise<Applied> => replace(document, version, text);
  if (what === "diff") return previews.showText("from the chat", document.uri, text, apply);
  const { applied, reason } = await apply();
  if (!applied) void vscode.window.showWarningMessage(`BEAST MODE: not applied. ${reason}`);
}

async function insert(editor: vscode.TextEditor, code: string): Promise<void> {
  const { document, viewColumn } = editor;
  const shown = await vscode.window.showTextDocument(document, viewColumn);
  await shown.edit((edit) => edit.replace(shown.selection, code));
}

async function open(code: string, language: string): Promise<void> {
  const known = (await vscode.languages.getLanguages()).includes(language);
  const document = await vscode.workspace.openTextDocument({ content: code, ...(known && { language }) });
  await vscode.window.showTextDocument(document);
}

/** What is selected now; else what the question was about, where it is still there. */
function spanOf(document: vscode.TextDocument, editor: vscode.TextEditor | undefined, about: About | undefined): Span | undefined {
  const same = editor?.document.uri.toString() === document.uri.toString();
  if (same && !editor.selection.isEmpty) {
    return { start: document.offsetAt(editor.selection.start), end: document.offsetAt(editor.selection.end) };
  }
  const text = document.getText();
  const start = about?.text ? text.indexOf(about.text) : -1;
  const once = start >= 0 && text.indexOf(about!.text!, start + 1) < 0;
  return once ? { start, end: start + about!.text!.length } : undefined;
}

/** Replaces the smallest part that differs, so that cursors and folds stay. */
async function replace(document: vscode.TextDocument, version: number, text: string): Promise<Applied> {
  if (document.version !== version) return { applied: false, reason: "The document has changed since then." };
  const old = document.getText();
  let start = 0;
  while (start < old.length && start < text.length && old[start] === text[start]) start++;
  let end = 0;
  while (end < old.length - start && end < text.length - start && old.at(-1 - end) === text.at(-1 - end)) end++;
  const edit = new vscode.WorkspaceEdit();
  const range = new vscode.Range(document.positionAt(start), document.positionAt(old.length - end));
  edit.replace(document.uri, range, text.slice(start, text.length - end));
  return (await vscode.workspace.applyEdit(edit)) ? { applied: true } : { applied: false, reason: "The editor refused the edit." };
}
