// Markdown of a model's answer as HTML that can be trusted: no raw HTML, no images, no inline styles; code has buttons.
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import lua from "highlight.js/lib/languages/lua";
import php from "highlight.js/lib/languages/php";
import python from "highlight.js/lib/languages/python";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import MarkdownIt from "markdown-it";

const LANGUAGES = { bash, c, cpp, csharp, css, diff, go, ini, java, javascript, json, kotlin, lua, php, python, ruby, rust, sql, swift, typescript, xml, yaml };
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

const BUTTONS = [
  ["insert", "Insert", "Insert at the cursor"],
  ["apply", "Apply", "Apply to the file"],
  ["diff", "Diff", "Show what it would change"],
  ["copy", "Copy", "Copy to the clipboard"],
] as const;

const markdown = new MarkdownIt({ html: false, linkify: false, breaks: false });
markdown.disable("image");
markdown.validateLink = (address) => /^(https?:|mailto:|#)/i.test(address.trim());
markdown.renderer.rules.fence = (tokens, index) => block(tokens[index]!.content, tokens[index]!.info.trim().split(/\s+/)[0] ?? "");
markdown.renderer.rules.code_block = (tokens, index) => block(tokens[index]!.content, "");
for (const cell of ["th_open", "td_open"]) {
  markdown.renderer.rules[cell] = (tokens, index) => `<${tokens[index]!.tag}>`; // it would style the alignment inline
}

export function escaped(text: string): string {
  return markdown.utils.escapeHtml(text);
}

function coloured(code: string, language: string): string {
  return hljs.getLanguage(language) ? hljs.highlight(code, { language, ignoreIllegals: true }).value : escaped(code);
}

function block(code: string, language: string): string {
  const buttons = BUTTONS.map(([what, label, title]) => `<button type="button" data-do="${what}" title="${title}" aria-label="${title}">${label}</button>`);
  const head = `<div class="code-bar"><span>${escaped(language)}</span>${buttons.join("")}</div>`;
  return `<div class="code" data-language="${escaped(language)}">${head}<pre tabindex="0"><code>${coloured(code, language)}</code></pre></div>`;
}

/**
 * Renders an answer.
 *
 * @param text Markdown; it may end in the middle of anything.
 * @returns HTML in which everything of the model's is escaped.
 */
export function rendered(text: string): string {
  return markdown.render(text);
}
