// Conversations are kept, found again and forgotten.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Chats } from "../src/chats";
import { titleOf, type Message } from "../src/talk";

class Memory {
  readonly held = new Map<string, string>();
  keys = () => [...this.held.keys()];
  get<T>(key: string): T | undefined {
    const found = this.held.get(key);
    return found === undefined ? undefined : (JSON.parse(found) as T);
  }
  async update(key: string, value: unknown): Promise<void> {
    this.held.set(key, JSON.stringify(value));
  }
}

const said = (text: string): Message => ({ role: "user", text });
const open = (memory: Memory) => {
  let number = 0;
  return new Chats(memory as never, () => 1000 + number, () => `r${number++}`);
};

test("what was said is there in the next window", async () => {
  const memory = new Memory();
  const chats = open(memory);
  chats.current.messages.push(said("What is Bern?"));
  await chats.save(chats.current);
  assert.deepEqual(open(memory).current.messages, [said("What is Bern?")]);
});

test("a new one begins empty, and only where something was said in the last", async () => {
  const chats = open(new Memory());
  const first = chats.current.id;
  chats.begin();
  assert.equal(chats.current.id, first);
  chats.current.messages.push(said("a"));
  await chats.save(chats.current);
  chats.begin();
  assert.notEqual(chats.current.id, first);
  assert.equal(chats.all.length, 1);
});

test("the newest come first, and at most fifty are kept", async () => {
  const chats = open(new Memory());
  for (let i = 0; i < 60; i++) {
    chats.current.messages.push(said(`question ${i}`));
    await chats.save(chats.current);
    chats.begin();
  }
  assert.equal(chats.all.length, 50);
  assert.equal(titleOf(chats.all[0]!), "question 59");
});

test("one that is removed is gone", async () => {
  const memory = new Memory();
  const chats = open(memory);
  chats.current.messages.push(said("a"));
  await chats.save(chats.current);
  await chats.remove(chats.current.id);
  assert.equal(open(memory).all.length, 0);
  assert.deepEqual(chats.current.messages, []);
});

test("ids are such as the daemon takes for a session", () => assert.match(open(new Memory()).current.id, /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/));
