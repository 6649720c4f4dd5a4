import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutText, keptNotice, noticeLengthMax, safeJson } from "../../src/sink/evidence.ts";
import { waitMs, waitMsMax } from "../../src/sink/retry.ts";
import { noticeOf } from "./fakes.ts";

describe("evidence kept for a pending notice", () => {
  it("leaves a small notice alone", () => {
    const notice = noticeOf();
    expect(keptNotice(notice)).toEqual(notice);
  });

  it("cuts events before alerts and never the incident's identity", () => {
    const notice = noticeOf({ alerts: 20, events: 20, raw: "r".repeat(2_000) });
    const kept = keptNotice(notice);
    expect(JSON.stringify(kept).length).toBeLessThanOrEqual(noticeLengthMax);
    expect(kept.alerts).toHaveLength(20);
    expect(kept.alerts[0]?.events.length).toBeGreaterThan(kept.alerts[1]?.events.length ?? 99);
    expect(kept).toMatchObject({ key: notice.key, kind: "page", incident: notice.incident });
  });

  it("is bounded for any text", () => {
    const text = fc.string({ unit: "binary", minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(text, fc.nat(100), fc.nat(20), (unit, times, alerts) => {
        const long = unit.repeat(times);
        const fields = Object.fromEntries(
          Array.from({ length: 100 }, (_, n) => [`${n}${long.slice(0, 400)}`, long]),
        );
        const kept = keptNotice(noticeOf({ text: long, fields, raw: long, alerts, events: 20 }));
        expect(kept.key).toBe(noticeOf().key);
        expect(JSON.stringify(kept).length).toBeLessThanOrEqual(noticeLengthMax);
      }),
      { seed: 20_261_126, numRuns: 12 },
    );
  });

  it.each([
    ["short", 10, "short"],
    ["exactly ten", 11, "exactly ten"],
    ["one too long", 11, "one too lo…"],
    ["ab\u{1f600}", 4, "ab\u{1f600}"],
    ["ab\u{1f600}cd", 4, "ab…"],
    ["\ud800x", 5, "\ufffdx"],
    ["anything", 0, "…"],
  ])("cuts %j at %i to %j", (text, lengthMax, wanted) => {
    expect(cutText(text, lengthMax)).toBe(wanted);
  });

  it("costs little for evidence of any length, and leaves no half of a secret at a cut", () => {
    const token = `ghp_${"a1B2".repeat(9)}`;
    const text = `${"word ".repeat(204)}${token}${" more".repeat(200_000)}`;
    const fields = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`f${n}`, text]));
    const kept = keptNotice(noticeOf({ fields, raw: text, alerts: 20, events: 20 }));
    expect(JSON.stringify(kept).length).toBeLessThanOrEqual(noticeLengthMax);
    expect(JSON.stringify(kept.alerts)).not.toContain("ghp_");
  });

  it("writes JSON that shows as one line and reads back as the same value", () => {
    const value = { a: "\u0085\u009b\u2028\u202e\u{e0001}\n\u{1f600}é", b: ["\u007f"] };
    const text = safeJson(value);
    expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(JSON.parse(text)).toEqual(value);
  });

  it("masks secret values wherever evidence carries them, and keeps ids", () => {
    const token = `ghp_${"a1B2".repeat(9)}`;
    const fields = { "process.command_line": `push ${token}`, args: ["-x", token], n: 5 };
    const notice = noticeOf({ text: `curl ${token}`, fields, raw: `{"k":"${token}"}` });
    const safe = keptNotice({ ...notice, key: "key" });
    const { build: _build, ...incident } = safe.incident;
    expect(
      JSON.stringify([incident, safe.alerts.map(({ build: _b, ...alert }) => alert)]),
    ).not.toContain(token);
    expect(safe.key).toBe("key");
    expect(safe.alerts[0]?.events[0]?.fields["n"]).toBe(5);
    expect(safe.alerts[0]?.events[0]?.fields["args"]).toEqual(["-x", "[masked]"]);
    expect(safe.incident.id).toBe(notice.incident.id);
  });
});

describe("the wait before the next try", () => {
  it("is the same for the same key and try, and differs between keys", () => {
    expect(waitMs("a", 3)).toBe(waitMs("a", 3));
    const waits = new Set(Array.from({ length: 50 }, (_, n) => waitMs(`key ${n}`, 3)));
    expect(waits.size).toBeGreaterThan(40);
  });

  it("is never less than asked for, nor more than an hour", () => {
    const asked = fc.oneof(fc.double(), fc.integer());
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 1_000 }), asked, (key, tries, afterMs) => {
        const wait = waitMs(key, tries, afterMs);
        expect(wait).toBeLessThanOrEqual(waitMsMax);
        expect(wait).toBeGreaterThanOrEqual(800);
        if (Number.isFinite(afterMs))
          expect(wait).toBeGreaterThanOrEqual(Math.min(afterMs, waitMsMax));
      }),
      { seed: 20_261_127 },
    );
  });
});
