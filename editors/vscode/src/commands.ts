// The commands of the palette that are no actions on code: costs, the dashboard, the last answer, the menu, the daemon.
import * as vscode from "vscode";
import type { Costs, Folder } from "./contract";
import { registerModel, type ModelChoice } from "./models";
import type { Server } from "./server";
import { money, share } from "./status";

export function tools(server: Server, choice: ModelChoice): Record<string, (...given: never[]) => unknown> {
  return {
    registerModel: () => registerModel(server, choice),
    selectModel: () => choice.pick(),
    cost: () => showCost(server),
    dashboard: () => openDashboard(server),
    explainLast: (request_id?: string) => server.run("beast.explainLast", typeof request_id === "string" ? { request_id } : {}),
    reject: (request_id?: string) => reject(server, typeof request_id === "string" ? request_id : undefined),
    openWorkspace: () => folder(server, "beast.openWorkspace"),
    closeWorkspace: () => folder(server, "beast.closeWorkspace"),
    context: () => showContext(server),
    menu: () => menu(server),
    startDaemon: () => server.reconnect(),
    reconnect: () => server.reconnect(),
    showLog: () => server.log.show(),
    getStarted: () => vscode.commands.executeCommand("workbench.action.openWalkthrough", "beastmode.beast-mode#start", false),
  };
}

async function showCost(server: Server): Promise<void> {
  const { today, month, line } = await server.run<Costs>("beast.cost");
  const detail = [
    `Today: ${money(today.cost_usd)}, saved ${money(today.saved_usd)}, ${today.requests} requests, ${share(today.hit_rate)} from the cache`,
    `This month: ${money(month.cost_usd)}, saved ${money(month.saved_usd)}, ${month.requests} requests, ${share(month.hit_rate)} from the cache`,
  ].join("\n");
  const picked = await vscode.window.showInformationMessage(line ? `BEAST: ${line}` : "BEAST: costs", { modal: true, detail }, "Open Dashboard");
  if (picked) await openDashboard(server);
}

async function openDashboard(server: Server): Promise<void> {
  await server.run("beast.dashboard"); // the server has the editor open it
}

async function reject(server: Server, request_id: string | undefined): Promise<void> {
  await server.run("beast.reject", request_id ? { request_id } : {});
  void vscode.window.showInformationMessage("BEAST: this stored answer will not be given to this question again.");
}

const STATES: Partial<Record<Folder["state"], string>> = { scanning: "is being read", ready: "is open", closed: "is closed", declined: "is not read" };

async function folder(server: Server, command: "beast.openWorkspace" | "beast.closeWorkspace"): Promise<void> {
  const uri = vscode.window.activeTextEditor?.document.uri;
  const { path, state } = await server.run<Folder>(command, uri?.scheme === "file" ? { uri: uri.toString() } : {});
  void vscode.window.showInformationMessage(`BEAST: ${path} ${STATES[state] ?? state}.`);
}

/** Shows what would go along with a question; no model is asked. */
async function showContext(server: Server): Promise<void> {
  const message = await vscode.window.showInputBox({ title: "BEAST MODE: Show Context", prompt: "A question about this workspace" });
  if (message) await server.run("beast.context", { message }); // the server has the editor open the page
}

const CHOICES: [label: string, command: string, away?: boolean][] = [
  ["$(comment-discussion) Open Chat", "beast.openChat"],
  ["$(symbol-event) Select Model", "beast.selectModel"],
  ["$(add) Register Custom Model", "beast.registerModel"],
  ["$(credit-card) Show Cost", "beast.cost"],
  ["$(dashboard) Open Dashboard", "beast.dashboard"],
  ["$(question) Explain Last Answer", "beast.explainLast"],
  ["$(folder-opened) Open Workspace", "beast.openWorkspace"],
  ["$(list-tree) Show Context", "beast.context"],
  ["$(thumbsdown) Reject Cached Answer", "beast.reject"],
  ["$(play) Start the Daemon", "beast.startDaemon", true],
  ["$(book) Get Started", "beast.getStarted", true],
  ["$(refresh) Reconnect", "beast.reconnect", true],
  ["$(output) Show Log", "beast.showLog", true],
  ["$(gear) Settings", "workbench.action.openSettings", true],
];

async function menu(server: Server): Promise<void> {
  const ready = server.reach === "ready";
  const items = CHOICES.filter(([, command, away]) => (ready ? command !== "beast.startDaemon" : away)).map(([label, command]) => ({ label, command }));
  const picked = await vscode.window.showQuickPick(items, { title: "BEAST MODE", placeHolder: ready ? undefined : server.why });
  if (!picked) return;
  const given = picked.command === "workbench.action.openSettings" ? ["beast."] : [];
  await vscode.commands.executeCommand(picked.command, ...given);
}
