import { describe, expect, it } from "vitest";
import type { IncidentRecord } from "../../src/alert/memory.ts";
import { withoutAlert } from "../../src/alert/ties.ts";
import { dayMs, hourMs, minuteMs } from "../../src/clock.ts";
import type { Match } from "../../src/detection/detection.ts";
import type { Feed } from "../../src/event/event.ts";
import { build, loud, type MatchParts, match, midnight, rule, Timeline } from "./fakes.ts";

const [runA, runB] = [build({ runId: "100" }), build({ runId: "200" })];
const limits = new Map<Feed, number>([
  ["trivy", 7 * dayMs],
  ["falco", minuteMs],
]);
const perFeed = { pageAgeMaxOf: (feed: Feed): number => limits.get(feed) ?? hourMs };

function told(afterMs: number, parts: Partial<MatchParts> = {}): Match {
  const { at = midnight } = parts;
  return match({ id: "1", rule: loud, at, build: runA, ...parts, receivedAt: at + afterMs });
}

describe("a page for what a feed tells late", () => {
  it.each([
    ["falco", minuteMs, 1],
    ["falco", minuteMs + 1, 0],
    ["egress", hourMs, 1],
    ["egress", hourMs + 1, 0],
    ["trivy", 7 * dayMs, 1],
    ["trivy", 7 * dayMs + 1, 0],
    // A sender's clock ahead of ours, within what is believed.
    ["falco", -minuteMs, 1],
  ] as const)("%s, %i ms after: %i", (feed, afterMs, pages) => {
    const timeline = new Timeline(perFeed);
    timeline.step({ match: told(afterMs, { feed }) });
    expect(timeline.pageKeys).toHaveLength(pages);
  });

  it.each([
    ["at once", 0],
    ["after a day", dayMs],
    ["after a month", 30 * dayMs],
  ])("does not depend on when we come to it: %s", (_, behindMs) => {
    const timeline = new Timeline(perFeed);
    const now = midnight + 200 + behindMs;
    expect(timeline.step({ match: told(200) }, now).withheld).toBe(0);
    expect(timeline.pageKeys).toHaveLength(1);
  });

  it("counts from a correlation's latest event to the one that was told last", () => {
    const late = (first: number, last: number): Match => {
      const whole = match({ id: "1", rule: loud, at: midnight, eventIds: ["a", "b"], build: runA });
      const received = [midnight + first, midnight + last];
      const events = whole.events.map((event, index) => {
        const feed = index === 0 ? "egress" : "falco";
        return { ...event, feed, receivedAt: received[index] ?? 0 } as const;
      });
      return { ...whole, events };
    };
    const pagesFor = (each: Match): number => {
      const timeline = new Timeline(perFeed);
      timeline.step({ match: each });
      return timeline.pageKeys.length;
    };
    expect(pagesFor(late(hourMs, 200))).toBe(1);
    expect(pagesFor(late(hourMs + 1, 200))).toBe(0);
    expect(pagesFor(late(0, minuteMs))).toBe(1);
    expect(pagesFor(late(0, minuteMs + 1))).toBe(0);
  });

  it("says on the incident why nobody was paged, until somebody is", () => {
    const timeline = new Timeline(perFeed);
    const change = timeline.step({ match: told(3 * hourMs) }, midnight + 4 * hourMs);
    const [alert] = change.alerts;
    expect(change.incidents[0]).not.toHaveProperty("pagedAt");
    expect(change.incidents[0]?.pageWithheld).toEqual({
      at: midnight + 4 * hourMs,
      alertId: alert?.id,
      feed: "falco",
      toldAfterMs: 3 * hourMs,
      limitMs: minuteMs,
      reason: "falco told of it 3 h after it occurred; beyond 60 s nobody is paged",
    });
    // Anything that does not page leaves the note as it is.
    const quiet = match({ id: "2", rule: rule({ id: "calm" }), at: midnight + 1, build: runA });
    expect(timeline.step({ match: quiet }).incidents[0]?.pageWithheld?.toldAfterMs).toBe(
      3 * hourMs,
    );
    const fresh = told(0, { id: "3", at: midnight + 2 });
    const paged = timeline.step({ match: fresh });
    expect(paged.withheld).toBe(0);
    expect(paged.incidents[0]).toHaveProperty("pagedAt");
    expect(paged.incidents[0]).not.toHaveProperty("pageWithheld");
    expect(timeline.pageKeys).toHaveLength(1);
  });

  it("is counted once per incident, and for no quiet match", () => {
    const timeline = new Timeline(perFeed);
    const withheld = (id: string, parts: Partial<MatchParts>): number =>
      timeline.step({ match: told(hourMs, { id, ...parts }) }).withheld;
    expect(withheld("0", { rule: { ...loud, id: "calm", page: false } })).toBe(0);
    expect(withheld("1", {})).toBe(1);
    expect(withheld("2", {})).toBe(0);
    expect(withheld("3", { rule: { ...loud, id: "loud2" } })).toBe(0);
    expect(withheld("4", { build: runB })).toBe(1);
    expect(timeline.notices).toEqual([]);
  });

  it("has its note go with the alert it is about, and with no other", () => {
    const timeline = new Timeline(perFeed);
    timeline.step({ match: told(hourMs) });
    timeline.step({
      match: match({ id: "2", rule: rule({ id: "calm" }), at: midnight, build: runA }),
    });
    const [[, record] = []] = timeline.rows<IncidentRecord>("incidents");
    const [noted = "", other = ""] = record?.incident.alertIds ?? [];
    if (record === undefined) throw new Error("no incident");
    expect(withoutAlert(record, other, []).incident.pageWithheld?.alertId).toBe(noted);
    expect(withoutAlert(record, noted, []).incident).not.toHaveProperty("pageWithheld");
  });

  it.each([
    ["keeps the note", false],
    ["drops it where the other was paged", true],
  ])("of incidents that turn out to be one: %s", (_, otherPages) => {
    const timeline = new Timeline(perFeed);
    const other = rule({ id: "other", page: otherPages });
    // The earlier one lives on.
    timeline.step({ match: match({ id: "1", rule: other, at: midnight, build: runB }) });
    timeline.step({ match: told(hourMs, { id: "2", at: midnight + minuteMs }) });
    expect(timeline.incidents.size).toBe(2);
    const both = match({
      id: "3",
      rule: rule({ id: "calm" }),
      at: midnight + 2 * minuteMs,
      eventIds: ["a", "b"],
    });
    const events = both.events.map((event, index) => ({
      ...event,
      build: index === 0 ? runA : runB,
    }));
    timeline.step({ match: { ...both, events } });
    const [merged, ...rest] = timeline.incidents.values();
    expect(rest).toEqual([]);
    expect(merged?.mergedIds).toHaveLength(1);
    expect(merged?.pageWithheld?.feed).toBe(otherPages ? undefined : "falco");
  });
});
