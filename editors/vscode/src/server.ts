// The connection to the server for as long as the window lives: made, lost, made anew; and every call through it.
import * as vscode from "vscode";
import { DidChangeConfigurationNotification, ExecuteCommandRequest, State, Trace } from "vscode-languageclient/node";
import { BeastClient } from "./client";
import { NoDaemonError, reach, type Streams } from "./connection";
import type { Delta, Done, Status } from "./contract";
import { way } from "./settings";
import { NotConnectedError } from "./troubles";

const PAUSES_MS = [250, 500, 1000, 2000, 5000];
const LIVED_MS = 10_000;
const WAIT_FOR_READY_MS = 15_000;

export type Reach = "connecting" | "ready" | "absent" | "missing";

export interface CallOptions {
  token?: vscode.CancellationToken;
  onDelta?: (delta: string) => void;
  /** What is sent holds a key: it is kept out of the log, however much that tells. */
  secret?: boolean;
}

export class Server implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Reach>();
  private readonly told = new vscode.EventEmitter<Status>();
  private readonly listeners = new Map<string, (delta: string) => void>();
  private client: BeastClient | undefined;
  private wake: () => void = () => undefined;
  private ended = false;
  private mayStart = true;
  private numbers = 0;

  readonly onDidChange = this.changed.event;
  readonly onStatus = this.told.event;
  reach: Reach = "connecting";
  why = "";

  constructor(readonly log: vscode.LogOutputChannel) {}

  /** Keeps a connection for as long as the window lives; never waits for one. */
  start(): void {
    void this.live();
  }

  /** Tries again now, and may start a daemon for it. */
  async reconnect(): Promise<void> {
    this.mayStart = true;
    const client = this.client;
    if (client) await client.stop(1000).catch(() => undefined);
    this.wake();
  }

  dispose(): void {
    this.ended = true;
    this.wake();
  }

  async stop(): Promise<void> {
    this.dispose();
    await this.client?.stop(1000).catch(() => undefined);
  }

  /**
   * Runs one command of the server.
   *
   * @param command Its name, `beast.explain`.
   * @param argument Its one argument.
   * @param options To stop it, and to get its text as it comes.
   */
  async run<T>(command: string, argument: object = {}, options: CallOptions = {}): Promise<T> {
    const client = await this.ready();
    const id = `${Date.now().toString(36)}-${this.numbers++}`;
    if (options.onDelta) this.listeners.set(id, options.onDelta);
    const named = options.onDelta ? { ...argument, id } : argument;
    try {
      const params = { command, arguments: [named] };
      if (options.secret) await client.setTrace(Trace.Off);
      return (await client.sendRequest(ExecuteCommandRequest.type, params, options.token)) as T;
    } finally {
      if (options.secret && this.log.logLevel === vscode.LogLevel.Trace) void client.setTrace(Trace.Messages);
      this.listeners.delete(id);
    }
  }

  /** The client that runs, for what needs more than a command; waits a while for one that is about to. */
  async ready(): Promise<BeastClient> {
    if (this.reach === "connecting") {
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, WAIT_FOR_READY_MS);
        const heard = this.onDidChange(() => {
          clearTimeout(limit);
          heard.dispose();
          resolve();
        });
      });
    }
    if (this.reach === "ready" && this.client) return this.client;
    throw new NotConnectedError(this.why || "The BEAST MODE daemon does not answer.");
  }

  private async live(): Promise<void> {
    for (let failures = 0; !this.ended; failures++) {
      const began = Date.now();
      await this.once();
      if (Date.now() - began > LIVED_MS) failures = 0;
      if (!this.ended) await this.pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]!);
    }
  }

  /** One connection, from its first attempt to its end. */
  private async once(): Promise<void> {
    let streams: Streams;
    try {
      const settings = way();
      streams = await reach(settings, this.mayStart && settings.autoStart, (line) => this.log.info(line));
    } catch (error) {
      this.mayStart = false;
      const known = error instanceof NoDaemonError;
      return this.become(known && !error.installed ? "missing" : "absent", String((error as Error).message));
    }
    this.mayStart = false; // who stops the daemon wants it stopped: it is not started again unasked
    const client = new BeastClient(this.log, () => Promise.resolve(streams));
    try {
      await this.serve(client, streams);
    } catch (error) {
      this.log.error(`The connection failed: ${(error as Error).message}`);
      this.become("absent", "The daemon took the connection and did not answer.");
    } finally {
      this.client = undefined;
      await client.dispose(500).catch(() => undefined);
      streams.close();
    }
  }

  private async serve(client: BeastClient, streams: Streams): Promise<void> {
    const over = new Promise<void>((resolve) => {
      client.onDidChangeState(({ newState }) => {
        if (newState === State.Stopped || newState === State.StartFailed) resolve();
      });
    });
    client.onNotification("beast/delta", ({ id, delta }: Delta) => this.listeners.get(id)?.(delta));
    client.onNotification("beast/done", ({ id }: Done) => void this.listeners.delete(id));
    client.onNotification("beast/status", (status: Status) => this.told.fire(status));
    await Promise.race([client.start(), over]);
    if (!client.isRunning()) throw new Error("the server did not answer to initialize");
    this.client = client;
    this.log.info(`Connected (${streams.how}).`);
    const trusted = vscode.workspace.onDidGrantWorkspaceTrust(
      () => void client.sendNotification(DidChangeConfigurationNotification.type, { settings: null }),
    );
    this.become("ready", "");
    await over;
    trusted.dispose();
    this.client = undefined;
    this.log.info("The connection ended.");
    this.become("connecting", "The connection to the daemon was lost; it is made anew as soon as the daemon is back.");
  }

  private become(state: Reach, why: string): void {
    if (this.ended) return;
    const news = state !== this.reach;
    this.reach = state;
    this.why = why;
    if (news) this.changed.fire(state);
  }

  private pause(forMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, forMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
