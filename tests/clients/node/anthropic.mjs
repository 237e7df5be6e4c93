// Anthropic's SDK, unmodified, does what its first argument says and prints what it saw as JSON.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.DOOR, apiKey: process.env.TOKEN, maxRetries: 0 });
const model = process.env.MODEL;
const messages = [{ role: "user", content: "How is the weather in Bern?" }];
const tool = {
  name: "get_weather",
  description: "The weather of a town.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

async function stream() {
  const texts = [];
  const running = client.messages.stream({ model, messages, max_tokens: 100 }).on("text", (text) => texts.push(text));
  const { stop_reason, usage } = await running.finalMessage();
  return { texts, finish: stop_reason, usage };
}

async function tools() {
  const asked = { model, max_tokens: 100, tools: [tool] };
  const first = await client.messages.stream({ ...asked, messages }).finalMessage();
  const uses = first.content.filter((block) => block.type === "tool_use");
  const results = uses.map((use) => ({
    type: "tool_result",
    tool_use_id: use.id,
    content: `${use.input.city}: 7 degrees`,
  }));
  const conversation = [...messages, { role: "assistant", content: first.content }, { role: "user", content: results }];
  const second = await client.messages.stream({ ...asked, messages: conversation }).finalMessage();
  return { text: second.content[0].text, called: uses.map((use) => use.input) };
}

async function error() {
  try {
    await client.messages.stream({ model, messages, max_tokens: 100 }).finalMessage();
  } catch (caught) {
    return { name: caught.constructor.name, status: caught.status, message: caught.message };
  }
  return {};
}

console.log(JSON.stringify(await { stream, tools, error }[process.argv[2]]()));
