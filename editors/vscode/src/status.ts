// The status bar: health, today's cost and the share of cached answers; its tooltip has the details, a click the menu.
import * as vscode from "vscode";
import type { Answer, Status } from "./contract";
import type { Reach, Server } from "./server";
import { statusBarEnabled } from "./settings";

const WARNING = new vscode.ThemeColor("statusBarItem.warningBackground");
const ERROR = new vscode.ThemeColor("statusBarItem.errorBackground");
const COST_SHOWN_MS = 20_000;

export function money(usd: number | null | undefined): string {
  if (usd === null || usd === undefined) return "cost unknown";
  if (usd === 0) return "0 $";
  if (usd < 0.0001) return "< 0.0001 $";
  return `${usd.toFixed(usd < 1 ? 4 : 2)} $`;
}

export function share(rate: number | null | undefined): string {
  return rate === null || rate === undefined ? "–" : `${Math.round(rate * 100)} %`;
}

/** The line below an answer, for those that came without one. */
export function costLineOf(answer: Answer): string {
  const hit = answer.cache?.result.startsWith("hit");
  const paid = hit ? `from the cache, saved ${money(answer.saved_usd)}` : money(answer.cost_usd);
  return answer.costLine ?? [answer.model, paid, `${Math.round(answer.latency_ms)} ms`].join(" · ");
}

/** Health in one word, whichever shape it came in. */
export function healthOf(status: Status | undefined): string {
  const health = status?.health;
  return (typeof health === "string" ? health : (health?.state ?? health?.status)) ?? "unknown";
}

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("beast.status", vscode.StatusBarAlignment.Right, 90);
  private readonly heard: vscode.Disposable[] = [];
  private cost: vscode.Disposable | undefined;
  status: Status | undefined;

  constructor(private readonly server: Server) {
    this.item.name = "BEAST MODE";
    this.item.command = "beast.menu";
    this.heard.push(
      server.onDidChange((reach) => this.follow(reach)),
      server.onStatus((status) => this.take(status)),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("beast.statusBar")) this.draw();
      }),
    );
    this.draw();
  }

  /** What the last answer cost, for a while. */
  answered(costLine: string | undefined): void {
    if (!costLine) return;
    this.cost?.dispose();
    this.cost = vscode.window.setStatusBarMessage(`$(zap) ${costLine}`, COST_SHOWN_MS);
  }

  dispose(): void {
    this.cost?.dispose();
    this.item.dispose();
    for (const one of this.heard) one.dispose();
  }

  private follow(reach: Reach): void {
    void vscode.commands.executeCommand("setContext", "beast.ready", reach === "ready");
    this.draw();
    if (reach === "ready") {
      this.server.run<Status>("beast.status").then(
        (status) => this.take(status),
        (error: Error) => this.server.log.warn(`beast.status: ${error.message}`),
      );
    }
  }

  private take(status: Status): void {
    this.status = { ...this.status, ...status };
    this.draw();
  }

  private draw(): void {
    if (!statusBarEnabled()) return this.item.hide();
    const health = healthOf(this.status);
    const ready = this.server.reach === "ready";
    this.item.text = ready ? `${icon(health)} BEAST ${figures(this.status)}`.trimEnd() : away(this.server.reach);
    this.item.backgroundColor = !ready ? undefined : health === "unhealthy" ? ERROR : health === "degraded" ? WARNING : undefined;
    this.item.tooltip = this.tooltip(ready, health);
    this.item.accessibilityInformation = { label: `BEAST MODE, ${ready ? `${health}, ${figures(this.status)}` : this.server.reach}`, role: "button" };
    this.item.show();
  }

  private tooltip(ready: boolean, health: string): vscode.MarkdownString {
    const text = new vscode.MarkdownString("", true);
    text.isTrusted = { enabledCommands: ["beast.openChat", "beast.selectModel", "beast.dashboard", "beast.startDaemon"] };
    if (!ready) {
      text.appendMarkdown("**BEAST MODE**\n\n");
      text.appendText(this.server.why || "Connecting to the daemon.");
      return text.appendMarkdown("\n\n[Start the daemon](command:beast.startDaemon)");
    }
    const today = this.status?.today;
    text.appendMarkdown(`**BEAST MODE** ${this.status?.version ?? ""}\n\n| | |\n|---|---|\n| Health | ${health} |\n`);
    text.appendMarkdown(`| Model | ${escaped(this.status?.model || "the daemon's default")} |\n`);
    if (today) {
      text.appendMarkdown(`| Cost today | ${money(today.cost_usd)} |\n| Saved today | ${money(today.saved_usd)} |\n`);
      text.appendMarkdown(`| Requests today | ${today.requests} |\n| From the cache | ${share(today.hit_rate)} |\n`);
    }
    return text.appendMarkdown(
      "\n[Chat](command:beast.openChat) · [Model](command:beast.selectModel) · [Dashboard](command:beast.dashboard)",
    );
  }
}

function icon(health: string): string {
  return { degraded: "$(warning)", unhealthy: "$(error)" }[health] ?? "$(zap)";
}

function away(reach: Reach): string {
  if (reach === "connecting") return "$(sync~spin) BEAST";
  return reach === "missing" ? "$(cloud-download) BEAST: not installed" : "$(debug-disconnect) BEAST: no daemon";
}

function figures(status: Status | undefined): string {
  const today = status?.today;
  return today ? `${money(today.cost_usd)} · ${share(today.hit_rate)}` : "";
}

function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>$]/g, "\\$&");
}
