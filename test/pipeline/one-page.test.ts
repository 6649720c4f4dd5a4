import { describe, expect, it } from "vitest";
import type { Bus } from "../../src/bus/bus.ts";
import { hourMs, minuteMs, secondMs } from "../../src/clock.ts";
import { nightlyJob } from "../../src/demo/company.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { blobPost, history } from "../../src/demo/midnight-commit.ts";
import { falco } from "../../src/demo/runtime.ts";
import { ServiceError } from "../../src/error.ts";
import type { StateStore } from "../../src/state/state.ts";
import { turns } from "../contract/bus.ts";
import { replacing } from "../contract/replacing.ts";
import { commitsThrough } from "../state/kept.ts";
import { night, openRig, type Rig } from "./company.ts";

const stages = ["builds", "detect", "correlate", "notify", "deliver", "store"] as const;

/** A second rule that pages, on the same run as the POST, a moment before it. */
function reverseShell(): Post {
  return falco({
    at: night - secondMs,
    host: nightlyJob(night, 0).runner.name,
    rule: "Redirect STDOUT/STDIN to Network Connection in Container",
    priority: "Critical",
    tags: [],
    text: "a shell whose input is a connection",
    fields: {
      "proc.name": "bash",
      "proc.cmdline": "bash -i",
      "evt.type": "dup2",
      "fd.sip": "203.0.113.5",
      "fd.sport": 4444,
      "container.id": "host",
    },
  });
}

/** Fails once, at the `at`-th of its turns since it was armed, and tells how many there were. */
class Fault {
  turns = 0;
  #at = -1;

  arm(at: number): void {
    this.turns = 0;
    this.#at = at;
  }

  pass(): void {
    const turn = this.turns++;
    if (turn !== this.#at) return;
    throw new ServiceError({
      ...{ code: "state-unavailable", place: "disk", expected: "room", found: "none" },
    });
  }
}

/** States whose commits of `stage` pass the fault before they save. */
function faultyStates(states: StateStore, stage: string, fault: Fault): StateStore {
  return commitsThrough(async (commit, owner) => {
    if (owner.stage === stage) fault.pass();
    await commit();
  }, states);
}

/** A bus that takes the records and then gives no answer. */
function unsureBus(bus: Bus, fault: Fault): Bus {
  return replacing(bus, {
    append: async (records) => {
      await bus.append(records);
      if (records.some(({ topic }) => topic !== "events")) fault.pass();
    },
  });
}

/** Time goes on while a batch that failed waits for its next try. */
async function moveOnTo(rig: Rig, time: number): Promise<void> {
  let done = false;
  const moved = rig.moveTo(time).finally(() => {
    done = true;
  });
  for (let step = 0; step < 100 && !done; step += 1) {
    await turns(30);
    if (!done) rig.clock.advance(secondMs);
  }
  if (!done) throw new Error("a stage never came to an end");
  await moved;
}

async function twoAttacksInOneRun(rig: Rig, arm: () => void): Promise<void> {
  await rig.send(history(night).filter(({ at }) => at > night - 25 * hourMs));
  arm();
  // The second comes while what the first brought about still waits for its retry.
  void rig.sendNow([reverseShell()]);
  await turns(30);
  void rig.sendNow([blobPost(night)]);
  await turns(30);
  await moveOnTo(rig, night + 5 * minuteMs);
  await moveOnTo(rig, night + 10 * minuteMs);
}

async function expectOnePage(rig: Rig): Promise<void> {
  const pages = rig.notices.filter(({ kind }) => kind === "page");
  expect(new Set(pages.map(({ key }) => key)).size).toBe(1);
  const { items } = await rig.store.incidents({ limit: 50 });
  expect(items.map(({ build }) => build?.runNumber)).toEqual([812]);
  const { pipeline } = rig;
  const behind = Object.values(pipeline.backlog());
  expect(behind.filter((count) => count > 0)).toEqual([]);
}

describe("two paging rules of one run", () => {
  it.each(stages)("page once when a commit of %s fails, whichever it is", async (stage) => {
    let commits = 1;
    for (let at = 0; at < commits; at += 1) {
      const fault = new Fault();
      const rig = await openRig({
        start: night - 26 * hourMs,
        faulty: ({ bus, states }) => ({ bus, states: faultyStates(states, stage, fault) }),
      });
      await twoAttacksInOneRun(rig, () => fault.arm(at));
      await expectOnePage(rig);
      // Retries add turns; the first run's count is enough, and bounded.
      if (at === 0) commits = Math.min(fault.turns, 8);
      await rig.stop();
    }
    expect(commits).toBeGreaterThan(1);
  });

  it("page once when the bus takes records and does not answer, whichever they are", async () => {
    let appends = 1;
    for (let at = 0; at < appends; at += 1) {
      const fault = new Fault();
      const rig = await openRig({
        start: night - 26 * hourMs,
        faulty: ({ bus, states }) => ({ states, bus: unsureBus(bus, fault) }),
      });
      await twoAttacksInOneRun(rig, () => fault.arm(at));
      await expectOnePage(rig);
      if (at === 0) appends = Math.min(fault.turns, 12);
      await rig.stop();
    }
    expect(appends).toBeGreaterThan(4);
  });
});
