// Joiners that share a table: what one task learned, another answers by.

import { describe, expect, it } from "vitest";
import {
  type BuildFact,
  type BuildTable,
  type Changes,
  createBuildTable,
  createInventory,
  createJoiner,
  type Joiner,
  type JoinerSettings,
} from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
import { at, egress, falco, jobEvent, preparedEvent, runEvent } from "./fixture.ts";

const inventory = createInventory([]);
const pod = "arc-x7-runner-abcde";
const address = "10.1.0.9";

function table(): BuildTable {
  return createBuildTable({ state: emptyState(), inventory });
}

function joinerOver(builds: BuildTable, settings: Partial<JoinerSettings> = {}): Joiner {
  return createJoiner({ state: emptyState(), builds, ...settings });
}

/** Has the table learn what the event tells through this joiner; answers all changes. */
function tell(builds: BuildTable, joiner: Joiner, ...told: readonly Event[]): readonly Changes[] {
  return told.flatMap((one) => joiner.factsOf(one).map((fact) => builds.learn(fact, at(0))));
}

function heard(joiner: Joiner, changes: readonly Changes[], seconds: number): readonly Event[] {
  return changes.flatMap((one) => joiner.changed(one, at(seconds)));
}

const jobOf = (one: Event | undefined): unknown => one?.build?.jobId;

describe("two joiners over one table", () => {
  it("answer an event that waits in the one by a fact learned through the other", () => {
    const builds = table();
    const [one, other] = [joinerOver(builds), joinerOver(builds)];
    const early = falco(5, { pod });
    expect(one.join(early, at(5)).kind).toBe("parked");
    const changes = tell(builds, other, jobEvent());
    expect(heard(other, changes, 6)).toEqual([]);
    const [answered, ...more] = heard(one, changes, 6);
    expect([answered?.id, jobOf(answered), more]).toEqual([early.id, "5001", []]);
    expect([one.counts().parked, one.nextDue()]).toEqual([0, undefined]);
    expect(heard(one, changes, 7)).toEqual([]);
  });

  it("join by what the table knows, whoever told it", () => {
    const builds = table();
    tell(builds, joinerOver(builds), jobEvent());
    const joined = joinerOver(builds).join(falco(5, { pod }), at(5));
    expect(joined.kind === "ready" && jobOf(joined.event)).toBe("5001");
  });

  it("keep their own events", () => {
    const builds = table();
    const [one, other] = [joinerOver(builds), joinerOver(builds)];
    one.join(falco(5, { pod }), at(5));
    expect([one.counts().parked, other.counts().parked]).toEqual([1, 0]);
    expect([one.due(at(30)).length, other.due(at(30)).length]).toEqual([1, 0]);
  });

  it("hear of nothing when a fact is told again, of whatever kind", () => {
    const builds = table();
    const joiner = joinerOver(builds);
    const sighting = falco(5, { pod, address });
    const facts = [runEvent(), jobEvent(), preparedEvent(), sighting].flatMap((one) =>
      joiner.factsOf(one),
    );
    const empty = () => facts.map((fact) => builds.learn(fact, at(0)).empty);
    expect(empty()).toEqual([false, false, false, false]);
    expect(empty()).toEqual([true, true, true, true]);
  });
});

describe("recheck", () => {
  it("finds what the joiner was never told of, parked or gone on, and says it once", () => {
    const builds = table();
    const joiner = joinerOver(builds);
    joiner.join(falco(1, { pod: "first" }), at(1));
    joiner.join(falco(2, { pod: "second" }), at(2));
    joiner.due(at(16));
    joiner.join(falco(17, { pod: "unknown" }), at(17));
    const [first, second] = [
      jobEvent({ runner: "first" }),
      jobEvent({ runner: "second", id: 2, runId: 78 }),
    ];
    tell(builds, joinerOver(builds), first, second);
    expect(joiner.recheck(at(16.5)).map((one) => [one.id, jobOf(one)])).toEqual([
      ["falco:1", "5001"],
      ["falco:2", "2"],
    ]);
    expect(joiner.counts()).toMatchObject({ parked: 1, reEmitted: 1 });
    expect(joiner.recheck(at(16.6))).toEqual([]);
  });

  it("finds it after a rollback, when the fact is no news to the table any more", () => {
    const builds = table();
    const state = emptyState();
    const before = createJoiner({ state, builds });
    before.join(falco(5, { pod }), at(5));
    void state.commit();
    expect(heard(before, tell(builds, before, jobEvent()), 6)).toHaveLength(1);
    state.rollback();
    const after = createJoiner({ state, builds });
    expect(heard(after, tell(builds, after, jobEvent()), 7)).toEqual([]);
    expect(after.recheck(at(7)).map(jobOf)).toEqual(["5001"]);
  });

  it("takes what else the table now knows of an event that has gone on", () => {
    const builds = table();
    const joiner = joinerOver(builds);
    tell(builds, joiner, jobEvent());
    joiner.join(falco(5, { pod }), at(5));
    tell(builds, joiner, runEvent());
    expect(joiner.recheck(at(6)).map((one) => one.build?.trigger)).toEqual(["push"]);
  });
});

describe("a host that is no runner's yet", () => {
  it("sends its events of the last moment again once it is, unless they name a pod", () => {
    const builds = table();
    const [one, other] = [joinerOver(builds), joinerOver(builds)];
    for (const early of [
      falco(5, { host: "Node-7" }),
      falco(6, { host: "node-7", pod: "web-1" }),
    ]) {
      other.join(early, at(6));
    }
    expect(other.counts()).toMatchObject({ strangers: 1, parked: 1, released: 0 });
    const changes = tell(builds, one, jobEvent({ runner: "node-7" }));
    expect(heard(other, changes, 7).map((event) => [event.id, jobOf(event)])).toEqual([
      ["falco:5", "5001"],
    ]);
  });

  it("is forgotten after that moment", () => {
    const builds = table();
    const joiner = joinerOver(builds);
    joiner.join(falco(5, { host: "node-7" }), at(5));
    expect(heard(joiner, tell(builds, joiner, jobEvent({ runner: "node-7" })), 21)).toEqual([]);
    expect(joiner.counts().strangers).toBe(0);
  });
});

describe("a pod's address", () => {
  const sighting = falco(5, { pod, address });
  const request = egress(10, { address });

  function leaseOf(joiner: Joiner, one: Event): BuildFact | undefined {
    return joiner.factsOf(one).find(({ lease }) => lease !== undefined);
  }

  it("is told again after a rollback: the topic never had it, though the table does", () => {
    const state = emptyState();
    const builds = table();
    const before = createJoiner({ state, builds });
    tell(builds, before, sighting);
    before.join(sighting, at(5));
    expect(leaseOf(before, sighting)).toBeUndefined();
    state.rollback();
    const after = createJoiner({ state, builds });
    expect(leaseOf(after, sighting)).toBeDefined();
    after.join(sighting, at(5));
    void state.commit();
    expect(leaseOf(createJoiner({ state, builds }), sighting)).toBeUndefined();
  });

  it("learned through one joiner leads another to the job", () => {
    const builds = table();
    const [one, other] = [joinerOver(builds), joinerOver(builds)];
    tell(builds, one, jobEvent(), sighting);
    const joined = other.join(request, at(10));
    expect(joined.kind === "ready" && [jobOf(joined.event), joined.event.buildJoin]).toEqual([
      "5001",
      { method: "address", confidence: "likely", candidates: [] },
    ]);
  });

  it("is a fact about the address, told once", () => {
    const builds = table();
    const joiner = joinerOver(builds);
    const seen = falco(5, { pod: "ARC-x7", address: "::ffff:10.1.0.9" });
    const fact = leaseOf(joiner, seen);
    expect(fact).toEqual({
      run: "lease:10.1.0.9",
      occurredAt: at(5),
      lease: { address, pod: "arc-x7" },
    });
    joiner.join(seen, at(5));
    expect(leaseOf(joiner, falco(6, { pod: "arc-x7", address }))).toBeUndefined();
    for (const join of [{ pod: "arc-x7" }, { address }, { pod: "p".repeat(254), address }]) {
      expect(leaseOf(joiner, falco(7, join))).toBeUndefined();
    }
    const long = { pod: "arc-x7", address: "1".repeat(65) };
    expect(leaseOf(joiner, falco(7, long))).toBeUndefined();
  });

  it("told after the event that shows it sends the event again", () => {
    const builds = table();
    const [one, other] = [joinerOver(builds), joinerOver(builds)];
    tell(builds, one, jobEvent());
    const alone = other.join(request, at(10));
    expect(alone.kind === "ready" && alone.event.build).toBeUndefined();
    expect(other.counts()).toMatchObject({ strangers: 1, released: 0, parked: 0 });
    const changes = tell(builds, one, sighting);
    expect(heard(other, changes, 11).map(jobOf)).toEqual(["5001"]);
    expect(other.counts().strangers).toBe(0);
  });

  it("told before its pod's job still leads to the job", () => {
    const builds = table();
    const [one, other] = [joinerOver(builds), joinerOver(builds)];
    other.join(request, at(10));
    expect(heard(other, tell(builds, one, sighting), 11)).toEqual([]);
    expect(heard(other, tell(builds, one, jobEvent()), 12).map(jobOf)).toEqual(["5001"]);
  });

  it("that goes to another pod leads an event that waits to that pod's job", () => {
    const state = emptyState();
    const builds = table();
    const joiner = createJoiner({ state, builds });
    tell(builds, joiner, falco(-60, { pod: "older", address }));
    expect(joiner.join(request, at(10)).kind).toBe("parked");
    expect(heard(joiner, tell(builds, joiner, sighting), 11)).toEqual([]);
    void state.commit();
    // The keys it is found by from now on are saved with it.
    const again = createJoiner({ state, builds });
    expect(heard(again, tell(builds, again, jobEvent()), 12).map(jobOf)).toEqual(["5001"]);
  });

  it("is waited for a moment only, by so many events, in memory", () => {
    const builds = table();
    const state = emptyState();
    const joiner = createJoiner({ state, builds, parkedMax: 2 });
    for (const n of [1, 2, 3]) joiner.join(egress(n, { address }), at(n));
    expect(joiner.counts()).toMatchObject({ strangers: 2, strangersEvicted: 1 });
    joiner.changed(builds.learn({ run: "x", occurredAt: 0, build: none }, at(0)), at(17.5));
    expect(joiner.counts().strangers).toBe(1);
    expect(["parked", "released", "incomplete"].map((name) => state.table(name).size)).toEqual([
      0, 0, 0,
    ]);
  });
});

const none = { repository: "acme/none", runId: "1", runAttempt: 1 };
