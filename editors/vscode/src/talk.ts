// What the chat view and the extension say to each other, and what a conversation is.
import type { CacheInfo, Source } from "./contract";

export interface About {
  uri: string;
  range?: { start: { line: number; character: number }; end: { line: number; character: number } };
  label: string;
  /** What the range held when it was asked about. */
  text?: string;
}

export interface Message {
  role: "user" | "assistant";
  text: string;
  /** What was attached to a question. */
  about?: About;
  costLine?: string;
  cache?: CacheInfo["result"];
  request_id?: string;
  model?: string;
  /** What of the workspace an answer was made from. */
  sources?: Source[];
  /** Why an answer is not whole. */
  error?: string;
  stopped?: boolean;
}

export interface Conversation {
  id: string;
  at: number;
  messages: Message[];
}

export type CodeDo = "copy" | "insert" | "apply" | "diff";

/** From the view. */
export type FromView =
  | { type: "ready" }
  | { type: "ask"; text: string; attach: boolean }
  | { type: "stop" }
  | { type: "again" }
  | { type: "model"; id: string }
  | { type: "code"; do: CodeDo; code: string; language: string; message: number }
  | { type: "open"; href: string }
  | { type: "source"; message: number; source: number }
  | { type: "command"; command: "explainLast" | "reject" | "newChat" | "history" | "startDaemon" | "getStarted"; request_id?: string };

export interface ViewState {
  conversation: Conversation;
  busy: boolean;
  model: string;
  models: string[];
  reach: "connecting" | "ready" | "absent" | "missing";
  why: string;
  about?: string;
}

/** To the view. */
export type ToView =
  | { type: "state"; state: ViewState }
  | { type: "delta"; conversation: string; delta: string }
  | { type: "focus" };

export function titleOf(conversation: Conversation): string {
  const first = conversation.messages.find(({ role }) => role === "user")?.text.trim() ?? "";
  const line = first.split("\n")[0] ?? "";
  return line.length > 60 ? `${line.slice(0, 59)}…` : line || "New chat";
}
