// Calls of the daemon's own JSON-RPC socket, for whole conversations with tools, which the server for editors has no command for.
import type { CancellationToken } from "vscode";
import { dial } from "./connection";
import { socketPath, surroundings } from "./places";

export class DaemonError extends Error {
  constructor(
    message: string,
    readonly code: number,
  ) {
    super(message);
  }
}

interface Reply {
  id?: number;
  method?: string;
  params?: { token: number; value: { delta?: string } };
  result?: unknown;
  error?: { code: number; message: string; data?: { tip?: string[] } };
}

const ID = 1;

/** Cuts what comes into lines of JSON. */
export function lineReader(take: (reply: Reply) => void): (chunk: Buffer) => void {
  let rest: Buffer[] = [];
  return (chunk) => {
    for (let from = 0; ; ) {
      const end = chunk.indexOf(10, from);
      if (end < 0) return void rest.push(chunk.subarray(from));
      const line = Buffer.concat([...rest, chunk.subarray(from, end)]).toString("utf8");
      rest = [];
      from = end + 1;
      if (line.trim()) take(JSON.parse(line) as Reply);
    }
  };
}

/**
 * One call, over a connection of its own.
 *
 * @param home As the setting `beast.home`.
 * @param method Such as `chat`.
 * @param params Its parameters.
 * @param options To stop it, and to get its text as it comes.
 */
export async function call<T>(
  home: string,
  method: string,
  params: object,
  options: { token?: CancellationToken; onDelta?: (delta: string) => void } = {},
): Promise<T> {
  const path = socketPath("rpc.sock", surroundings(home));
  const socket = await dial(path);
  if (!socket) throw new DaemonError(`No daemon listens on ${path}. Start it: beast start`, 0);
  const send = (message: object) => socket.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  const stop = options.token?.onCancellationRequested(() => send({ method: "$/cancelRequest", params: { id: ID } }));
  try {
    return await new Promise<T>((resolve, reject) => {
      const take = (reply: Reply) => {
        if (reply.method === "$/progress" && reply.params?.value.delta) options.onDelta?.(reply.params.value.delta);
        if (reply.id !== ID) return;
        if (reply.error) reject(new DaemonError(withTip(reply.error), reply.error.code));
        else resolve(reply.result as T);
      };
      socket.on("data", lineReader(take));
      socket.on("close", () => reject(new DaemonError("The daemon closed the connection before the answer was there.", 0)));
      send({ id: ID, method, params });
    });
  } finally {
    stop?.dispose();
    socket.destroy();
  }
}

function withTip(error: { message: string; data?: { tip?: string[] } }): string {
  const [tip] = error.data?.tip ?? [];
  return tip ? `${error.message} Try: ${tip}` : error.message;
}
