import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dayMs, hourMs, minuteMs } from "../../src/clock.ts";
import {
  build,
  loud,
  match,
  midnight,
  midnightChain,
  quiet,
  rule,
  type Step,
  Timeline,
} from "./fakes.ts";

const runA = build({ runId: "100" });
const runB = build({ runId: "200", repository: "acme/site" });

/** The chain at one time of the clock, as after an outage: age must not depend on order. */
const awake = { pageAgeMaxOf: () => 60 * dayMs };

describe("the midnight chain", () => {
  it("is one incident and one page, then updates", () => {
    const timeline = new Timeline();
    const kinds = midnightChain.map((step) => timeline.step(step).notices.map(({ kind }) => kind));
    expect(kinds).toEqual([[], [], [], [], [], [], ["page"], ["update"], ["update"]]);
    expect([...timeline.incidents.keys()]).toHaveLength(1);
    const [incident] = timeline.incidents.values();
    expect(timeline.pageKeys).toEqual([`pw/${incident!.id}/1/page`]);
    expect(incident!.alertIds).toHaveLength(6);
    expect(incident).toMatchObject({
      level: "critical",
      title: "Data sent to a bare address in acme/payments",
      secretsExposed: ["REGISTRY_TOKEN", "LEDGER_KEY"],
      build: { runId: "9007" },
      firstSeen: midnight - 21 * dayMs - 11 * minuteMs,
      lastSeen: midnight + 4 * hourMs,
    });
    expect(incident!.origins.map(({ origin }) => origin.runId)).toEqual(["77"]);
    expect(new Set([...timeline.alerts.values()].map((alert) => alert.incidentId)).size).toBe(1);
  });

  it("tells the whole of it in the reason of the page", () => {
    const timeline = new Timeline();
    for (const step of midnightChain.slice(0, 7)) timeline.step(step);
    const { origins } = timeline.notices[0]!.incident;
    expect(origins[0]!.reason).toContain("fork PR #41 of acme/tooling");
    expect(timeline.notices[0]?.incident.reason).toBe(
      "nightly #812 of acme/payments sent 3,981 bytes by POST to 203.0.113.77:80. " +
        "31 s before, in the same run: a process read the environment of another process. " +
        `The run had ${origins[0]!.reason}.`,
    );
    expect(timeline.notices[0]?.latencyMs).toBe(300);
    expect(timeline.notices[0]?.alerts[0]?.rule.id).toBe("post");
  });

  it("comes out the same whatever the order", () => {
    const order = fc.shuffledSubarray([...midnightChain.keys()], {
      minLength: midnightChain.length,
    });
    fc.assert(
      fc.property(order, (indexes) => {
        const timeline = new Timeline(awake);
        const now = midnight + dayMs;
        for (const index of indexes) timeline.step(midnightChain[index]!, now);
        const incidents = [...timeline.incidents.values()];
        expect(incidents).toHaveLength(1);
        expect(incidents[0]!.alertIds).toHaveLength(6);
        expect(new Set(timeline.pageKeys)).toEqual(new Set([`pw/${incidents[0]!.id}/1/page`]));
        expect(timeline.pageKeys).toHaveLength(1);
        expect(incidents[0]!.title).toBe("Data sent to a bare address in acme/payments");
        expect(incidents[0]!.origins.map(({ origin }) => origin.runId)).toEqual(["77"]);
      }),
      { seed: 20261123, numRuns: 150 },
    );
  });

  it("changes nothing when all of it is applied again", () => {
    const timeline = new Timeline();
    for (const step of midnightChain) timeline.step(step);
    const before = [...timeline.incidents.values()];
    for (const step of midnightChain) {
      expect(timeline.step(step, midnight + dayMs)).toEqual({
        alerts: [],
        incidents: [],
        notices: [],
        withheld: 0,
      });
    }
    expect([...timeline.incidents.values()]).toEqual(before);
  });

  it.each(midnightChain.map((_, index) => index))(
    "survives a crash before commit of step %i",
    (at) => {
      const calm = new Timeline();
      for (const step of midnightChain) calm.step(step);
      const crashed = new Timeline();
      for (const [index, step] of midnightChain.entries()) {
        if (index === at) {
          crashed.apply(step);
          if (midnightChain[index + 1] !== undefined) crashed.apply(midnightChain[index + 1]!);
          crashed.crash();
        }
        crashed.step(step);
      }
      expect([...crashed.incidents.values()]).toEqual([...calm.incidents.values()]);
      // What was given out before the crash is given out again under the same keys.
      expect([...new Set(crashed.notices.map(({ key }) => key))]).toEqual(
        calm.notices.map(({ key }) => key),
      );
    },
  );

  it("wakes nobody when it is read from an old log", () => {
    const timeline = new Timeline();
    const now = midnight + 5 * dayMs;
    const read = midnightChain.map((step): Step => {
      if (!("match" in step)) return step;
      const events = step.match.events.map((event) => ({ ...event, receivedAt: now }));
      return { match: { ...step.match, receivedAt: now, events } };
    });
    const withheld = read.map((step) => timeline.step(step, now).withheld);
    expect(timeline.notices).toEqual([]);
    expect(withheld).toEqual([0, 0, 0, 0, 0, 0, 1, 0, 0]);
    expect([...timeline.incidents.values()][0]).toMatchObject({ level: "critical" });
    expect([...timeline.incidents.values()][0]).not.toHaveProperty("pagedAt");
  });

  it("pages as ever when it was told in time and we come to it five days later", () => {
    const [prompt, behind] = [new Timeline(), new Timeline()];
    for (const step of midnightChain) prompt.step(step);
    for (const step of midnightChain) behind.step(step, midnight + 5 * dayMs);
    expect(prompt.pageKeys).toHaveLength(1);
    expect(behind.notices.map(({ key }) => key)).toEqual(prompt.notices.map(({ key }) => key));
  });
});

describe("incidents", () => {
  it("stay quiet for one alert that pages nobody", () => {
    const timeline = new Timeline();
    const change = timeline.step({
      match: match({ id: "1", rule: quiet, at: midnight, build: runA }),
    });
    expect(change.notices).toEqual([]);
    expect(change.incidents).toHaveLength(1);
    expect(change.incidents[0]).toMatchObject({
      revision: 1,
      level: "medium",
      reason: "Rule quiet.",
      title: "Rule quiet in acme/payments",
      alertIds: [change.alerts[0]!.id],
    });
    expect(change.incidents[0]!.id).toMatch(/^inc_[0-9a-f]{20}$/);
    expect(change.alerts[0]!.incidentId).toBe(change.incidents[0]!.id);
  });

  it("of unrelated runs stay apart, each with its page", () => {
    const timeline = new Timeline();
    timeline.step({ match: match({ id: "1", rule: loud, at: midnight, build: runA }) });
    timeline.step({ match: match({ id: "2", rule: loud, at: midnight + 1, build: runB }) });
    expect(timeline.incidents.size).toBe(2);
    expect(new Set(timeline.pageKeys).size).toBe(2);
  });

  it("of two attempts of one run stay apart", () => {
    const timeline = new Timeline();
    timeline.step({ match: match({ id: "1", rule: loud, at: midnight, build: runA }) });
    const again = { ...runA, runAttempt: 2 };
    timeline.step({ match: match({ id: "2", rule: loud, at: midnight + 1, build: again }) });
    expect(timeline.incidents.size).toBe(2);
  });

  it("of runs that restored an ordinary run's cache stay apart", () => {
    const timeline = new Timeline();
    const saver = build({ runId: "1", repository: "acme/base" });
    const fact = { thing: "cache:https://cache.example/base", occurredAt: midnight - hourMs };
    timeline.step({ fact: { ...fact, eventId: "s", kind: "cache-saved", run: saver } });
    for (const run of [runA, runB]) {
      const eventId = run.runId;
      const occurredAt = midnight - 1;
      timeline.step({ fact: { ...fact, occurredAt, eventId, kind: "cache-restored", run } });
    }
    timeline.step({ match: match({ id: "1", rule: loud, at: midnight, build: runA }) });
    timeline.step({ match: match({ id: "2", rule: loud, at: midnight, build: runB }) });
    expect(timeline.incidents.size).toBe(2);
    // Near miss: once the saver itself is suspicious, they have one cause.
    const bad = rule({ id: "bad", level: "high" });
    const suspicion = match({ id: "3", rule: bad, at: midnight - hourMs, build: saver });
    timeline.step({ match: suspicion }, midnight + minuteMs);
    expect(timeline.incidents.size).toBe(1);
  });

  it.each([
    ["an informational alert on the saver", { rule: rule({ id: "n", level: "informational" }) }, 2],
    ["a low alert on the saver", { rule: rule({ id: "n", level: "low" }) }, 2],
    ["a medium alert on the saver", { rule: rule({ id: "n", level: "medium" }) }, 2],
    ["a high alert on the saver", { rule: rule({ id: "n", level: "high" }) }, 1],
    ["a critical alert on the saver", { rule: rule({ id: "n", level: "critical" }) }, 1],
    [
      "a vulnerable package in the saver",
      { rule: rule({ id: "n", level: "critical" }), feed: "trivy" as const },
      2,
    ],
  ])("link by taint or not: %s", (_, parts, count) => {
    const timeline = new Timeline();
    const saver = build({ runId: "1", repository: "acme/base" });
    const fact = { thing: "cache:https://cache.example/base", occurredAt: midnight - hourMs };
    timeline.step({ match: match({ id: "0", at: midnight - hourMs, build: saver, ...parts }) });
    timeline.step({ fact: { ...fact, eventId: "s", kind: "cache-saved", run: saver } });
    timeline.step({ fact: { ...fact, eventId: "r", kind: "cache-restored", run: runA } });
    timeline.step({ match: match({ id: "1", rule: quiet, at: midnight, build: runA }) });
    expect(timeline.incidents.size).toBe(count);
  });

  it("of attacks weeks apart each have their page, whatever medium alert their cache's saver had", () => {
    const timeline = new Timeline();
    const saver = build({ runId: "1", repository: "acme/build-tools" });
    const fact = { thing: "cache:https://cache.example/toolchain", occurredAt: midnight };
    timeline.step({ match: match({ id: "0", rule: quiet, at: midnight, build: saver }) });
    timeline.step({ fact: { ...fact, eventId: "s", kind: "cache-saved", run: saver } });
    for (const [run, days] of [
      [runA, 3],
      [runB, 20],
    ] as const) {
      const occurredAt = midnight + days * dayMs;
      timeline.step({
        fact: { ...fact, occurredAt, eventId: run.runId, kind: "cache-restored", run },
      });
      timeline.step({
        match: match({ id: run.runId, rule: loud, at: occurredAt + 1, build: run }),
      });
    }
    expect(timeline.incidents.size).toBe(3);
    expect(timeline.notices.map(({ kind }) => kind)).toEqual(["page", "page"]);
  });

  it("keep the paged one when an older quiet one turns out to be the same", () => {
    const timeline = new Timeline();
    const first = timeline.step({
      match: match({ id: "1", rule: quiet, at: midnight - hourMs, build: runA }),
    });
    timeline.step({ match: match({ id: "2", rule: loud, at: midnight, build: runB }) });
    const [page] = timeline.notices;
    const linked = rule({ id: "link", causes: { run: "other" } });
    const change = timeline.step({
      match: match({
        id: "3",
        rule: linked,
        at: midnight + 1,
        build: runB,
        fields: { other: "acme/payments#100/1" },
      }),
    });
    expect(change.incidents).toHaveLength(1);
    expect(change.incidents[0]).toMatchObject({
      id: page!.incident.id,
      mergedIds: [first.incidents[0]!.id],
      openedAt: first.incidents[0]!.openedAt,
    });
    expect(change.notices.map(({ kind, key }) => [kind, key])).toEqual([
      ["update", `pw/${page!.incident.id}/1/${change.incidents[0]!.revision}`],
    ]);
    expect(change.alerts.map(({ incidentId }) => incidentId)).toEqual(
      Array(2).fill(page!.incident.id),
    );
    expect(timeline.pageKeys).toHaveLength(1);
    // A later alert on the run of the merged one goes to the survivor and pages nobody again.
    const later = timeline.step({
      match: match({ id: "4", rule: loud, at: midnight + 2, build: runA }),
    });
    expect(later.incidents[0]!.id).toBe(page!.incident.id);
    expect(later.notices.map(({ kind }) => kind)).toEqual(["update"]);
  });

  it("keep the older of two that were both paged, and say so", () => {
    const timeline = new Timeline();
    const saver = build({ runId: "1", repository: "acme/base", fork: true, pullRequest: 3 });
    timeline.step({ match: match({ id: "1", rule: loud, at: midnight, build: runA }) });
    timeline.step({ match: match({ id: "2", rule: loud, at: midnight + 9, build: runB }) });
    const [older, younger] = timeline.notices.map(({ incident }) => incident.id);
    const fact = { thing: "cache:https://cache.example/x", occurredAt: midnight - hourMs };
    const steps: Step[] = [
      { fact: { ...fact, eventId: "s", kind: "cache-saved", run: saver } },
      { fact: { ...fact, eventId: "a", kind: "cache-restored", run: runA } },
      { fact: { ...fact, eventId: "b", kind: "cache-restored", run: runB } },
    ];
    for (const step of steps) timeline.step(step, midnight + minuteMs);
    expect([...timeline.incidents.keys()]).toEqual([older]);
    const last = timeline.notices.at(-1);
    expect(last).toMatchObject({ kind: "update", incident: { id: older, mergedIds: [younger] } });
    expect(last?.incident.reason).toContain(`Also paged as ${younger}`);
    expect(timeline.pageKeys).toHaveLength(2);
  });

  it("tie a leaked token to the suspicious run that held it, not to the innocent ones", () => {
    const timeline = new Timeline();
    const leak = rule({ id: "leak", level: "high", causes: { token: "t" } });
    const innocent = build({ runId: "300" });
    const thing = "token:registry.example/bot";
    const occurredAt = midnight - hourMs;
    for (const run of [runA, runB, innocent]) {
      timeline.step({
        fact: { eventId: run.runId, kind: "token-used", thing, run, occurredAt },
      });
    }
    timeline.step({ match: match({ id: "1", rule: loud, at: midnight - 9, build: runA }) });
    // A medium alert on a holder is everyday life: it does not make the holder the leak.
    timeline.step({ match: match({ id: "2", rule: quiet, at: midnight - 9, build: runB }) });
    const change = timeline.step({
      match: match({ id: "3", rule: leak, at: midnight, fields: { t: "registry.example/bot" } }),
    });
    expect(change.incidents[0]!.id).toBe(timeline.notices[0]!.incident.id);
    expect(timeline.incidents.size).toBe(2);
  });

  it("list 200 alerts and count the rest, the leading one always among them", () => {
    const timeline = new Timeline();
    for (let index = 0; index < 230; index++) {
      const many = rule({ id: `r${index}` });
      timeline.step({ match: match({ id: `${index}`, rule: many, at: midnight, build: runA }) });
    }
    const change = timeline.step({
      match: match({ id: "loud", rule: loud, at: midnight, build: runA }),
    });
    expect(change.incidents[0]!.alertIds).toHaveLength(200);
    expect(change.incidents[0]!.alertsUnlisted).toBe(31);
    expect(change.incidents[0]!.alertIds).toContain(change.alerts[0]!.id);
    expect(change.incidents[0]!.title).toBe("Rule loud in acme/payments");
    expect(change.notices[0]!.alerts[0]!.rule.id).toBe("loud");
    expect(change.notices[0]!.alerts).toHaveLength(20);
    // A further match of an alert that is not listed is no further alert.
    const listed = new Set(change.incidents[0]!.alertIds);
    const unlisted = [...timeline.alerts.values()].find(({ id }) => !listed.has(id));
    const again = match({ id: "again", rule: unlisted!.rule, at: midnight, build: runA });
    const folded = timeline.step({ match: again });
    expect(folded.alerts[0]!.count).toBe(2);
    expect(folded.incidents[0]!.alertsUnlisted).toBe(31);
    expect(folded.notices).toEqual([]);
  });

  it("learn an origin after the page and say so once", () => {
    const timeline = new Timeline();
    timeline.step({ match: match({ id: "1", rule: loud, at: midnight, build: runA }) });
    const saver = build({ runId: "1", repository: "acme/base", fork: true, pullRequest: 3 });
    const fact = { thing: "cache:https://cache.example/x", occurredAt: midnight - hourMs };
    timeline.step({ fact: { ...fact, eventId: "s", kind: "cache-saved", run: saver } });
    const restored = { ...fact, eventId: "a", kind: "cache-restored", run: runA } as const;
    const learned = timeline.step({ fact: restored });
    expect(learned.notices.map(({ kind }) => kind)).toEqual(["update"]);
    expect(learned.incidents[0]!.reason).toContain("fork PR #3 of acme/base");
    const none = { alerts: [], incidents: [], notices: [], withheld: 0 };
    expect(timeline.step({ fact: restored })).toEqual(none);
  });
});

describe("causes without a build", () => {
  const host = { join: { host: "build-3" } };
  it.each([
    ["within the hour", 59 * minuteMs, 1],
    ["after more than an hour", 61 * minuteMs, 2],
  ])("fold per place %s", (_, apart, count) => {
    const timeline = new Timeline();
    const other = rule({ id: "other" });
    timeline.step({ match: match({ id: "1", rule: quiet, at: midnight, ...host }) });
    timeline.step({ match: match({ id: "2", rule: other, at: midnight + apart, ...host }) });
    expect(timeline.incidents.size).toBe(count);
  });

  it("do not lose their place to a late match of long before", () => {
    const timeline = new Timeline();
    const first = timeline.step({ match: match({ id: "1", rule: quiet, at: midnight, ...host }) });
    const late = midnight - 5 * hourMs;
    timeline.step({ match: match({ id: "2", rule: rule({ id: "x" }), at: late, ...host }) });
    const other = rule({ id: "other" });
    const next = timeline.step({
      match: match({ id: "3", rule: other, at: midnight + minuteMs, ...host }),
    });
    expect(timeline.incidents.size).toBe(2);
    expect(next.incidents[0]!.id).toBe(first.incidents[0]!.id);
  });

  it("of different places stay apart", () => {
    const timeline = new Timeline();
    timeline.step({ match: match({ id: "1", rule: quiet, at: midnight, ...host }) });
    const elsewhere = { join: { host: "build-4" } };
    timeline.step({ match: match({ id: "2", rule: quiet, at: midnight, ...elsewhere }) });
    expect(timeline.incidents.size).toBe(2);
  });

  it("take harmlessly named values", () => {
    const timeline = new Timeline();
    const odd = rule({ id: "odd", causes: JSON.parse('{"__proto__":"c","constructor":"c"}') });
    const change = timeline.step({
      match: match({ id: "1", rule: odd, at: midnight, fields: { c: "__proto__" } }),
    });
    expect(change.incidents).toHaveLength(1);
  });
});

describe("two pages of one chain", () => {
  /** A second victim of the same cache, which is paged on its own before anyone knows. */
  const victim = build({ runId: "9100", repository: "acme/site", workflow: "deploy" });
  const chain: readonly Step[] = [
    ...midnightChain,
    { match: match({ id: "m-victim", rule: loud, at: midnight + minuteMs, build: victim }) },
    {
      fact: {
        eventId: "f-victim",
        kind: "cache-restored",
        thing: "cache:https://cache.example/acme/node-modules-1",
        run: victim,
        occurredAt: midnight - minuteMs,
      },
    },
  ];

  it("end in one incident with one page key, whatever the order, repetition and crashes", () => {
    const turn = fc.record({ index: fc.nat(chain.length - 1), crash: fc.boolean() });
    const turns = fc.array(turn, { maxLength: 25 });
    const order = fc.shuffledSubarray([...chain.keys()], { minLength: chain.length });
    fc.assert(
      fc.property(turns, order, (before, indexes) => {
        const timeline = new Timeline(awake);
        const now = midnight + dayMs;
        for (const { index, crash } of before) {
          if (crash) {
            timeline.apply(chain[index]!, now);
            timeline.crash();
          } else timeline.step(chain[index]!, now);
        }
        for (const index of indexes) timeline.step(chain[index]!, now);
        const living = timeline.living();
        expect(living).toHaveLength(1);
        expect(living[0]!.alertIds).toHaveLength(7);
        const own = timeline.pageKeys.filter((key) => key.startsWith(`pw/${living[0]!.id}/`));
        expect(new Set(own).size).toBe(1);
        const placed = [...timeline.alerts.values()].map(({ incidentId }) => incidentId);
        expect(placed.filter((id) => id !== living[0]!.id)).toEqual([]);
      }),
      { seed: 812, numRuns: 100 },
    );
  });
});
