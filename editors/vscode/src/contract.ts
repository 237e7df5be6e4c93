// The words that the server and this extension agree on: arguments and results of its commands, its notifications.
import type { Diagnostic, Range } from "vscode-languageserver-protocol";

export const KINDS = ["explain", "fix", "refactor", "docstring", "tests", "generate", "ask"] as const;
export type Kind = (typeof KINDS)[number];

/** What `beast.<kind>` takes. */
export interface ActionArgument {
  uri: string;
  range?: Range;
  instruction?: string;
  diagnostics?: Diagnostic[];
  model?: string;
  id?: string;
  apply?: boolean;
  show?: boolean;
  cache?: string;
}

export interface ChatArgument {
  message: string;
  session_id?: string;
  model?: string;
  uri?: string;
  range?: Range;
  files?: string[];
  diagnostics?: Diagnostic[];
  retrieve?: boolean;
  id?: string;
  cache?: string;
}

/** A piece of the workspace that an answer was made from, as it lies now; lines count from 1. */
export interface Source {
  path: string;
  uri?: string;
  symbol?: string;
  first_line?: number;
  last_line?: number;
}

export interface CacheInfo {
  result: "hit_exact" | "hit_semantic" | "miss" | "bypass" | "stale";
  tier?: string | null;
  why?: string | null;
}

/** What every answer tells about itself. Unknown is null, never zero. */
export interface Answer {
  request_id: string;
  text: string;
  model: string;
  provider?: string;
  cost_usd: number | null;
  saved_usd: number | null;
  latency_ms: number;
  cache?: CacheInfo;
  costLine?: string;
  sources?: Source[];
}

export interface Edit {
  uri: string;
  version?: number | null;
  diff: string;
  kind: "modify" | "create" | "delete" | "rename";
  new_uri?: string;
}

export interface ActionResult extends Answer {
  summary?: string;
  edits: Edit[];
  applied: boolean;
  reason?: string | null;
}

export interface ChatResult extends Answer {
  session_id?: string | null;
}

export interface Applied {
  applied: boolean;
  reason?: string | null;
}

export interface Today {
  cost_usd: number | null;
  saved_usd: number | null;
  requests: number;
  hit_rate: number | null;
}

/** Result of `beast.status` and parameters of the notification `beast/status`. */
export interface Status {
  version?: string;
  health: string | { state?: string; status?: string; causes?: unknown };
  model?: string | null;
  today?: Today | null;
  line?: string;
}

/** Result of `beast.openWorkspace` and `beast.closeWorkspace`. */
export interface Folder {
  path: string;
  state: "scanning" | "ready" | "away" | "closed" | "declined" | "unasked";
}

export interface Costs {
  today: Today;
  month: Today;
  line: string;
}

export interface Model {
  id: string;
  state?: string;
  name?: string;
  context_tokens?: number | null;
  [more: string]: unknown;
}

export interface Models {
  models: Model[];
  available?: unknown[];
}

export interface Delta {
  id: string;
  delta: string;
}

export interface Done {
  id: string;
  cancelled: boolean;
  error?: unknown;
}

/** `error.data` of the server: always with something that a person can act on. */
export interface Trouble {
  kind?: string;
  tip?: string[];
  request_id?: string | null;
}
