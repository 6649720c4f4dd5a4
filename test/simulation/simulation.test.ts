import { describe, expect, it } from "vitest";
import type { NewRecord } from "../../src/bus/bus.ts";
import type { Sink } from "../../src/sink/sink.ts";
import { replacing } from "../contract/replacing.ts";
import { checkSeed, report, type Verdict } from "./check.ts";
import { type FaultClass, faultClasses } from "./faults.ts";
import { planOf } from "./plan.ts";
import type { Durable } from "./rig.ts";

const seedsPerTest = 10;

function seedsFrom(first: number): number[] {
  return Array.from({ length: seedsPerTest }, (_, index) => first + index);
}

describe("one page for each incident, whatever goes wrong", () => {
  it.each([1, 11, 21, 31, 41])(`seeds from %i, ${seedsPerTest} of them`, async (first) => {
    const verdicts: Verdict[] = [];
    for (const seed of seedsFrom(first)) verdicts.push(await checkSeed(seed));
    const failed = verdicts.filter(({ failures }) => failures.length > 0);
    expect(failed.map(report)).toEqual([]);
    // Else nothing went wrong and nothing was shown.
    expect(verdicts.reduce((sum, { pages }) => sum + pages, 0)).toBeGreaterThan(5);
    expect(verdicts.reduce((sum, { lives }) => sum + lives, 0)).toBeGreaterThan(seedsPerTest + 5);
  });
});

describe("a seed", () => {
  it("repeats itself to the last step", async () => {
    const [first, second] = [await checkSeed(3), await checkSeed(3)];
    expect(first.trace.length).toBeGreaterThan(20);
    expect(report(second)).toBe(report(first));
  });

  it("keeps its plan when fault classes are switched off, and the faults of the others", async () => {
    const without = faultClasses.filter((name) => name !== "crash");
    const [all, crashes] = [await checkSeed(7), await checkSeed(7, { without })];
    expect(crashes.plan).toEqual(all.plan);
    expect(crashes.trace.length).toBeGreaterThan(0);
    expect(crashes.trace.filter((line) => !line.includes("crash"))).toEqual([]);
    expect(all.trace.some((line) => !line.includes("crash"))).toBe(true);
  });

  it("comes to attacks of every kind, near misses and every lateness of builds", () => {
    const plans = Array.from({ length: 50 }, (_, index) => planOf(index + 1));
    const rules = new Set(plans.flatMap(({ oracle }) => oracle.flatMap((one) => one.rules)));
    expect([...rules].sort()).toEqual([
      ...["cron-write", "exfil-post", "many-far-hosts", "many-refused", "read-and-drop", "shell"],
    ]);
    expect(plans.some(({ oracle }) => oracle.some(({ origins }) => origins.length > 0))).toBe(true);
    expect(plans.some(({ oracle }) => oracle.some(({ tokens }) => tokens.length > 1))).toBe(true);
    expect(plans.some(({ oracle }) => oracle.some(({ others }) => others.length > 0))).toBe(true);
    expect(plans.some(({ oracle }) => oracle.length === 0)).toBe(true);
    expect(plans.some(({ harmless }) => harmless.length > 0)).toBe(true);
    expect(new Set(plans.map(({ world }) => world.lateness)).size).toBe(3);
  });
});

interface Breaking {
  readonly seeds: readonly number[];
  readonly only: readonly FaultClass[];
  readonly aim?: string;
}

/** What the checks say of seeds when a guard is missing. */
async function complaints(
  broken: (durable: Durable) => Durable,
  { seeds, only, aim }: Breaking,
): Promise<string> {
  const without = faultClasses.filter((name) => !only.includes(name));
  const found: string[] = [];
  for (const seed of seeds) {
    const sound = await checkSeed(seed, { without, aim });
    expect(sound.failures).toEqual([]);
    found.push(...(await checkSeed(seed, { without, aim, broken })).failures);
  }
  return found.join("\n");
}

/** Rows of the tables, `stage table`, are gone when the state is opened again. */
function forgetting(durable: Durable, ...tables: readonly string[]): Durable {
  const states = replacing(durable.states, {
    open: async (owner) => {
      const state = await durable.states.open(owner);
      for (const text of tables) {
        const [stage = "", table = ""] = text.split(" ");
        if (owner.stage !== stage) continue;
        for (const [key] of [...state.table(table).entries()]) state.table(table).delete(key);
      }
      return state;
    },
  });
  return { ...durable, states };
}

describe("the checks complain when", () => {
  const seeds = [1, 2, 3, 4, 5, 6];

  it("a stage forgets what it decided and had not appended", async () => {
    const broken = (durable: Durable) => forgetting(durable, "notify outgoing");
    const how = { seeds, only: ["crash"], aim: "append pages" } as const;
    expect(await complaints(broken, how)).toMatch(/0 pages instead of one/);
  });

  it("the outbox forgets what it owes", async () => {
    // What was decided last is appended again after a crash, and would owe it again.
    const tables = ["deliver pending", "notify outgoing"];
    const broken = (durable: Durable) => forgetting(durable, ...tables);
    const how = { seeds, only: ["crash", "sink"], aim: "send page" } as const;
    expect(await complaints(broken, how)).toMatch(/0 pages instead of one/);
  });

  it("a notice has another key at each try", async () => {
    const broken = (durable: Durable): Durable => {
      const sink = durable.receiver.sink();
      let tries = 0;
      const changing: Sink = replacing(sink, {
        send: (notice, signal) => {
          tries += 1;
          return sink.send({ ...notice, key: `${notice.key}/${tries}` }, signal);
        },
      });
      return { ...durable, receiver: replacing(durable.receiver, { sink: () => changing }) };
    };
    const found = await complaints(broken, { seeds, only: ["sink"] });
    expect(found).toMatch(/was paged under 2 keys/);
    expect(found).toMatch(/2 pages instead of one/);
  });

  it("the bus acknowledges what it does not keep", async () => {
    const broken = (durable: Durable): Durable => {
      let taken = 0;
      const append = async (records: readonly NewRecord[]) => {
        taken += 1;
        if (taken % 10 !== 0) await durable.bus.append(records);
      };
      return { ...durable, bus: replacing(durable.bus, { append }) };
    };
    const found = await complaints(broken, { seeds: [1, 2], only: [] });
    expect(found).toMatch(/accepted events are not on the bus/);
  });

  it("the store keeps nothing of some documents", async () => {
    const broken = (durable: Durable): Durable => {
      const { store } = durable;
      const write: typeof store.write = (documents) => store.write(documents.slice(1));
      return { ...durable, store: replacing(store, { write }) };
    };
    const found = await complaints(broken, { seeds: [1, 2], only: [] });
    expect(found).toMatch(/missing: /);
  });
});
