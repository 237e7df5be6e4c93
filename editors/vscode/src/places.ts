// Where the daemon's sockets are: the same rules as the daemon's own, and no editor needed to read them.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";

const LONGEST_SOCKET_PATH_BYTES = 100;

export interface Surroundings {
  environ: NodeJS.ProcessEnv;
  platform: NodeJS.Platform;
  uid: number;
  tmp: string;
}

export function surroundings(home = ""): Surroundings {
  const environ = home ? { ...process.env, BEAST_HOME: withHome(home) } : process.env;
  return { environ, platform: process.platform, uid: userInfo().uid, tmp: tmpdir() };
}

/** `~` as shells read it. */
export function withHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

/** The folder of sockets, from BEAST_HOME or the platform's own. */
export function runFolder({ environ, platform }: Surroundings): string {
  if (environ.BEAST_HOME) return join(resolve(withHome(environ.BEAST_HOME)), "run");
  const user = environ.HOME || homedir();
  if (platform === "darwin") return join(user, "Library", "Application Support", "beastmode", "run");
  const runtime = environ.XDG_RUNTIME_DIR ?? "";
  if (isAbsolute(runtime)) return join(runtime, "beastmode");
  const state = environ.XDG_STATE_HOME ?? "";
  return join(isAbsolute(state) ? state : join(user, ".local/state"), "beastmode", "run");
}

/** A socket's path; one that is too long for the kernel falls back to a short one, as the daemon's does. */
export function socketPath(name: "lsp.sock" | "rpc.sock", where: Surroundings): string {
  const path = join(runFolder(where), name);
  if (Buffer.byteLength(path) <= LONGEST_SOCKET_PATH_BYTES) return path;
  const digest = createHash("sha256").update(path).digest("hex").slice(0, 16);
  return join(where.tmp, `beast-${where.uid}-${digest}`, name);
}

/** The command `beast`: as set, or where installers put it that a desktop's PATH does not name. */
export function beastProgram(setting: string, environ: NodeJS.ProcessEnv): string | undefined {
  const wanted = withHome(setting || "beast");
  if (wanted.includes("/")) return existsSync(wanted) ? wanted : undefined;
  const user = environ.HOME || homedir();
  const folders = [...(environ.PATH ?? "").split(delimiter), join(user, ".local/bin"), "/opt/homebrew/bin", "/usr/local/bin"];
  return folders.filter(isAbsolute).map((folder) => join(folder, wanted)).find(existsSync);
}
