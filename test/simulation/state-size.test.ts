import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { buildsMaxFor, type Hour, type Size, simulate } from "./state-size.ts";
import { eventsPerJob, plannedJobs, readTable, tableSizes, tableText } from "./state-size-table.ts";

const jobCounts = [20, 40];
const hours = 3;
const plan = readFileSync("docs/scaling.md", "utf8");
const documented = readTable(/<!-- state sizes -->\n([\s\S]*?)<!-- end -->/.exec(plan)?.[1] ?? "");
const looksOf = new Map<number, readonly Hour[]>();

beforeAll(async () => {
  for (const concurrent of jobCounts) {
    const settings = { concurrent, eventsPerJob, auditDelayMs: 0 };
    looksOf.set(concurrent, await simulate(settings, hours));
  }
}, 300_000);

function lookOf(concurrent: number, hour: number): Hour {
  const look = looksOf.get(concurrent)?.[hour - 1];
  if (look === undefined) throw new Error(`no hour ${hour} of ${concurrent} jobs`);
  return look;
}

function total(sizes: Iterable<readonly [string, Size]>): Size {
  let [rows, bytes] = [0, 0];
  for (const [, size] of sizes) {
    rows += size.rows;
    bytes += size.bytes;
  }
  return { rows, bytes };
}

/** As a part of what is expected. */
function off(found: number, expected: number): number {
  return Math.abs(found - expected) / expected;
}

describe.each(jobCounts)("the state of %i jobs at once", (concurrent) => {
  it("finds the job of every event", () => {
    const { exact, inexact } = lookOf(concurrent, hours);
    expect({ exact, inexact }).toEqual({ exact: concurrent * 6 * eventsPerJob, inexact: 0 });
  });

  it("stays within buildsMax", () => {
    const builds = ["runs", "jobs", "prepared"].map((name) => {
      return lookOf(concurrent, hours).sizes.get(`builds ${name}`)?.rows ?? Number.NaN;
    });
    const rows = builds.reduce((sum, count) => sum + count, 0);
    expect(rows).toBeLessThanOrEqual(buildsMaxFor(concurrent));
    expect(rows).toBeGreaterThan(0.95 * buildsMaxFor(concurrent));
  });

  it("is as large an hour later, though as much was written to it again", () => {
    const [before, after] = [lookOf(concurrent, hours - 1), lookOf(concurrent, hours)];
    expect(off(total(after.sizes).bytes, total(before.sizes).bytes)).toBeLessThan(0.05);
    expect(off(total(after.written).bytes, total(before.written).bytes)).toBeLessThan(0.05);
    expect(total(after.written).bytes).toBeGreaterThan(total(after.sizes).bytes);
  });
});

describe("docs/scaling.md", () => {
  it("has a table of state sizes whose products are right", () => {
    expect(documented.length).toBeGreaterThan(5);
    expect(plan).toContain(tableText(documented));
  });

  it.each(jobCounts)("tells what %i jobs show", (concurrent) => {
    const found = tableSizes(lookOf(concurrent, hours), concurrent);
    expect(found.map(({ table }) => table)).toEqual(documented.map(({ table }) => table));
    for (const [index, { table, rowsPerJob, bytesPerRow }] of documented.entries()) {
      const seen = found[index];
      expect(off(seen?.rowsPerJob ?? 0, rowsPerJob), `rows of ${table}`).toBeLessThan(0.15);
      expect(off(seen?.bytesPerRow ?? 0, bytesPerRow), `bytes of ${table}`).toBeLessThan(0.1);
    }
  });

  it("names the bound that so many jobs need", () => {
    expect(plan).toContain(`buildsMax: ${buildsMaxFor(plannedJobs)}`);
  });
});

describe("an audit log that is five minutes late", () => {
  it("has every event of a job's first five minutes remembered in State", async () => {
    const concurrent = 20;
    const settings = { concurrent, eventsPerJob, auditDelayMs: 5 * 60_000 };
    const { sizes, written } = (await simulate(settings, 1)).at(-1) as Hour;
    const waiting = sizes.get("detect incomplete")?.rows ?? 0;
    // Half of a job of ten minutes, and the same share of all events that are told of it.
    expect(waiting / concurrent).toBeGreaterThan(0.15 * eventsPerJob);
    expect(waiting / concurrent).toBeLessThan(0.5 * eventsPerJob);
    const usual = lookOf(20, 1).written.get("detect")?.rows ?? Number.NaN;
    expect((written.get("detect")?.rows ?? 0) / concurrent).toBeGreaterThan((3 * usual) / 20);
  }, 120_000);
});
