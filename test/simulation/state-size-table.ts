// The table of state sizes that docs/scaling.md holds: `node test/simulation/state-size-table.ts`
// prints it, from a simulation of 1,000 jobs at once; `-- 200` of so many.

import { pathToFileURL } from "node:url";
import { buildsMaxFor, type Hour, simulate } from "./state-size.ts";

export const eventsPerJob = 10;
export const plannedJobs = 100_000;
const hours = 3;

/** What one table of state holds for each job at work. */
export interface TableSize {
  readonly table: string;
  readonly rowsPerJob: number;
  readonly bytesPerRow: number;
}

/** Of tables that grow with the jobs; all others hold a few rows in all. */
export function tableSizes({ sizes }: Hour, concurrent: number): readonly TableSize[] {
  return [...sizes]
    .map(([table, { rows, bytes }]) => {
      return { table, rowsPerJob: rows / concurrent, bytesPerRow: bytes / Math.max(1, rows) };
    })
    .filter(({ rowsPerJob }) => rowsPerJob >= 0.25)
    .sort((a, b) => (a.table < b.table ? -1 : 1));
}

export function tableText(tables: readonly TableSize[]): string {
  const rows = tables.map(({ table, rowsPerJob, bytesPerRow }) => {
    const [perJob, perRow] = [Number(rowsPerJob.toFixed(2)), Math.round(bytesPerRow)];
    const count = Math.round(perJob * plannedJobs);
    const cells = [table, perJob.toFixed(2), perRow, count.toLocaleString("en-US")];
    return `| ${[...cells, Math.round((count * perRow) / 1e6).toLocaleString("en-US")].join(" | ")} |`;
  });
  return [
    "| state and table | rows a job at work | bytes a row | rows at 100,000 jobs | MB |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

/** The rows of such a table. */
export function readTable(text: string): readonly TableSize[] {
  return text.split("\n").flatMap((line) => {
    const [, table = "", perJob, perRow] = line.split("|").map((cell) => cell.trim());
    if (!/^\d/.test(perJob ?? "")) return [];
    return [{ table, rowsPerJob: Number(perJob), bytesPerRow: Number(perRow) }];
  });
}

async function main(): Promise<void> {
  const concurrent = Number(process.argv[2] ?? 1_000);
  for (const auditDelayMs of [0, 5 * 60_000]) {
    const looks = await simulate({ concurrent, eventsPerJob, auditDelayMs }, hours);
    const last = looks.at(-1);
    if (last === undefined) return;
    console.log(`${concurrent} jobs, audit log ${auditDelayMs / 1_000} s late`);
    console.log(
      `buildsMax ${buildsMaxFor(concurrent)}\n${tableText(tableSizes(last, concurrent))}`,
    );
    for (const [state, { rows, bytes }] of last.written) {
      const perJob = concurrent * 6;
      const each = `${(rows / perJob).toFixed(1)} rows, ${Math.round(bytes / perJob)} bytes`;
      console.log(`written to ${state}, for each job that came and went: ${each}`);
    }
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
