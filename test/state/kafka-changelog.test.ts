import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { Changelog, type LogRecord, openingRecord } from "../../src/state/kafka-changelog.ts";
import { openOwnedState } from "../../src/state/kafka-taking.ts";
import { codeOf, contents } from "../contract/state.ts";
import { type Fault, LogModel, live, lives, Oracle, settingsFor, Turns } from "./changelog-sim.ts";

const cuts = fc.array(fc.nat(200), { minLength: 5, maxLength: 30 });

describe("changelog with several owners", () => {
  it("restores a whole commit, and none before an acknowledged one", async () => {
    const total = { commits: 0, taken: 0 };
    const run = fc.asyncProperty(fc.nat(), lives, cuts, async (seed, plan, bounds) => {
      const turns = new Turns(seed);
      const next = () => turns.next();
      const log = new LogModel(next);
      const oracle = new Oracle(log);
      const compacting = async () => {
        for (const bound of bounds) {
          for (let turn = 0; turn < 12; turn++) await turns.next();
          log.compact(bound);
        }
      };
      const running = plan.map((life) => live({ log, oracle, turns }, life));
      await turns.run(Promise.all([...running, compacting()]));
      // Whoever comes last, and after everything that could be compacted was.
      for (let round = 0; round < 3; round++) {
        await turns.run(oracle.open(settingsFor(log.seenBy({ crashed: false }, []), next)));
        log.compact(log.length);
      }
      total.commits += oracle.commits;
      total.taken += oracle.taken;
    });
    await fc.assert(run, { seed: 20260311, numRuns: 300 });
    // The plans do commit, and do take the log from each other.
    expect(total.commits).toBeGreaterThan(1_000);
    expect(total.taken).toBeGreaterThan(100);
  });
});

describe("changelog owner", () => {
  let log: LogModel;
  let faults: Fault[];

  beforeEach(() => {
    log = new LogModel(async () => undefined);
    faults = [];
  });

  function open() {
    const own = log.seenBy({ crashed: false }, faults);
    return openOwnedState(settingsFor(own, async () => undefined));
  }

  /** What a process finds that opens the log now. */
  async function restored(): Promise<unknown[]> {
    const { state } = await open();
    return [contents(state, "t"), state.position("events", 0)];
  }

  function zombieRow(key: string, value: string): LogRecord {
    return { key: JSON.stringify(["row", "t", key]), value, stamp: { epoch: 0, batch: 7 } };
  }

  it("writes a row, a tombstone and a position, each with its stamp", async () => {
    log.put([openingRecord("earlier", "a")]);
    const { state } = await open();
    state.table("t").put("a", { n: 1 });
    state.table("t").put("\ud800", null);
    await state.commit();
    state.table("t").delete("a");
    state.advance("events", 3, 5);
    await state.commit();
    const lines = log.records.slice(2).map(({ key, value, stamp, offset }) => {
      return `${offset} ${stamp?.epoch}.${stamp?.batch} ${key} ${value}`;
    });
    expect(lines).toEqual([
      '2 1.1 ["opening","earlier"] null',
      '3 1.2 ["row","t","a"] {"n":1}',
      '4 1.2 ["row","t","\\ud800"] null',
      '5 1.3 ["row","t","a"] null',
      '6 1.3 ["position","events",3] 5',
    ]);
  });

  it("writes nothing for a commit without changes", async () => {
    const { state } = await open();
    await state.commit();
    expect(log.length).toBe(1);
  });

  it("ends when somebody has opened since, and so does every later commit", async () => {
    const first = await open();
    first.state.table("t").put("a", 1);
    await first.state.commit();
    const second = await open();
    first.state.table("t").put("a", 2);
    first.state.advance("events", 0, 9);
    expect(await codeOf(() => first.state.commit())).toBe("state-taken");
    const length = log.length;
    expect(await codeOf(() => first.state.commit())).toBe("state-taken");
    expect(log.length).toBe(length);
    second.state.table("t").put("b", 1);
    await second.state.commit();
    const whole = [
      ["a", 1],
      ["b", 1],
    ];
    expect(await restored()).toEqual([whole, 0]);
    // What the first one wrote has been overwritten, not only passed over.
    log.putRight(second.owner.epoch);
    log.compact(log.length);
    expect(await restored()).toEqual([whole, 0]);
  });

  it("sees without a commit that it was taken", async () => {
    const first = await open();
    await open();
    await first.owner.check();
    const length = log.length;
    first.state.table("t").put("a", 1);
    expect(await codeOf(() => first.state.commit())).toBe("state-taken");
    expect(log.length).toBe(length);
  });

  it("writes the values of the last commit again, not those that are being changed", async () => {
    log.put([openingRecord("earlier", "a")]);
    const { state, owner } = await open();
    state.table("t").put("a", "committed");
    state.advance("events", 0, 4);
    await state.commit();
    state.table("t").put("a", "changing");
    state.table("t").put("new", "changing");
    state.advance("events", 0, 5);
    const position: LogRecord = { key: '["position","events",0]', value: "99" };
    log.put([zombieRow("a", '"zombie"'), zombieRow("new", '"zombie"')]);
    log.put([{ ...position, stamp: { epoch: 0, batch: 8 } }]);
    await owner.check();
    log.putRight(owner.epoch);
    log.compact(log.length);
    expect(await restored()).toEqual([[["a", "committed"]], 4]);
  });

  it("puts the new value right when a row comes after the commit and before its repair", async () => {
    log.put([openingRecord("earlier", "a")]);
    const { state, owner } = await open();
    state.table("t").put("a", "first");
    state.table("t").put("b", "first");
    await state.commit();
    log.put([zombieRow("b", '"zombie"')]);
    log.beforeRead = () => {
      log.beforeRead = undefined;
      log.put([zombieRow("a", '"zombie"')]);
    };
    state.table("t").put("a", "second");
    await state.commit();
    log.putRight(owner.epoch);
    log.compact(log.length);
    expect(await restored()).toEqual([
      [
        ["a", "second"],
        ["b", "first"],
      ],
      0,
    ]);
  });

  it.each<[string, Fault[], string]>([
    ["saves with a batch that is there twice", ["answer-lost"], "returned"],
    ["saves with a batch that comes late", ["late"], "returned"],
    ["saves after refusals", ["refused", "refused"], "returned"],
    ["saves nothing when refused to the end", Array(9).fill("refused"), "state-unavailable"],
    ["ends when no answer ever came", Array(9).fill("answer-lost"), "state-taken"],
    [
      "ends when only the first answer was lost",
      ["answer-lost", ...Array(9).fill("refused")],
      "state-taken",
    ],
  ])("%s", async (_, planned, code) => {
    const { state } = await open();
    state.table("t").put("a", 1);
    await state.commit();
    state.table("t").put("a", 2);
    state.advance("events", 0, 1);
    faults.push(...planned);
    expect(await codeOf(() => state.commit())).toBe(code);
    faults.splice(0);
    state.rollback();
    state.table("t").put("b", 2);
    const later = code === "state-taken" ? "state-taken" : "returned";
    expect(await codeOf(() => state.commit())).toBe(later);
    const [rows] = await restored();
    const a = code === "state-unavailable" ? 1 : 2;
    expect(rows).toEqual(
      later === "returned"
        ? [
            ["a", a],
            ["b", 2],
          ]
        : [["a", a]],
    );
  });

  it("ends when it cannot put right what stands before a commit that is saved", async () => {
    log.put([openingRecord("earlier", "a")]);
    const { state } = await open();
    log.put([zombieRow("b", "1")]);
    state.table("t").put("a", 1);
    faults.push("none", "none", ...Array(9).fill("refused"));
    expect(await codeOf(() => state.commit())).toBe("state-taken");
    faults.splice(0);
    expect(await restored()).toEqual([[["a", 1]], 0]);
  });

  it("ends when the log is shorter than it was", async () => {
    const { state } = await open();
    state.table("t").put("a", 1);
    await state.commit();
    log.truncate(1);
    state.table("t").put("b", 1);
    expect(await codeOf(() => state.commit())).toBe("state-taken");
  });

  it.each([
    ["20,001 changes", 20_001, "x"],
    ["a value of 25 MiB", 1, "x".repeat(25 * 1024 * 1024)],
  ])("refuses %s as one commit, and goes on", async (_, count, value) => {
    const { state } = await open();
    for (let row = 0; row < count; row++) state.table("t").put(String(row), value);
    expect(await codeOf(() => state.commit())).toBe("state-too-large");
    state.rollback();
    state.table("t").put("a", 1);
    await state.commit();
    expect(await restored()).toEqual([[["a", 1]], 0]);
  });

  it("saves nothing of a commit with a value that JSON refuses", async () => {
    const { state } = await open();
    for (const value of [1n, () => 1]) {
      state.table("t").put("a", value);
      await expect(state.commit()).rejects.toThrow(TypeError);
      state.rollback();
    }
    expect(log.length).toBe(1);
  });
});

describe("changelog contents", () => {
  const stamp = { epoch: 0, batch: 1 };
  const opening = { ...openingRecord("t", "a"), offset: 0 };

  it.each([
    ["a key that is not JSON", { key: "a", value: "1", stamp }],
    ["a key of another kind", { key: '["line","t","a"]', value: "1", stamp }],
    ["a row key that is no text", { key: '["row","t",1]', value: "1", stamp }],
    ["a value that is not JSON", { key: '["row","t","a"]', value: '{"n":', stamp }],
    ["a row without a stamp", { key: '["row","t","a"]', value: "1" }],
    ["a position that is no offset", { key: '["position","events",0]', value: "-1", stamp }],
    ["a position that is text", { key: '["position","events",0]', value: '"5"', stamp }],
  ])("refuses %s, and names its place", (_, record) => {
    const found = new Changelog("log");
    found.take(opening);
    expect(() => found.take({ ...record, offset: 7 })).toThrow("log/7: state-corrupt");
  });

  it("leaves a position of a topic that it does not know alone", () => {
    const found = new Changelog("log");
    found.take({ key: '["position","later",0]', value: "5", stamp, offset: 1 });
    found.take({ key: '["position","events",1]', value: "6", stamp, offset: 2 });
    expect(found.positions).toEqual([{ topic: "events", partition: 1, next: 6 }]);
  });
});
