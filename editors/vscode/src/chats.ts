// The conversations of a workspace, newest first. The daemon keeps what the model is told of them; here is what people read.
import type { Memento } from "vscode";
import type { Conversation } from "./talk";

const KEY = "beast.chats";
const CURRENT = "beast.currentChat";
const MAX_CONVERSATIONS = 50;
const MAX_MESSAGES = 200;

export class Chats {
  private list: Conversation[];
  current: Conversation;

  constructor(
    private readonly memory: Memento,
    private readonly now: () => number = Date.now,
    private readonly random: () => string = () => Math.random().toString(36).slice(2, 10),
  ) {
    this.list = memory.get<Conversation[]>(KEY) ?? [];
    const id = memory.get<string>(CURRENT);
    this.current = this.list.find((one) => one.id === id) ?? this.fresh();
  }

  /** Those in which something was said. */
  get all(): readonly Conversation[] {
    return this.list;
  }

  /** Begins another one, unless nothing was said in this one yet. */
  begin(): void {
    if (this.current.messages.length) this.current = this.fresh();
    void this.memory.update(CURRENT, this.current.id);
  }

  open(id: string): void {
    this.current = this.list.find((one) => one.id === id) ?? this.current;
    void this.memory.update(CURRENT, this.current.id);
  }

  /** Keeps what was said. */
  async save(conversation: Conversation): Promise<void> {
    conversation.at = this.now();
    conversation.messages = conversation.messages.slice(-MAX_MESSAGES);
    this.list = [conversation, ...this.list.filter((one) => one.id !== conversation.id)].slice(0, MAX_CONVERSATIONS);
    await this.memory.update(KEY, this.list);
    await this.memory.update(CURRENT, this.current.id);
  }

  /** Forgets one. */
  async remove(id: string): Promise<void> {
    this.list = this.list.filter((one) => one.id !== id);
    if (this.current.id === id) this.current = this.fresh();
    await this.memory.update(KEY, this.list);
    await this.memory.update(CURRENT, this.current.id);
  }

  private fresh(): Conversation {
    return { id: `editor-${this.now().toString(36)}-${this.random()}`, at: this.now(), messages: [] };
  }
}
