// The chat view: its page, and what the page asks for. The page draws; everything else happens here.
import { randomBytes } from "node:crypto";
import * as vscode from "vscode";
import type { Reader } from "./actions";
import type { Chats } from "./chats";
import { useCode } from "./code";
import type { ActionArgument, Answer, ChatArgument, ChatResult } from "./contract";
import type { ModelChoice } from "./models";
import type { Previews } from "./preview";
import type { Server } from "./server";
import type { StatusBar } from "./status";
import { openSource, pointOf, problemsOf } from "./sources";
import { titleOf, type About, type FromView, type Message, type ToView } from "./talk";
import { currentEditor, placeOf } from "./target";
import { isCancelled, requestOf, sentence, show } from "./troubles";

export const VIEW = "beast.chatView";
const MAX_KEPT_CHARACTERS = 20_000;

type Run = (onDelta: (delta: string) => void, token: vscode.CancellationToken) => Promise<Answer>;

export interface ChatParts {
  extension: vscode.Uri;
  server: Server;
  chats: Chats;
  choice: ModelChoice;
  previews: Previews;
  status: StatusBar;
}

export class ChatView implements vscode.WebviewViewProvider, Reader {
  private view: vscode.WebviewView | undefined;
  private running: { conversation: string; source: vscode.CancellationTokenSource } | undefined;
  private attachable: string | undefined;
  private readonly drawSoon = () => this.draw();

  constructor(private readonly parts: ChatParts) {
    parts.server.onDidChange(this.drawSoon);
    parts.choice.onDidChange(this.drawSoon);
    parts.choice.onDidList(this.drawSoon);
    vscode.window.onDidChangeTextEditorSelection(() => this.look());
    vscode.window.onDidChangeActiveTextEditor(() => this.look());
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    const folders = ["dist", "media"].map((name) => vscode.Uri.joinPath(this.parts.extension, name));
    view.webview.options = { enableScripts: true, localResourceRoots: folders };
    view.webview.html = this.page(view.webview);
    view.webview.onDidReceiveMessage((message: FromView) => this.hear(message).catch(show));
    view.onDidChangeVisibility(this.drawSoon);
    view.onDidDispose(() => (this.view = undefined));
  }

  /** Shows the view and puts the cursor into it. */
  async open(): Promise<void> {
    await vscode.commands.executeCommand(`${VIEW}.focus`);
    this.post({ type: "focus" });
  }

  async newChat(): Promise<void> {
    this.parts.chats.begin();
    this.draw();
    await this.open();
  }

  stop(): void {
    this.running?.source.cancel();
  }

  /** Forgets this conversation, here and in the daemon. */
  async clear(): Promise<void> {
    const { id } = this.parts.chats.current;
    if (this.running?.conversation === id) this.stop();
    await this.parts.chats.remove(id);
    this.draw();
    await this.parts.server.run("beast.clear", { session_id: id }).catch((error: Error) => this.parts.server.log.info(`clear: ${error.message}`));
  }

  async history(): Promise<void> {
    const remove: vscode.QuickInputButton = { iconPath: new vscode.ThemeIcon("trash"), tooltip: "Remove" };
    const picker = vscode.window.createQuickPick<vscode.QuickPickItem & { id: string }>();
    const fill = () => {
      picker.items = this.parts.chats.all.map((one) => ({ id: one.id, label: titleOf(one), description: new Date(one.at).toLocaleString(), buttons: [remove] }));
    };
    picker.title = "BEAST MODE: Chat History";
    picker.placeholder = "No conversation yet";
    picker.onDidTriggerItemButton(async ({ item }) => {
      await this.parts.chats.remove(item.id);
      fill();
      this.draw();
    });
    picker.onDidAccept(() => {
      const [picked] = picker.selectedItems;
      if (picked) this.parts.chats.open(picked.id);
      picker.hide();
      this.draw();
      void this.open();
    });
    picker.onDidHide(() => picker.dispose());
    fill();
    picker.show();
  }

  async tell(question: string, about: ActionArgument, run: Run): Promise<void> {
    await vscode.commands.executeCommand(`${VIEW}.focus`);
    await this.converse({ role: "user", text: question, about: aboutOf(about) }, run);
  }

  /** One question of the person, typed in the view. */
  private async ask(text: string, attach: boolean): Promise<void> {
    const about = attach ? this.about() : undefined;
    const { id } = this.parts.chats.current;
    const argument: ChatArgument = { message: text, session_id: id };
    if (this.parts.choice.model) argument.model = this.parts.choice.model;
    if (about) Object.assign(argument, { uri: about.uri, ...(about.range && { range: about.range }), diagnostics: problemsOf(about) });
    await this.converse({ role: "user", text, ...(about && { about }) }, (onDelta, token) =>
      this.parts.server.run<ChatResult>("beast.chat", argument, { onDelta, token }),
    );
  }

  private async converse(question: Message, run: Run): Promise<void> {
    if (this.running) return void vscode.window.showInformationMessage("BEAST MODE: one question at a time; stop the answer first.");
    const conversation = this.parts.chats.current;
    const answer: Message = { role: "assistant", text: "" };
    const source = new vscode.CancellationTokenSource();
    conversation.messages.push(question, answer);
    this.running = { conversation: conversation.id, source };
    this.busy(true);
    const onDelta = (delta: string) => {
      answer.text += delta;
      this.post({ type: "delta", conversation: conversation.id, delta });
    };
    try {
      const result = await run(onDelta, source.token);
      Object.assign(answer, { text: result.text, costLine: result.costLine, request_id: result.request_id, model: result.model, cache: result.cache?.result, sources: result.sources });
      this.parts.status.answered(result.costLine);
    } catch (error) {
      if (isCancelled(error) || source.token.isCancellationRequested) answer.stopped = true;
      else Object.assign(answer, { error: sentence(error), request_id: requestOf(error) });
    }
    this.running = undefined;
    source.dispose();
    this.busy(false);
    await this.parts.chats.save(conversation);
  }

  private busy(is: boolean): void {
    void vscode.commands.executeCommand("setContext", "beast.chatBusy", is);
    this.draw();
  }

  private async hear(message: FromView): Promise<void> {
    const { chats, choice, previews } = this.parts;
    switch (message.type) {
      case "ready":
        return this.draw();
      case "ask":
        return this.ask(message.text, message.attach);
      case "stop":
        return this.stop();
      case "again":
        return this.again();
      case "model":
        return choice.choose(message.id);
      case "code":
        return useCode(message.do, message.code, message.language, aboutBefore(chats.current.messages, message.message), previews);
      case "open":
        return void vscode.env.openExternal(vscode.Uri.parse(message.href, true));
      case "source":
        return openSource(chats.current.messages[message.message]?.sources?.[message.source]);
      case "command":
        return void vscode.commands.executeCommand(`beast.${message.command}`, message.request_id);
    }
  }

  /** Asks the last question once more. */
  private async again(): Promise<void> {
    const { messages } = this.parts.chats.current;
    const last = messages.findLastIndex(({ role }) => role === "user");
    const question = messages[last];
    if (!question || this.running) return;
    messages.splice(last);
    await this.ask(question.text, Boolean(question.about));
  }

  private about(): About | undefined {
    const editor = currentEditor();
    if (!editor) return undefined;
    const { selection } = editor;
    const range = selection.isEmpty ? undefined : { start: { ...pointOf(selection.start) }, end: { ...pointOf(selection.end) } };
    const about = aboutOf({ uri: editor.document.uri.toString(), ...(range && { range }) });
    return range ? { ...about, text: editor.document.getText(selection).slice(0, MAX_KEPT_CHARACTERS) } : about;
  }

  /** The cursor moved: drawn anew only where something else would be attached. */
  private look(): void {
    if (this.view?.visible && this.about()?.label !== this.attachable) this.draw();
  }

  private draw(): void {
    const { chats, choice, server } = this.parts;
    const about = this.about()?.label;
    this.attachable = about;
    this.post({
      type: "state",
      state: {
        conversation: chats.current,
        busy: this.running !== undefined,
        model: choice.model,
        models: choice.models.map(({ id }) => id),
        reach: server.reach,
        why: server.why,
        ...(about && { about }),
      },
    });
  }

  private post(message: ToView): void {
    void this.view?.webview.postMessage(message);
  }

  private page(webview: vscode.Webview): string {
    const nonce = randomBytes(16).toString("base64url");
    const at = (...path: string[]) => webview.asWebviewUri(vscode.Uri.joinPath(this.parts.extension, ...path)).toString();
    const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}';`;
    return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<link rel="stylesheet" href="${at("media", "chat.css")}">
<title>BEAST MODE</title>
</head>
<body>
<main id="messages" role="log" aria-label="Conversation" aria-live="polite" tabindex="0"></main>
<form id="form">
<div id="about"><label><input type="checkbox" id="attach"> <span id="about-label"></span></label></div>
<textarea id="text" rows="2" aria-label="Your question" placeholder="Ask anything. Enter sends, Shift+Enter makes a new line."></textarea>
<div id="bar"><select id="model" aria-label="Model"></select><span id="reach" role="status"></span><button type="submit" id="send">Send</button><button type="button" id="stop" hidden>Stop</button></div>
</form>
<script nonce="${nonce}" src="${at("dist", "view.js")}"></script>
</body>
</html>`;
  }
}

function aboutOf(argument: ActionArgument): About {
  return { uri: argument.uri, ...(argument.range && { range: argument.range }), label: placeOf(argument) };
}

/** What the question of an answer was about. */
function aboutBefore(messages: Message[], index: number): About | undefined {
  return messages.slice(0, index + 1).findLast(({ role }) => role === "user")?.about;
}
