// OpenAI's SDK, unmodified, does what its first argument says and prints what it saw as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.DOOR}/v1`, apiKey: process.env.TOKEN, maxRetries: 0 });
const model = process.env.MODEL;
const messages = [{ role: "user", content: "How is the weather in Bern?" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const weatherOf = ({ city }) => `${city}: 7 degrees`;

async function stream() {
  const texts = [];
  let finish = null;
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    texts.push(chunk.choices[0].delta.content ?? "");
    finish = chunk.choices[0].finish_reason ?? finish;
  }
  return { texts, finish };
}

async function tools() {
  const tool = { name: "get_weather", description: "The weather of a town.", parameters, function: weatherOf, parse: JSON.parse };
  const called = [];
  const runner = client.chat.completions
    .runTools({ model, messages, stream: true, tools: [{ type: "function", function: tool }] })
    .on("functionToolCall", (call) => called.push(JSON.parse(call.arguments)));
  return { text: await runner.finalContent(), called };
}

async function responses() {
  const offered = [{ type: "function", name: "get_weather", parameters, strict: true }];
  const first = await client.responses.stream({ model, input: messages, tools: offered }).finalResponse();
  const calls = first.output.filter((item) => item.type === "function_call");
  const results = calls.map((call) => ({
    type: "function_call_output",
    call_id: call.call_id,
    output: weatherOf(JSON.parse(call.arguments)),
  }));
  const texts = [];
  const second = client.responses.stream({ model, input: [...messages, ...first.output, ...results], tools: offered });
  second.on("response.output_text.delta", (event) => texts.push(event.delta));
  const { output_text, usage } = await second.finalResponse();
  return { text: output_text, texts, usage, called: calls.map((call) => JSON.parse(call.arguments)) };
}

async function error() {
  try {
    await client.chat.completions.create({ model, messages, stream: true });
  } catch (caught) {
    return { name: caught.constructor.name, status: caught.status, message: caught.message };
  }
  return {};
}

console.log(JSON.stringify(await { stream, tools, responses, error }[process.argv[2]]()));
