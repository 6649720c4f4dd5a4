import { describe, expect, it } from "vitest";
import { Sightings } from "../../src/enrichment/sightings.ts";
import type { Event } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
import { KeptState } from "../state/kept.ts";
import { at, falco } from "./fixture.ts";

const address = "10.1.0.9";

function sighting(pod: string, seconds: number, received = seconds): Event {
  return { ...falco(seconds, { pod, address }), receivedAt: at(received) };
}

/** Whether the event tells something; then it counts as told. */
function tells(sightings: Sightings, event: Event): boolean {
  const news = sightings.newsOf(event);
  sightings.note(event);
  return news !== undefined;
}

function fresh(max = 100): Sightings {
  return new Sightings(emptyState(), max);
}

describe("what an event tells of a pod's address", () => {
  it("is told once, again after an hour, and when the pod had it a minute earlier", () => {
    const cases: [string, number, number, boolean][] = [
      ["a", 0, 0, true],
      ["A", 1, 1, false],
      ["b", 2, 2, true],
      ["a", 3, 3, false],
      ["a", -59.999, 4, false],
      ["a", -60, 5, true],
      ["a", -119, 6, false],
      ["a", 3_604.999, 3_604.999, false],
      ["a", 3_605, 3_605, true],
      ["a", -60, 3_606, false],
    ];
    const sightings = fresh();
    for (const [pod, seconds, received, told] of cases) {
      const event = sighting(pod, seconds, received);
      expect([pod, seconds, tells(sightings, event)]).toEqual([pod, seconds, told]);
    }
  });

  it("is told no more often where a clock is wrong", () => {
    for (const skew of [-90_000, 90_000]) {
      const sightings = fresh();
      tells(sightings, sighting("right", 0));
      const told = Array.from({ length: 100 }, (_, n) => {
        tells(sightings, sighting("right", n));
        return tells(sightings, sighting("wrong", n + skew, n));
      });
      expect([skew, told.filter(Boolean).length]).toEqual([skew, 1]);
    }
  });

  it("is forgotten after the hour, and beyond the bound the oldest first, a restart or not", () => {
    const kept = new KeptState();
    const before = new Sightings(kept.state, 2);
    for (const [pod, seconds] of [
      ["b", 0],
      ["a", 1],
    ] as const) {
      before.note(sighting(pod, seconds));
    }
    void kept.state.commit();
    const after = new Sightings(kept.reopen(), 2);
    after.note(sighting("c", 2));
    expect([after.size, after.evicted]).toEqual([2, 1]);
    const news = ["a", "b", "c"].map((pod) => after.newsOf(sighting(pod, 3)) !== undefined);
    expect(news).toEqual([false, true, false]);
    after.note(sighting("d", 3_602));
    expect([after.size, after.evicted]).toEqual([1, 1]);
  });
});
