// The daemon's models in the editor's own chat and agent mode, where the editor takes models from extensions.
import * as vscode from "vscode";
import type { Answer, Model } from "./contract";
import type { ModelChoice } from "./models";
import { registerModels, TOOL_REQUIRED, toolCallPart, textPart, type ModelInformation, type ModelProvider, type RequestMessage, type ResponseOptions } from "./newer";
import { call } from "./rpc";
import { languageModelsEnabled, way } from "./settings";
import { costLineOf, type StatusBar } from "./status";

const CONTEXT_TOKENS = 32_768; // where nobody knows better
const ANSWER_TOKENS = 4096;
const CHARACTERS_PER_TOKEN = 4;

interface ToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

interface WireMessage {
  role: "user" | "assistant" | "tool";
  content: string | object[] | null;
  tool_calls?: ToolCall[];
  tool_call_id?: string;
}

/** Registers them; nothing where the editor is too old. */
export function offerModels(choice: ModelChoice, status: StatusBar): vscode.Disposable | undefined {
  return registerModels("beast", new Provider(choice, status));
}

class Provider implements ModelProvider {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeLanguageModelChatInformation = this.changed.event;

  constructor(
    private readonly choice: ModelChoice,
    private readonly status: StatusBar,
  ) {
    choice.onDidList(() => this.changed.fire());
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("beast.languageModels")) this.changed.fire();
    });
  }

  async provideLanguageModelChatInformation(): Promise<ModelInformation[]> {
    if (!languageModelsEnabled() || !this.choice.models.length) return [];
    const models = this.choice.models.filter(({ id }) => id !== "auto");
    return [information({ id: "auto" }, "the best that can answer"), ...models.map((model) => information(model))];
  }

  async provideLanguageModelChatResponse(
    model: ModelInformation,
    messages: readonly RequestMessage[],
    options: ResponseOptions,
    progress: vscode.Progress<unknown>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    let streamed = "";
    const onDelta = (delta: string) => {
      streamed += delta;
      progress.report(textPart(delta));
    };
    const params = { model: model.id, messages: messages.flatMap(wireMessages), stream: true, client: "vscode", ...tools(options) };
    const answer = await call<Answer & { tool_calls?: ToolCall[] }>(way().home, "chat", params, { token, onDelta });
    if (!streamed && answer.text) progress.report(textPart(answer.text));
    for (const one of answer.tool_calls ?? []) {
      progress.report(toolCallPart(one.id, one.function.name, argumentsOf(one)));
    }
    this.status.answered(costLineOf(answer));
  }

  async provideTokenCount(_model: ModelInformation, text: string | RequestMessage): Promise<number> {
    const all = typeof text === "string" ? text : wireMessages(text).map(({ content }) => JSON.stringify(content)).join("");
    return Math.ceil(all.length / CHARACTERS_PER_TOKEN);
  }
}

function information(model: Model, tooltip?: string): ModelInformation {
  const context = Number(model.context_tokens ?? 0) || CONTEXT_TOKENS;
  const answer = Math.min(ANSWER_TOKENS, Math.floor(context / 4));
  return {
    id: model.id,
    name: model.id === "auto" ? "Auto (BEAST MODE)" : model.id,
    family: model.id.split(":")[0] ?? "beast",
    version: "1",
    detail: "BEAST MODE",
    ...(tooltip && { tooltip }),
    maxInputTokens: context - answer,
    maxOutputTokens: answer,
    capabilities: { toolCalling: true, imageInput: false },
  };
}

function argumentsOf({ function: { arguments: said } }: ToolCall): object {
  try {
    return JSON.parse(said || "{}") as object;
  } catch {
    return { malformed: said };
  }
}

function tools(options: ResponseOptions): object {
  if (!options.tools?.length) return {};
  const described = options.tools.map(({ name, description, inputSchema }) => ({
    type: "function",
    function: { name, description, parameters: inputSchema ?? { type: "object", properties: {} } },
  }));
  return { tools: described, tool_choice: options.toolMode === TOOL_REQUIRED ? "required" : "auto" };
}

interface Part {
  value?: unknown;
  callId?: string;
  name?: string;
  input?: object;
  content?: unknown[];
  data?: Uint8Array;
  mimeType?: string;
}

/** A message of the editor in the shape of OpenAI's chat format; results of tools are messages of their own there. */
export function wireMessages(message: RequestMessage): WireMessage[] {
  const parts = (typeof message.content === "string" ? [{ value: message.content }] : message.content) as Part[];
  const results = parts.filter((part) => part.callId && part.content).map((part): WireMessage => ({
    role: "tool",
    tool_call_id: part.callId!,
    content: textOf(part.content as Part[]),
  }));
  const calls = parts.filter((part) => part.callId && part.name).map((part): ToolCall => ({
    id: part.callId!,
    type: "function",
    function: { name: part.name!, arguments: JSON.stringify(part.input ?? {}) },
  }));
  const said = textOf(parts.filter((part) => !part.callId));
  const isAssistant = message.role === vscode.LanguageModelChatMessageRole.Assistant;
  if (isAssistant) return said || calls.length ? [{ role: "assistant", content: said || null, ...(calls.length && { tool_calls: calls }) }] : [];
  return said ? [...results, { role: "user", content: said }] : results;
}

function textOf(parts: Part[]): string {
  return parts.map((part) => (typeof part.value === "string" ? part.value : "")).join("");
}
