/**
 * @module `npm run docs`: writes the generated blocks of the Markdown files; test/docs.test.ts
 * tells when they are stale.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { demoOutput, sameEachRun } from "./docs-demo.ts";
import { metricTable, problemCodeTable, settingsTable, topicTable } from "./docs-tables.ts";
import { oneEvent } from "./docs-tour.ts";

/** What stands between `<!-- generated: name -->` and `<!-- end -->`, by file and name. */
export const generators: ReadonlyMap<
  string,
  ReadonlyMap<string, () => string | Promise<string>>
> = new Map([
  ["CONTRIBUTING.md", new Map([["problem codes", problemCodeTable]])],
  [
    "ARCHITECTURE.md",
    new Map<string, () => string | Promise<string>>([
      ["topics", topicTable],
      ["one event", oneEvent],
    ]),
  ],
  ["docs/settings.md", new Map([["settings", settingsTable]])],
  ["docs/metrics.md", new Map([["metrics", metricTable]])],
]);

/** The text with its block of this name replaced. Throws when the text has no such block. */
export function withBlock(text: string, name: string, content: string): string {
  const { start, end } = blockPlace(text, name);
  return `${text.slice(0, start)}\n${content.trim()}\n\n${text.slice(end)}`;
}

/** The file as it should be. */
export async function generated(file: string): Promise<string> {
  let text = readFileSync(file, "utf8");
  for (const [name, make] of generators.get(file) ?? []) text = withBlock(text, name, await make());
  return text;
}

/** What the block of this name holds now, without the blank lines around it. */
export function blockOf(text: string, name: string): string {
  const { start, end } = blockPlace(text, name);
  return text.slice(start, end).trim();
}

function blockPlace(text: string, name: string): { readonly start: number; readonly end: number } {
  const begin = `<!-- generated: ${name} -->\n`;
  const start = text.indexOf(begin);
  const end = text.indexOf("<!-- end -->", start);
  if (start === -1 || end === -1) throw new Error(`no block "${name}"`);
  return { start: start + begin.length, end };
}

/** Runs the demo; keeps what README.md shows while only times, ports and ids would change. */
async function writeDemo(): Promise<void> {
  const text = readFileSync("README.md", "utf8");
  const output = await demoOutput();
  if (sameEachRun(output) === sameEachRun(blockOf(text, "demo"))) return;
  writeFileSync("README.md", withBlock(text, "demo", output));
}

if (import.meta.main) {
  for (const file of generators.keys()) writeFileSync(file, await generated(file));
  await writeDemo();
}
