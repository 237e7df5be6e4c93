// What an action is about: the selection of the editor that the person looks at, or what a code action or lens named.
import * as vscode from "vscode";
import type { ActionArgument, Kind } from "./contract";
import type { BeastClient } from "./client";

const SCHEMES = ["file", "untitled"];

/** The editor that a command is about; the chat view may have the focus. */
export function currentEditor(): vscode.TextEditor | undefined {
  const usable = (editor: vscode.TextEditor | undefined) => editor && SCHEMES.includes(editor.document.uri.scheme);
  const active = vscode.window.activeTextEditor;
  return usable(active) ? active : vscode.window.visibleTextEditors.find(usable);
}

/** Where it is, in words: `sample.py`, lines 3 to 10. */
export function placeOf(argument: ActionArgument): string {
  const name = vscode.workspace.asRelativePath(vscode.Uri.parse(argument.uri));
  const range = argument.range;
  if (!range) return name;
  const [from, to] = [range.start.line + 1, range.end.line + (range.end.character || range.end.line === range.start.line ? 1 : 0)];
  return from >= to ? `${name}:${from}` : `${name}:${from}-${to}`;
}

/**
 * Completes the argument of an action.
 *
 * @param client Converts what the editor knows into the protocol's words.
 * @param kind Which action: only `fix` needs diagnostics.
 * @param given What a code action or a lens named; nothing for a command of the palette.
 * @returns undefined where no editor with a file is open.
 */
export function targetOf(client: BeastClient, kind: Kind, given: ActionArgument | undefined): ActionArgument | undefined {
  if (given?.uri) return given;
  const editor = currentEditor();
  if (!editor) return undefined;
  const convert = client.code2ProtocolConverter;
  const argument: ActionArgument = { uri: convert.asUri(editor.document.uri), range: convert.asRange(editor.selection) };
  if (kind === "fix") {
    const touching = vscode.languages
      .getDiagnostics(editor.document.uri)
      .filter((one) => one.range.intersection(editor.selection));
    if (touching.length) argument.diagnostics = touching.map((one) => convert.asDiagnostic(one));
  }
  return argument;
}
