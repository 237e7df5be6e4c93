// Lines of JSON, however they are cut on the way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lineReader } from "../src/rpc";

test("every way to cut two lines gives the same two replies", () => {
  const bytes = Buffer.from('{"id":1,"result":"é 🎉"}\n{"id":2,"result":null}\n', "utf8");
  for (let cut = 0; cut <= bytes.length; cut++) {
    const got: unknown[] = [];
    const read = lineReader((reply) => got.push(reply));
    read(bytes.subarray(0, cut));
    read(bytes.subarray(cut));
    assert.deepEqual(got, [{ id: 1, result: "é 🎉" }, { id: 2, result: null }]);
  }
});
