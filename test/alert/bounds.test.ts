import { describe, expect, it } from "vitest";
import type { Bounded } from "../../src/alert/alert.ts";
import { dayMs, hourMs } from "../../src/clock.ts";
import { build, match, midnight, rule, Timeline } from "./fakes.ts";

const noisy = rule({ id: "noisy", causes: { token: "t" } });

function counted(): {
  readonly evicted: Map<Bounded, number>;
  readonly onEvicted: (what: Bounded, count: number) => void;
} {
  const evicted = new Map<Bounded, number>();
  return {
    evicted,
    onEvicted: (what, count) => evicted.set(what, (evicted.get(what) ?? 0) + count),
  };
}

function flood(timeline: Timeline, count: number): void {
  for (let index = 0; index < count; index++) {
    const run = build({ runId: `${index}` });
    const fields = { t: `token-${index}` };
    timeline.step({
      match: match({ id: `${index}`, rule: noisy, at: midnight + index, build: run, fields }),
    });
  }
}

describe("bounds", () => {
  it("evict the longest unchanged by number, and count it", () => {
    const { evicted, onEvicted } = counted();
    const bounds = {
      alertsMax: 50,
      incidentsMax: 40,
      matchesMax: 60,
      causesMax: 80,
      tokensMax: 20,
    };
    const timeline = new Timeline({ onEvicted, bounds });
    flood(timeline, 200);
    for (const what of ["incidents", "matches", "causes", "tokens"] as const) {
      expect(evicted.get(what), what).toBeGreaterThan(0);
    }
    expect(evicted.get("incidents")).toBeGreaterThanOrEqual(160);
    // The latest is still known: the same match again changes nothing.
    const run = build({ runId: "199" });
    const last = { id: "199", rule: noisy, at: midnight + 199, build: run };
    expect(timeline.step({ match: match(last) }).alerts).toEqual([]);
    // The first is forgotten and begins anew, under the id it had.
    const [first] = timeline.alerts.values();
    const again = match({ id: "0", rule: noisy, at: midnight, build: build({ runId: "0" }) });
    expect(timeline.step({ match: again }).alerts[0]!.id).toBe(first!.id);
  });

  it("evict by age what no longer changes, and keep what does", () => {
    const { evicted, onEvicted } = counted();
    const timeline = new Timeline({ onEvicted, bounds: { keepMs: 60 * dayMs } });
    const run = build({ runId: "1" });
    timeline.step({ match: match({ id: "a", rule: noisy, at: midnight, build: run }) });
    const later = midnight + 59 * dayMs;
    const kept = timeline.step({ match: match({ id: "b", rule: noisy, at: later, build: run }) });
    expect(kept.incidents[0]!.alertIds).toHaveLength(2);
    expect(evicted.size).toBe(0);
    const last = later + 60 * dayMs + hourMs;
    const fresh = timeline.step({ match: match({ id: "c", rule: noisy, at: last, build: run }) });
    expect(fresh.incidents[0]!.alertIds).toHaveLength(1);
    expect(evicted.get("alerts")).toBe(2);
    expect(evicted.get("incidents")).toBe(1);
  });

  it("let a key of an evicted incident open a new one, with alerts of its own", () => {
    const timeline = new Timeline({ bounds: { incidentsMax: 10 } });
    flood(timeline, 30);
    const [first] = timeline.alerts.values();
    const run = build({ runId: "0" });
    const fields = { t: "token-0" };
    const parts = { id: "new", rule: noisy, at: midnight + 40, build: run, fields };
    const change = timeline.step({ match: match(parts) });
    expect(change.incidents[0]).toMatchObject({ revision: 1, alertIds: [change.alerts[0]!.id] });
    expect(change.alerts[0]!.count).toBe(1);
    expect(change.alerts[0]!.id).not.toBe(first!.id);
    expect(change.incidents[0]!.id).not.toBe(first!.incidentId);
  });

  it("evict nothing below them", () => {
    const { evicted, onEvicted } = counted();
    const timeline = new Timeline({ onEvicted, bounds: { alertsMax: 50, incidentsMax: 50 } });
    flood(timeline, 50);
    expect(evicted.size).toBe(0);
  });
});
