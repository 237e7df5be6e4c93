// The page of the chat view: draws the conversation that the extension tells it, and tells what the person does.
import type { Source } from "../contract";
import type { FromView, Message, ToView, ViewState } from "../talk";
import { rendered } from "./markdown";

declare function acquireVsCodeApi(): { postMessage(message: FromView): void; getState(): unknown; setState(state: unknown): void };

const editor = acquireVsCodeApi();
const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const list = element("messages");
const form = element<HTMLFormElement>("form");
const text = element<HTMLTextAreaElement>("text");
const model = element<HTMLSelectElement>("model");
const attach = element<HTMLInputElement>("attach");
const send = element<HTMLButtonElement>("send");
const stop = element<HTMLButtonElement>("stop");

let state: ViewState | undefined;
let drawn: string[] = [];
let frame = 0;

const post = (message: FromView): void => editor.postMessage(message);

window.addEventListener("message", ({ data }: MessageEvent<ToView>) => {
  if (data.type === "focus") return text.focus();
  if (data.type === "state") {
    state = data.state;
    return draw();
  }
  if (state?.conversation.id !== data.conversation) return;
  const last = state.conversation.messages.at(-1);
  if (last?.role === "assistant") last.text += data.delta;
  frame ||= requestAnimationFrame(drawMessages);
});

function draw(): void {
  const { busy, reach, why, about } = state!;
  stop.hidden = !busy;
  send.hidden = busy;
  send.disabled = reach !== "ready";
  element("reach").textContent = reach === "ready" ? "" : reach === "connecting" ? "Connecting…" : why;
  element("about").hidden = !about;
  element("about-label").textContent = about ? `Attach ${about}` : "";
  drawModels();
  drawMessages();
}

function drawModels(): void {
  const ids = ["", "auto", ...state!.models.filter((id) => id !== "auto")];
  if (!ids.includes(state!.model)) ids.push(state!.model);
  const options = ids.map((id) => new Option(id || "default model", id, false, id === state!.model));
  if (options.map((one) => one.value + one.selected).join() !== Array.from(model.options, (one) => one.value + one.selected).join()) {
    model.replaceChildren(...options);
  }
}

function drawMessages(): void {
  frame = 0;
  const { messages, id } = state!.conversation;
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const wanted = messages.map((message, index) => JSON.stringify([id, message, isRunning(index)]));
  wanted.forEach((key, index) => {
    if (drawn[index] === key) return;
    const fresh = article(messages[index]!, index);
    const old = list.children[index];
    if (old && !old.classList.contains("empty")) old.replaceWith(fresh);
    else if (old) list.replaceChildren(fresh);
    else list.append(fresh);
  });
  while (list.children.length > wanted.length) list.lastElementChild!.remove();
  drawn = wanted;
  if (!messages.length) list.replaceChildren(empty());
  list.setAttribute("aria-busy", String(state!.busy));
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function isRunning(index: number): boolean {
  return state!.busy && index === state!.conversation.messages.length - 1;
}

function make(tag: string, className = "", content = ""): HTMLElement {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

function empty(): HTMLElement {
  const made = make("div", "empty");
  made.append(make("h2", "", "BEAST MODE"), make("p", "", "Ask about your code, or select some and use Explain, Fix, Refactor, Write Docstring, Write Tests."));
  if (state!.reach === "missing") made.append(action("Get started", "getStarted"));
  if (state!.reach === "absent") made.append(action("Start the daemon", "startDaemon"));
  return made;
}

type Command = Extract<FromView, { type: "command" }>["command"];

function action(label: string, command: Command, request_id?: string): HTMLButtonElement {
  const made = make("button", "link", label) as HTMLButtonElement;
  made.type = "button";
  made.addEventListener("click", () => post({ type: "command", command, ...(request_id && { request_id }) }));
  return made;
}

function article(message: Message, index: number): HTMLElement {
  const made = make("article", message.role);
  made.setAttribute("aria-label", message.role === "user" ? "You" : "Answer");
  if (message.role === "user") {
    const said = make("div", "said", message.text);
    made.append(said);
    if (message.about) made.append(make("div", "attached", message.about.label));
    return made;
  }
  const body = make("div", "body");
  body.dataset.index = String(index);
  body.innerHTML = rendered(message.text); // markdown.ts escapes all that the model wrote
  if (isRunning(index)) body.classList.add("running");
  made.append(body, foot(message, index));
  return made;
}

function foot(message: Message, index: number): HTMLElement {
  const made = make("footer");
  if (message.error) made.append(make("span", "error", message.error));
  if (message.stopped) made.append(make("span", "stopped", "Stopped."));
  if (message.sources?.length) made.append(sources(message.sources, index));
  if (message.costLine) {
    const cost = make("span", "cost", message.costLine);
    if (message.cache) cost.dataset.cache = message.cache;
    made.append(cost);
  }
  if (message.request_id) made.append(action("Why this answer?", "explainLast", message.request_id));
  if (message.cache?.startsWith("hit") && message.request_id) made.append(action("Not a good answer", "reject", message.request_id));
  const isLast = index === state!.conversation.messages.length - 1;
  if (isLast && !state!.busy && (message.error || message.stopped)) {
    const again = make("button", "link", "Ask again") as HTMLButtonElement;
    again.addEventListener("click", () => post({ type: "again" }));
    made.append(again);
  }
  return made;
}

function sources(all: Source[], index: number): HTMLElement {
  const made = document.createElement("details");
  made.className = "sources";
  made.append(make("summary", "", all.length === 1 ? "1 source" : `${all.length} sources`));
  all.forEach((one, source) => {
    const button = make("button", "link", `${one.path}:${one.first_line ?? 1}${one.symbol ? ` ${one.symbol}` : ""}`) as HTMLButtonElement;
    button.type = "button";
    button.addEventListener("click", () => post({ type: "source", message: index, source }));
    made.append(button);
  });
  return made;
}

function ask(): void {
  const said = text.value.trim();
  if (!said || state?.busy || state?.reach !== "ready") return;
  post({ type: "ask", text: said, attach: attach.checked && !element("about").hidden });
  text.value = "";
  remember();
  grow();
}

function grow(): void {
  text.rows = Math.min(10, Math.max(2, text.value.split("\n").length));
}

function remember(): void {
  editor.setState({ text: text.value, attach: attach.checked });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  }
});
text.addEventListener("input", () => {
  grow();
  remember();
});
attach.addEventListener("change", remember);
model.addEventListener("change", () => post({ type: "model", id: model.value }));
stop.addEventListener("click", () => post({ type: "stop" }));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state?.busy) post({ type: "stop" });
});
list.addEventListener("click", (event) => {
  const target = event.target as HTMLElement;
  const link = target.closest("a");
  if (link) {
    event.preventDefault();
    return post({ type: "open", href: link.getAttribute("href") ?? "" });
  }
  const button = target.closest<HTMLButtonElement>("button[data-do]");
  const block = button?.closest<HTMLElement>(".code");
  if (!button || !block) return;
  const code = block.querySelector("code")?.textContent ?? "";
  const index = Number(block.closest<HTMLElement>(".body")?.dataset.index ?? -1);
  post({ type: "code", do: button.dataset.do as "copy", code, language: block.dataset.language ?? "", message: index });
  if (button.dataset.do === "copy") {
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
});

const before = editor.getState() as { text?: string; attach?: boolean } | undefined;
text.value = before?.text ?? "";
attach.checked = before?.attach ?? false;
grow();
post({ type: "ready" });
