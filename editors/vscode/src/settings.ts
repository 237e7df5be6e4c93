// The settings `beast.*`: which are this extension's own, and what the server is told of the others.
import * as vscode from "vscode";

export interface ServerSettings {
  model: string;
  deltas: boolean;
  status: boolean;
  codeLens: { enabled: boolean };
  inline: { enabled: boolean; automatic: string; model: string; maxTokens: number; debounceMs: number };
  edits: { preview: boolean };
  workspace: { open: string };
  tags: string[];
}

function read<T>(key: string, otherwise: T, scope?: vscode.Uri): T {
  return vscode.workspace.getConfiguration("beast", scope).get<T>(key) ?? otherwise;
}

/** What the server gets. Previews are shown here, as diffs of the editor, so it never shows its own. */
export function forServer(scope?: vscode.Uri): ServerSettings {
  return {
    model: read("model", "", scope),
    deltas: true,
    status: true,
    codeLens: { enabled: read("codeLens.enabled", false, scope) },
    inline: {
      enabled: read("inline.enabled", true, scope),
      automatic: vscode.workspace.isTrusted ? read("inline.automatic", "free", scope) : "never",
      model: read("inline.model", "", scope),
      maxTokens: read("inline.maxTokens", 128, scope),
      debounceMs: read("inline.debounceMs", 150, scope),
    },
    edits: { preview: false },
    workspace: { open: vscode.workspace.isTrusted ? read("workspace.open", "ask", scope) : "never" },
    tags: read<string[]>("tags", [], scope),
  };
}

export const previewFirst = (scope?: vscode.Uri): boolean => read("edits.preview", false, scope);
export const statusBarEnabled = (): boolean => read("statusBar.enabled", true);
export const languageModelsEnabled = (): boolean => read("languageModels.enabled", true);
export const defaultModel = (scope?: vscode.Uri): string => read("model", "", scope);

export interface Way {
  path: string;
  home: string;
  socket: string;
  autoStart: boolean;
}

/** How to reach the daemon. */
export function way(): Way {
  return { path: read("path", "beast"), home: read("home", ""), socket: read("socket", ""), autoStart: read("autoStart", true) };
}
