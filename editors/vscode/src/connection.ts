// Finds a way to the server: its socket where a daemon listens, else the command `beast lsp`, which starts one.
import { spawn, type ChildProcess } from "node:child_process";
import { createConnection, type Socket } from "node:net";
import { beastProgram, socketPath, surroundings, withHome } from "./places";
import type { Way } from "./settings";

export interface Streams {
  reader: NodeJS.ReadableStream;
  writer: NodeJS.WritableStream;
  how: "socket" | "shim";
  close(): void;
}

/** Nobody listens, and there is no command that could change that. */
export class NoDaemonError extends Error {
  constructor(message: string, readonly installed: boolean) {
    super(message);
  }
}

/** Connects to a Unix socket; undefined where nobody listens. */
export function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.removeAllListeners("error");
      socket.on("error", () => socket.destroy());
      resolve(socket);
    });
    socket.once("error", () => resolve(undefined));
  });
}

/**
 * One attempt to reach the server.
 *
 * @param way The settings.
 * @param mayStart Whether a daemon may be started for it.
 * @param log Takes what `beast lsp` says on its standard error.
 * @throws NoDaemonError with what to do about it.
 */
export async function reach(way: Way, mayStart: boolean, log: (line: string) => void): Promise<Streams> {
  const where = surroundings(way.home);
  const path = way.socket ? withHome(way.socket) : socketPath("lsp.sock", where);
  const socket = await dial(path);
  if (socket) return { reader: socket, writer: socket, how: "socket", close: () => socket.destroy() };
  const program = beastProgram(way.path, where.environ);
  if (!program) {
    throw new NoDaemonError(`No daemon listens on ${path}, and the command "${way.path}" is not there.`, false);
  }
  if (!mayStart) throw new NoDaemonError(`No daemon listens on ${path}.`, true);
  return throughShim(program, where.environ, log);
}

function throughShim(program: string, environ: NodeJS.ProcessEnv, log: (line: string) => void): Promise<Streams> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(program, ["lsp"], { env: environ, stdio: ["pipe", "pipe", "pipe"] });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => text.trim() && log(text.trimEnd()));
    child.once("error", (error) => reject(new NoDaemonError(`${program} can not be started: ${error.message}`, false)));
    child.once("spawn", () => {
      if (!child.stdout || !child.stdin) return reject(new Error(`${program} has no standard input and output.`));
      child.stdin.on("error", () => child.kill());
      child.on("error", () => undefined);
      resolve({ reader: child.stdout, writer: child.stdin, how: "shim", close: () => child.kill() });
    });
  });
}
