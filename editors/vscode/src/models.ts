// Models: choosing one for this window, and registering one of the person's own.
import * as vscode from "vscode";
import type { Model, Models } from "./contract";
import type { Server } from "./server";
import { defaultModel } from "./settings";

const CHOSEN = "beast.chosenModel";

/** The model that this window asks; it survives a restart of the daemon, which forgets it. */
export class ModelChoice implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<string>();
  private readonly listed = new vscode.EventEmitter<Model[]>();
  private readonly heard: vscode.Disposable;
  readonly onDidChange = this.changed.event;
  readonly onDidList = this.listed.event;
  models: Model[] = [];

  constructor(
    private readonly server: Server,
    private readonly memory: vscode.Memento,
  ) {
    this.heard = server.onDidChange((reach) => {
      if (reach === "ready") this.refresh().catch((error: Error) => server.log.warn(`models: ${error.message}`));
    });
  }

  /** Its id; empty: the daemon's default. */
  get model(): string {
    return this.memory.get<string>(CHOSEN) ?? defaultModel();
  }

  dispose(): void {
    this.heard.dispose();
  }

  /** Tells a fresh connection what was chosen, and asks what there is. */
  async refresh(): Promise<Model[]> {
    const chosen = this.memory.get<string>(CHOSEN);
    this.models = (await this.server.run<Models>("beast.models")).models;
    this.listed.fire(this.models);
    if (chosen) await this.server.run("beast.selectModel", { model: chosen });
    return this.models;
  }

  async choose(model: string): Promise<void> {
    await this.server.run("beast.selectModel", { model });
    await this.memory.update(CHOSEN, model || undefined);
    this.changed.fire(model);
  }

  /** Asks the person. */
  async pick(): Promise<void> {
    const models = await this.refresh();
    const items: (vscode.QuickPickItem & { id?: string })[] = [
      { label: "The daemon's default", id: "", description: this.model ? "" : "chosen" },
      { label: "auto", id: "auto", description: "the best that can answer" },
      ...models.filter(({ id }) => id !== "auto").map((one) => this.item(one)),
      { label: "", kind: vscode.QuickPickItemKind.Separator },
      { label: "$(add) Register a model…" },
    ];
    const picked = await vscode.window.showQuickPick(items, { title: "BEAST MODE: Select Model", matchOnDescription: true });
    if (!picked) return;
    if (picked.id === undefined) await vscode.commands.executeCommand("beast.registerModel");
    else await this.choose(picked.id);
  }

  private item(model: Model): vscode.QuickPickItem & { id: string } {
    const state = model.state && model.state !== "ok" && model.state !== "healthy" ? model.state : "";
    return { label: model.id, id: model.id, description: model.id === this.model ? "chosen" : state };
  }
}

interface Draft {
  id: string;
  base_url?: string;
  upstream_model?: string;
  key?: string;
  price?: { prompt: number; completion: number };
}

const STEPS = 5;

function ask(step: number, prompt: string, more: vscode.InputBoxOptions = {}): Thenable<string | undefined> {
  return vscode.window.showInputBox({ title: `Register Custom Model (${step}/${STEPS})`, prompt, ignoreFocusOut: true, ...more });
}

function wrongName(text: string): string | undefined {
  return /^[A-Za-z0-9][\w.:/-]*$/.test(text) ? undefined : "Letters, digits, dots, dashes: qwen, custom:qwen, openai:gpt-4o";
}

function wrongAddress(text: string): string | undefined {
  if (!text) return undefined;
  return /^https?:\/\/[^\s/]+/.test(text) ? undefined : "An address, such as http://127.0.0.1:11434/v1";
}

function wrongPrice(text: string): string | undefined {
  return !text.trim() || priceOf(text) ? undefined : "Two numbers: USD per million tokens of the prompt, and of the answer: 0.5 1.5";
}

function priceOf(text: string): { prompt: number; completion: number } | undefined {
  const numbers = text.split(/[\s,;/]+/).filter(Boolean).map(Number);
  const [prompt, completion] = numbers;
  if (numbers.length !== 2 || numbers.some((one) => !(one >= 0))) return undefined;
  return { prompt: prompt!, completion: completion! };
}

async function draft(): Promise<Draft | undefined> {
  const name = await ask(1, "Its name here", { placeHolder: "custom:qwen", validateInput: wrongName });
  if (!name) return undefined;
  const id = name.includes(":") ? name : `custom:${name}`;
  const base_url = await ask(2, "Where it is served", { value: id.startsWith("custom:") ? "http://127.0.0.1:11434/v1" : "", validateInput: wrongAddress, placeHolder: "Empty: the provider's own address" });
  if (base_url === undefined) return undefined;
  const upstream_model = await ask(3, "Its name there. Leave empty where it is the same.", { placeHolder: id.split(":")[1] });
  if (upstream_model === undefined) return undefined;
  const key = await ask(4, "Its API key. Leave empty where it needs none. It goes to the daemon's vault, and nowhere else.", { password: true });
  if (key === undefined) return undefined;
  const price = await ask(5, "USD per million tokens: prompt, answer. Leave empty where the price is known or unknown.", { placeHolder: "0.5 1.5", validateInput: wrongPrice });
  if (price === undefined) return undefined;
  const found = priceOf(price);
  return { id, ...(base_url && { base_url }), ...(upstream_model && { upstream_model }), ...(key && { key }), ...(found && { price: found }) };
}

/** The wizard. The key is handed on with the call, and kept nowhere. */
export async function registerModel(server: Server, choice: ModelChoice): Promise<void> {
  await server.ready();
  const wanted = await draft();
  if (!wanted) return;
  const { id } = wanted;
  for (let test = true; ; test = false) {
    const progress = { location: vscode.ProgressLocation.Notification, title: `BEAST: ${test ? "testing and registering" : "registering"} ${id}` };
    try {
      await vscode.window.withProgress(progress, () => server.run("beast.registerModel", { ...wanted, test }, { secret: true }));
      break;
    } catch (error) {
      if (!test) throw error;
      const said = `BEAST MODE: ${(error as Error).message}`;
      if ((await vscode.window.showErrorMessage(said, "Register Anyway")) !== "Register Anyway") return;
    }
  }
  await choice.refresh();
  const picked = await vscode.window.showInformationMessage(`BEAST: ${id} is registered.`, "Use It Here");
  if (picked) await choice.choose(id);
}
