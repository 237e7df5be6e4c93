// Where sockets are: the daemon's own rules.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { beastProgram, runFolder, socketPath, withHome, type Surroundings } from "../src/places";

const where = (environ: NodeJS.ProcessEnv, platform: NodeJS.Platform = "linux"): Surroundings => ({ environ, platform, uid: 7, tmp: "/t" });

test("BEAST_HOME holds everything", () => {
  assert.equal(socketPath("lsp.sock", where({ BEAST_HOME: "/b", XDG_RUNTIME_DIR: "/run/user/7" })), "/b/run/lsp.sock");
  assert.equal(runFolder(where({ BEAST_HOME: "~/b" })), `${withHome("~/b")}/run`);
});

test("else the platform's own folders", () => {
  assert.equal(runFolder(where({ XDG_RUNTIME_DIR: "/run/user/7" })), "/run/user/7/beastmode");
  assert.equal(runFolder(where({ HOME: "/h", XDG_STATE_HOME: "/s" })), "/s/beastmode/run");
  assert.equal(runFolder(where({ HOME: "/h", XDG_STATE_HOME: "relative" })), "/h/.local/state/beastmode/run");
  assert.equal(runFolder(where({ HOME: "/h" }, "darwin")), "/h/Library/Application Support/beastmode/run");
});

test("a path that is too long for a socket falls back to a short one", () => {
  const home = `/${"x".repeat(100)}`;
  const digest = createHash("sha256").update(`${home}/run/lsp.sock`).digest("hex").slice(0, 16);
  assert.equal(socketPath("lsp.sock", where({ BEAST_HOME: home })), `/t/beast-7-${digest}/lsp.sock`);
});

test("a program that is not there is none", () => {
  assert.equal(beastProgram("/nowhere/beast", {}), undefined);
  assert.equal(beastProgram(process.execPath, {}), process.execPath);
  assert.equal(beastProgram("no-such-program", { PATH: "/usr/bin:relative", HOME: "/h" }), undefined);
});
