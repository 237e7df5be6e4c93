// How a person learns that something failed: one sentence, what to do next, and a button where one can do it.
import * as vscode from "vscode";
import { LSPErrorCodes, ResponseError } from "vscode-languageclient/node";
import type { Trouble } from "./contract";

/** A call failed because there is nobody to answer it. */
export class NotConnectedError extends Error {}

export function isCancelled(error: unknown): boolean {
  if (error instanceof vscode.CancellationError) return true;
  return error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled;
}

/** The sentence of an error; the server's own holds its first tip already. */
export function sentence(error: unknown): string {
  if (error instanceof NotConnectedError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return /connection got disposed|Connection is (closed|disposed)/i.test(message)
    ? "The connection to the daemon was lost before the answer was there. Ask again."
    : message;
}

export function requestOf(error: unknown): string | undefined {
  const data = error instanceof ResponseError ? (error.data as Trouble | undefined) : undefined;
  return data?.request_id ?? undefined;
}

/** Shows an error; what was cancelled was asked for, and is none. */
export async function show(error: unknown): Promise<void> {
  if (isCancelled(error)) return;
  const away = error instanceof NotConnectedError;
  const buttons = away ? ["Start the Daemon", "Help"] : ["Show Log"];
  const picked = await vscode.window.showErrorMessage(`BEAST MODE: ${sentence(error)}`, ...buttons);
  if (picked === "Start the Daemon") await vscode.commands.executeCommand("beast.startDaemon");
  if (picked === "Help") await vscode.commands.executeCommand("beast.getStarted");
  if (picked === "Show Log") await vscode.commands.executeCommand("beast.showLog");
}

/** Makes a command of it: what it throws is shown. */
export function guarded<A extends unknown[]>(work: (...given: A) => unknown): (...given: A) => Promise<unknown> {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      void show(error);
      return undefined;
    }
  };
}
