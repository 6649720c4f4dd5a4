// A commit saves a bounded number of changes: what became due meanwhile is done in steps.

import { describe, expect, it } from "vitest";
import { createInventory } from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { State } from "../../src/state/state.ts";
import { at, falco, jobEvent } from "./fixture.ts";
import { Task } from "./task.ts";

const inventory = createInventory([]);
const day = 24 * 3600;

async function taskOver(): Promise<{ readonly task: Task; readonly state: State }> {
  const state = await openMemoryState().open({ stage: "detect", partition: 0 });
  return { task: new Task({ state, inventory }), state };
}

/** Parks so many events, all at once for the clock. */
async function park(task: Task, state: State, { count, pod }: { count: number; pod: string }) {
  for (let index = 0; index < count; index += 1) {
    task.join({ ...falco(1, { pod }), id: `falco:${pod}/${index}` }, at(1));
    if (index % 1_000 === 999) await state.commit();
  }
  await state.commit();
}

/** Calls until nothing is left; commits each time, and no call gives more than 500. */
async function inSteps(state: State, step: () => readonly Event[]): Promise<Set<string>> {
  const ids = new Set<string>();
  for (let events = step(); events.length > 0; events = step()) {
    expect(events.length).toBeLessThanOrEqual(500);
    for (const { id } of events) ids.add(id);
    await state.commit();
  }
  return ids;
}

describe("very many events at once", () => {
  it("go on when they have waited, in steps that a commit holds", async () => {
    const { task, state } = await taskOver();
    await park(task, state, { count: 12_000, pod: "runner" });
    expect(task.due(at(16))).toHaveLength(500);
    expect(task.nextDue()).toBeLessThanOrEqual(at(16));
    await state.commit();
    expect((await inSteps(state, () => task.due(at(16)))).size).toBe(11_500);
    expect([task.nextDue(), task.counts().parked]).toEqual([undefined, 0]);
  });

  it("go on in smaller steps when they are long", async () => {
    const { task } = await taskOver();
    for (let index = 0; index < 5; index += 1) {
      const raw = "x".repeat(2 * 1024 * 1024);
      task.join({ ...falco(1, { pod: "runner" }), id: `falco:${index}`, raw }, at(1));
    }
    expect([1, 2, 3, 4].map(() => task.due(at(16)).length)).toEqual([2, 2, 1, 0]);
  });

  it("are forgotten after a day, in steps, and the next event is taken meanwhile", async () => {
    const { task, state } = await taskOver();
    await park(task, state, { count: 20_000, pod: "runner" });
    await inSteps(state, () => task.due(at(16)));
    expect(task.counts().released).toBe(20_000);
    expect(task.join(falco(2 * day, { pod: "later" }), at(2 * day)).kind).toBe("parked");
    await state.commit();
    const left = task.counts().released;
    expect(left).toBeGreaterThan(19_900);
    // A fact about what is over, though it is not forgotten yet, changes nothing.
    expect(task.learn(factOf(task, "runner"), at(2 * day))).toEqual([]);
    for (let step = 0; step < 40; step += 1) {
      task.due(at(2 * day));
      await state.commit();
    }
    expect(task.counts()).toMatchObject({ released: 0, parked: 1 });
  });

  it("hear of their job in steps", async () => {
    const { task, state } = await taskOver();
    await park(task, state, { count: 2_600, pod: "runner" });
    const first = task.learn(factOf(task, "runner"), at(2));
    expect([first.length, task.joiner.isBehind]).toEqual([500, true]);
    const ids = await inSteps(state, () => task.joiner.rest(at(3)));
    expect([ids.size, task.joiner.isBehind, task.counts().parked]).toEqual([2_100, false, 0]);
  });
});

function factOf(task: Task, runner: string) {
  const [fact] = task.factsOf(jobEvent({ runner }));
  if (fact === undefined) throw new Error("a job event tells of its job");
  return fact;
}
