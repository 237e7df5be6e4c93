// What newer editors have beyond the oldest one we run in (1.91): its types, by hand, and whether it is there.
import * as vscode from "vscode";

export interface ModelInformation {
  id: string;
  name: string;
  family: string;
  version: string;
  detail?: string;
  tooltip?: string;
  maxInputTokens: number;
  maxOutputTokens: number;
  capabilities: { imageInput?: boolean; toolCalling?: boolean };
}

export interface RequestMessage {
  role: vscode.LanguageModelChatMessageRole;
  content: readonly unknown[] | string;
  name?: string;
}

export interface ResponseOptions {
  modelOptions?: Record<string, unknown>;
  tools?: readonly { name: string; description: string; inputSchema?: object }[];
  toolMode?: number;
}

export interface ModelProvider {
  onDidChangeLanguageModelChatInformation?: vscode.Event<void>;
  provideLanguageModelChatInformation(options: { silent: boolean }, token: vscode.CancellationToken): Promise<ModelInformation[]>;
  provideLanguageModelChatResponse(
    model: ModelInformation,
    messages: readonly RequestMessage[],
    options: ResponseOptions,
    progress: vscode.Progress<unknown>,
    token: vscode.CancellationToken,
  ): Promise<void>;
  provideTokenCount(model: ModelInformation, text: string | RequestMessage, token: vscode.CancellationToken): Promise<number>;
}

interface Newer {
  lm?: { registerLanguageModelChatProvider?(vendor: string, provider: ModelProvider): vscode.Disposable };
  chat?: { createChatParticipant?: typeof vscode.chat.createChatParticipant };
  LanguageModelTextPart?: new (value: string) => unknown;
  LanguageModelToolCallPart?: new (callId: string, name: string, input: object) => unknown;
}

const newer = vscode as unknown as Newer;

/** `LanguageModelChatToolMode.Required`. */
export const TOOL_REQUIRED = 2;

/** Registers a provider of models, where the editor takes one. */
export function registerModels(vendor: string, provider: ModelProvider): vscode.Disposable | undefined {
  return newer.LanguageModelTextPart && newer.lm?.registerLanguageModelChatProvider?.(vendor, provider);
}

/** Makes a participant of the editor's chat, where it has one. */
export function participant(id: string, handler: vscode.ChatRequestHandler): vscode.ChatParticipant | undefined {
  return newer.chat?.createChatParticipant?.(id, handler);
}

export const textPart = (value: string): unknown => new newer.LanguageModelTextPart!(value);

export function toolCallPart(callId: string, name: string, input: object): unknown {
  return newer.LanguageModelToolCallPart && new newer.LanguageModelToolCallPart(callId, name, input);
}
