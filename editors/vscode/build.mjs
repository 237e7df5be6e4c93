// Bundles the extension and its chat view into dist/; with --tests, the tests into build/test/; with --watch, again at every change.
import { build, context } from "esbuild";
import { readdirSync } from "node:fs";

const common = { bundle: true, minify: true, logLevel: "warning", legalComments: "none" };
const node = { ...common, platform: "node", format: "cjs", target: "node20", external: ["vscode"] };
const extension = { ...node, entryPoints: ["src/extension.ts"], outfile: "dist/extension.js", mainFields: ["module", "main"] };
const view = { ...common, platform: "browser", format: "iife", target: "es2022", entryPoints: ["src/view/main.ts"], outfile: "dist/view.js" };
const tests = {
  ...node,
  minify: false,
  entryPoints: readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`),
  outdir: "build/test",
  outExtension: { ".js": ".cjs" },
};

if (process.argv.includes("--tests")) await build(tests);
else if (process.argv.includes("--watch")) for (const one of [extension, view]) await (await context(one)).watch();
else await Promise.all([build(extension), build(view)]);
