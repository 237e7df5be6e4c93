// Edits that are looked at before they are applied: diffs of the editor, the proposal in a document that is nowhere on disk.
import * as vscode from "vscode";
import type { WorkspaceEdit } from "vscode-languageclient/node";
import type { Applied, Edit } from "./contract";
import { patched } from "./patch";

export const SCHEME = "beast-preview";

interface Pair {
  label: vscode.Uri;
  left: vscode.Uri;
  right: vscode.Uri;
}

interface Proposal {
  title: string;
  accept: () => Promise<Applied>;
}

export class Previews implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly proposals = new Map<string, Proposal>();
  private readonly registered: vscode.Disposable;
  private numbers = 0;

  constructor() {
    this.registered = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? "";
  }

  dispose(): void {
    this.registered.dispose();
  }

  /**
   * Shows edits of the server, each as a diff against the document as it is now.
   *
   * @param title What was asked for.
   * @param summary What they do, in a sentence.
   * @param edits As the server gave them.
   * @param accept Applies them.
   */
  async show(title: string, summary: string, edits: Edit[], accept: () => Promise<Applied>): Promise<void> {
    const number = this.numbers++;
    const pairs = await Promise.all(edits.map((edit) => this.pair(edit, number)));
    await this.open(title, number, pairs, accept, summary);
  }

  /** Shows one new text of a document. */
  async showText(title: string, uri: vscode.Uri, text: string, accept: () => Promise<Applied>): Promise<void> {
    const number = this.numbers++;
    await this.open(title, number, [{ label: uri, left: uri, right: this.keep(uri, text, number) }], accept);
  }

  /** Shows an edit of the protocol; it is applied as a whole. */
  async showEdit(title: string, edit: WorkspaceEdit, convert: Converter, accept: () => Promise<Applied>): Promise<void> {
    const number = this.numbers++;
    const pairs: Pair[] = [];
    for (const [uri, edits] of convert(edit).entries()) {
      const document = await vscode.workspace.openTextDocument(uri).then(undefined, () => undefined);
      const left = document ? uri : this.keep(uri, "", number, "before");
      pairs.push({ label: uri, left, right: this.keep(uri, withEdits(document, edits), number) });
    }
    await this.open(title, number, pairs, accept);
  }

  /** Applies the proposal that is looked at, and closes its diff. */
  async accept(uri: vscode.Uri | undefined): Promise<void> {
    const found = this.proposalOf(uri);
    if (!found) return void vscode.window.showInformationMessage("BEAST MODE: no edit is shown that could be applied.");
    const { applied, reason } = await found.proposal.accept();
    if (!applied) return void vscode.window.showWarningMessage(`BEAST MODE: not applied. ${reason ?? ""}`);
    await this.close(found.number);
  }

  async discard(uri: vscode.Uri | undefined): Promise<void> {
    const found = this.proposalOf(uri);
    if (found) await this.close(found.number);
  }

  private async open(title: string, number: number, pairs: Pair[], accept: () => Promise<Applied>, summary = ""): Promise<void> {
    this.proposals.set(String(number), { title, accept });
    const options: vscode.TextDocumentShowOptions = { preview: false };
    const [only, ...others] = pairs;
    if (!only) return;
    if (!others.length) {
      const name = only.label.path.split("/").at(-1);
      await vscode.commands.executeCommand("vscode.diff", only.left, only.right, `BEAST: ${title} (${name})`, options);
    } else {
      const triples = pairs.map(({ label, left, right }) => [label, left, right]);
      await vscode.commands.executeCommand("vscode.changes", `BEAST: ${title}`, triples);
    }
    void this.offer(summary ? `${title}: ${summary}` : title, number);
  }

  private async offer(what: string, number: number): Promise<void> {
    const picked = await vscode.window.showInformationMessage(`BEAST: ${what}`, "Apply", "Discard");
    const uri = vscode.Uri.from({ scheme: SCHEME, path: "/", query: String(number) });
    if (!this.proposals.has(String(number))) return;
    if (picked === "Apply") await this.accept(uri);
    if (picked === "Discard") await this.close(number);
  }

  private async pair(edit: Edit, number: number): Promise<Pair> {
    const uri = vscode.Uri.parse(edit.uri);
    const document = edit.kind === "create" ? undefined : await vscode.workspace.openTextDocument(uri).then(undefined, () => undefined);
    const after = edit.kind === "delete" ? "" : patched(document?.getText() ?? "", edit.diff);
    const left = document ? uri : this.keep(uri, "", number, "before");
    // Where the diff does not fit any more, the diff itself is what can be shown.
    return { label: uri, left, right: this.keep(uri, after ?? edit.diff, number, after === undefined ? "diff" : "") };
  }

  private keep(uri: vscode.Uri, text: string, number: number, kind = ""): vscode.Uri {
    const path = kind === "diff" ? `${uri.path}.diff` : uri.path.startsWith("/") ? uri.path : `/${uri.path}`;
    const made = vscode.Uri.from({ scheme: SCHEME, path, query: String(number), fragment: kind });
    this.texts.set(made.toString(), text);
    return made;
  }

  private proposalOf(uri: vscode.Uri | undefined): { number: number; proposal: Proposal } | undefined {
    const key = uri?.scheme === SCHEME ? uri.query : queryOfActiveTab();
    const proposal = key === undefined ? undefined : this.proposals.get(key);
    return proposal && { number: Number(key), proposal };
  }

  private async close(number: number): Promise<void> {
    this.proposals.delete(String(number));
    const query = String(number);
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs).filter((tab) => queryOf(tab) === query);
    await vscode.window.tabGroups.close(tabs);
    for (const key of this.texts.keys()) if (vscode.Uri.parse(key).query === query) this.texts.delete(key);
  }
}

type Converter = (edit: WorkspaceEdit) => vscode.WorkspaceEdit;

function queryOf(tab: vscode.Tab | undefined): string | undefined {
  const input = tab?.input as { modified?: vscode.Uri; textDiffs?: { modified: vscode.Uri }[] } | undefined;
  const uri = input?.modified ?? input?.textDiffs?.[0]?.modified;
  return uri?.scheme === SCHEME ? uri.query : undefined;
}

function queryOfActiveTab(): string | undefined {
  return queryOf(vscode.window.tabGroups.activeTabGroup.activeTab);
}

function withEdits(document: vscode.TextDocument | undefined, edits: vscode.TextEdit[]): string {
  let text = document?.getText() ?? "";
  const places = edits.map((edit) => ({
    from: document?.offsetAt(edit.range.start) ?? 0,
    to: document?.offsetAt(edit.range.end) ?? 0,
    text: edit.newText,
  }));
  for (const one of places.sort((a, b) => b.from - a.from)) text = text.slice(0, one.from) + one.text + text.slice(one.to);
  return text;
}
