/** @module What every StateStore must keep to: one suite, run on each implementation. */

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServiceError } from "../../src/error.ts";
import {
  commitChangesMax,
  type State,
  type StateOwner,
  type StateStore,
} from "../../src/state/state.ts";

export interface StatePlace {
  open(): StateStore | Promise<StateStore>;
  /** What a crash and a new start give: uncommitted changes are lost. */
  reopen(store: StateStore): StateStore | Promise<StateStore>;
  remove(): void | Promise<void>;
}

/** The owner that the suite is about. */
const owner: StateOwner = { stage: "correlate", partition: 0 };

const awkwardKeys = ["", "a", "__proto__", "constructor", "ключ", "a\0b", "\ud800", "\ufffd", '"'];

/** Everything a table holds, in an order that can be compared. */
export function contents<V>(state: State, name: string): [string, V][] {
  const entries = [...state.table<V>(name).entries()];
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

export async function codeOf(act: () => unknown): Promise<string> {
  try {
    await act();
    return "returned";
  } catch (error) {
    return error instanceof ServiceError ? error.problem.code : String(error);
  }
}

/**
 * Runs the contract of `src/state/state.ts` on one implementation; `runs` histories against a plain
 * map, 60 when absent.
 */
export function stateContract(name: string, place: () => StatePlace, runs = 60): void {
  describe(`${name} state`, () => {
    let own: StatePlace;
    let store: StateStore;
    let state: State;

    beforeEach(async () => {
      own = place();
      store = await own.open();
      state = await store.open(owner);
    });

    afterEach(async () => {
      await store.close();
      await own.remove();
    });

    async function crash(): Promise<void> {
      store = await own.reopen(store);
      state = await store.open(owner);
    }

    it("is empty at first", async () => {
      expect(state.table("windows").size).toBe(0);
      expect(state.table("windows").get("a")).toBeUndefined();
      expect(state.position("events", 0)).toBe(0);
    });

    it("gives back what was put, and the same table for the same name", async () => {
      const table = state.table<{ n: number }>("windows");
      table.put("a", { n: 1 });
      table.put("a", { n: 2 });
      table.put("b", { n: 3 });
      expect(state.table("windows").get("a")).toEqual({ n: 2 });
      expect(state.table("other").get("a")).toBeUndefined();
      expect(table.size).toBe(2);
      table.delete("a");
      table.delete("never");
      expect(contents(state, "windows")).toEqual([["b", { n: 3 }]]);
    });

    it("refuses undefined as a value", async () => {
      expect(() => state.table("windows").put("a", undefined)).toThrow(TypeError);
      expect(state.table("windows").size).toBe(0);
    });

    it.each([
      ["null", null],
      ["false", false],
      ["zero", 0],
      ["an empty text", ""],
      ["text with every kind of character", "\0\ud800 \u202e ключ \u{1f600}"],
      ["an object with open keys", JSON.parse('{"__proto__":{"a":1},"constructor":2}')],
      ["nested lists", [[1, [2, null]], {}]],
      ["a large number", Number.MAX_SAFE_INTEGER],
      ["1 MiB", "x".repeat(1024 * 1024)],
    ])("keeps %s over a crash after commit", async (_, value) => {
      state.table("windows").put("key", value);
      await state.commit();
      await crash();
      expect(state.table("windows").get("key")).toEqual(value);
      expect(contents(state, "windows")).toEqual([["key", value]]);
    });

    it("keeps keys of any text apart", async () => {
      const table = state.table<number>("windows");
      for (const [index, key] of awkwardKeys.entries()) table.put(key, index);
      await state.commit();
      await crash();
      for (const [index, key] of awkwardKeys.entries()) {
        expect(state.table("windows").get(key)).toBe(index);
      }
      expect(state.table("windows").size).toBe(awkwardKeys.length);
      state.table("windows").delete("\ud800");
      await state.commit();
      await crash();
      expect(state.table("windows").get("\ud800")).toBeUndefined();
      expect(state.table("windows").get("\ufffd")).toBe(awkwardKeys.indexOf("\ufffd"));
    });

    it("loses what was not committed, values and positions alike", async () => {
      state.table("windows").put("a", 1);
      state.advance("events", 0, 5);
      await state.commit();
      state.table("windows").put("a", 2);
      state.table("windows").put("b", 2);
      state.advance("events", 0, 9);
      await crash();
      expect(contents(state, "windows")).toEqual([["a", 1]]);
      expect(state.position("events", 0)).toBe(5);
    });

    it("takes everything since the last commit back on rollback", async () => {
      const table = state.table<number>("windows");
      table.put("kept", 1);
      table.put("deleted", 1);
      state.advance("events", 0, 5);
      await state.commit();
      table.put("kept", 2);
      table.put("kept", 3);
      table.put("new", 1);
      table.delete("deleted");
      table.put("brief", 1);
      table.delete("brief");
      state.table("other").put("x", 1);
      state.advance("events", 0, 9);
      state.advance("events", 1, 2);
      state.rollback();
      expect(contents(state, "windows")).toEqual([
        ["deleted", 1],
        ["kept", 1],
      ]);
      expect(state.table("other").size).toBe(0);
      expect([state.position("events", 0), state.position("events", 1)]).toEqual([5, 0]);
      table.put("after", 1);
      await state.commit();
      await crash();
      expect(contents(state, "windows").map(([key]) => key)).toEqual(["after", "deleted", "kept"]);
      expect(state.position("events", 0)).toBe(5);
    });

    it("saves a deletion, and a key that came back", async () => {
      const table = state.table<number>("windows");
      table.put("gone", 1);
      table.put("back", 1);
      await state.commit();
      table.delete("gone");
      table.delete("back");
      table.put("back", 2);
      await state.commit();
      await crash();
      expect(contents(state, "windows")).toEqual([["back", 2]]);
    });

    it("never takes a position back", async () => {
      state.advance("events", 0, 7);
      state.advance("events", 0, 3);
      expect(state.position("events", 0)).toBe(7);
      await state.commit();
      state.advance("events", 0, 6);
      await state.commit();
      await crash();
      expect(state.position("events", 0)).toBe(7);
      expect(state.position("events", 1)).toBe(0);
      expect(state.position("alerts", 0)).toBe(0);
      expect(() => state.advance("events", 0, -1)).toThrow(RangeError);
      expect(() => state.advance("events", 0, 1.5)).toThrow(RangeError);
    });

    it.each([
      ["stages", { stage: "alert", partition: 0 }],
      ["partitions", { stage: "correlate", partition: 1 }],
    ])("keeps %s apart", async (_, stranger) => {
      const other = await store.open(stranger);
      other.table("windows").put("a", "theirs");
      other.advance("events", 0, 3);
      state.table("windows").put("a", "ours");
      await state.commit();
      other.rollback();
      other.table("windows").put("b", "theirs");
      other.advance("events", 1, 4);
      await other.commit();
      await crash();
      expect(contents(state, "windows")).toEqual([["a", "ours"]]);
      expect(state.position("events", 1)).toBe(0);
      const again = await store.open(stranger);
      expect(contents(again, "windows")).toEqual([["b", "theirs"]]);
      expect([again.position("events", 0), again.position("events", 1)]).toEqual([0, 4]);
    });

    it("gives the last commit to who opens the stage again, and refuses commits of before", async () => {
      state.table("windows").put("a", 1);
      await state.commit();
      state.table("windows").put("a", 2);
      const again = await store.open(owner);
      expect(again.table("windows").get("a")).toBe(1);
      expect(await codeOf(() => state.commit())).toBe("state-taken");
      again.table("windows").put("b", 1);
      await again.commit();
      await crash();
      expect(contents(state, "windows").length).toBe(2);
    });

    it("takes as many changes as are promised, and of more all or none", async () => {
      const table = state.table<number>("windows");
      for (let index = 1; index < commitChangesMax; index += 1) table.put(`${index}`, index);
      state.advance("events", 0, 1);
      await state.commit();
      for (let index = 0; index <= commitChangesMax; index += 1) table.put(`${index}`, -1);
      const code = await codeOf(() => state.commit());
      expect(["returned", "state-too-large"]).toContain(code);
      state.rollback();
      table.put("after", 1);
      await state.commit();
      await crash();
      const kept = state.table<number>("windows");
      const taken = code === "returned";
      expect(kept.size).toBe(commitChangesMax + (taken ? 2 : 0));
      expect([kept.get("1"), kept.get("after")]).toEqual([taken ? -1 : 1, 1]);
    });

    it("refuses everything once closed, and closes twice", async () => {
      state.table("windows").put("a", 1);
      await store.close();
      await store.close();
      expect(await codeOf(() => state.commit())).toBe("state-unavailable");
      expect(await codeOf(() => store.open(owner))).toBe("state-unavailable");
    });

    it("equals a plain map under any acts", async () => {
      const key = fc.constantFrom(...awkwardKeys);
      const act = fc.oneof(
        fc.record({ kind: fc.constant("put" as const), key, value: fc.jsonValue() }),
        fc.record({ kind: fc.constant("delete" as const), key }),
        fc.record({ kind: fc.constant("advance" as const), next: fc.nat(50) }),
        fc.constantFrom({ kind: "commit" as const }, { kind: "rollback" as const }),
        fc.constant({ kind: "crash" as const }),
      );
      // The model begins where the run before ended: one long history.
      let saved = new Map<string, unknown>();
      let savedNext = 0;
      const run = fc.asyncProperty(fc.array(act, { maxLength: 30 }), async (acts) => {
        let model = new Map(saved);
        let next = savedNext;
        for (const step of [...acts, { kind: "crash" as const }]) {
          const table = state.table<unknown>("windows");
          if (step.kind === "put") {
            table.put(step.key, step.value);
            model.set(step.key, JSON.parse(JSON.stringify(step.value)));
          } else if (step.kind === "delete") {
            table.delete(step.key);
            model.delete(step.key);
          } else if (step.kind === "advance") {
            state.advance("events", 1, step.next);
            next = Math.max(next, step.next);
          } else if (step.kind === "commit") {
            await state.commit();
            saved = new Map(model);
            savedNext = next;
          } else {
            if (step.kind === "rollback") state.rollback();
            else await crash();
            model = new Map(saved);
            next = savedNext;
          }
          const found = contents(state, "windows");
          const plain = JSON.parse(JSON.stringify(found)) as [string, unknown][];
          expect(new Map(plain)).toEqual(model);
          expect(state.position("events", 1)).toBe(next);
        }
      });
      await fc.assert(run, { seed: 20260104, numRuns: runs });
    });
  });
}
