/** @module The times of feeds. */

import { describe, expect, it } from "vitest";
import { earlierBy, placeInTime, readTime } from "../../src/collector/time.ts";
import { FieldSet } from "../../src/event/fields.ts";

describe("readTime", () => {
  const ns = "1764000001123456789";
  it.each([
    ["2025-11-24T16:00:01.123456789Z", ns],
    ["2025-11-24t16:00:01.123456789z", ns],
    ["2025-11-24T16:00:01.1234567899999Z", ns],
    ["2025-11-24T17:30:01.123456789+01:30", ns],
    ["2025-11-24T08:00:01.123456789-0800", ns],
    ["2025-11-24 16:00:01.123", "1764000001123000000"],
    ["2025-11-24 16:00:01", "1764000001000000000"],
    ["24/Nov/2025:17:00:01 +0100", "1764000001000000000"],
    [1764000001, "1764000001000000000"],
    [1764000001.25, "1764000001250000000"],
    ["1764000001.123", "1764000001123000000"],
    [1764000001123, "1764000001123000000"],
    ["1764000001123456", "1764000001123456000"],
    [ns, ns],
    ["2016-12-31T23:59:60Z", "1483228800000000000"],
    ["2024-02-29T00:00:00Z", "1709164800000000000"],
  ])("reads %s", (value, expected) => {
    const time = readTime(value);
    expect(time?.ns).toBe(expected);
    expect(time?.ms).toBe(Number(BigInt(expected) / 1_000_000n));
  });

  it.each([
    ["2025-02-29T00:00:00Z"],
    ["2025-13-01T00:00:00Z"],
    ["2025-00-10T00:00:00Z"],
    ["2025-11-24T24:00:00Z"],
    ["2025-11-24"],
    ["0001-01-01T00:00:00Z"],
    ["1969-12-31T23:59:59Z"],
    ["24/Foo/2025:17:00:01 +0100"],
    ["Mon, 24 Nov 2025 16:00:01 GMT"],
    ["999999999999999999999"],
    ["25340230080000000000000"],
    [0],
    [-5],
    [Number.NaN],
    [1e21],
    [""],
    ["-"],
    [null],
    [undefined],
    [true],
    [{}],
  ])("refuses %j", (value) => {
    expect(readTime(value)).toBeUndefined();
  });

  it("goes back by a duration, exactly", () => {
    expect(earlierBy({ ms: 1764000001123, ns }, 5_003).ns).toBe("1763999996120456789");
    expect(earlierBy({ ms: 5, ns: "5000000" }, 9_000)).toEqual({ ms: 5, ns: "5000000" });
  });
});

describe("placeInTime", () => {
  const receivedAt = Date.parse("2026-01-01T00:00:00Z");
  it.each([
    ["its own time", "2025-12-31T23:00:00Z", -3_600_000, "feed", {}],
    ["a time ten years past", "2015-12-31T23:00:00Z", -315_622_800_000, "feed", {}],
    ["a clock 60 s ahead", "2026-01-01T00:01:00Z", 60_000, "feed", {}],
    [
      "a clock further ahead",
      "2026-01-01T00:01:00.001Z",
      0,
      "clamped",
      {
        "pipewarden.ingest.claimed_time": "2026-01-01T00:01:00.001Z",
        "pipewarden.clock.skew": "future",
        "pipewarden.clock.skew_seconds": 60,
      },
    ],
    [
      "the year 9998",
      "9998-01-01T00:00:00Z",
      0,
      "clamped",
      {
        "pipewarden.ingest.claimed_time": "9998-01-01T00:00:00Z",
        "pipewarden.clock.skew": "future",
        "pipewarden.clock.skew_seconds": 251_572_003_200,
      },
    ],
    ["no time", undefined, 0, "receipt", {}],
    [
      "no readable time",
      "yesterday",
      0,
      "receipt",
      { "pipewarden.ingest.claimed_time": "yesterday" },
    ],
    [
      "a fine time",
      "2025-12-31T23:59:59.000000001Z",
      -1_000,
      "feed",
      { "pipewarden.time_ns": "1767225599000000001" },
    ],
  ])("takes %s", (_name, claimed, offset, timeSource, fields) => {
    const set = new FieldSet();
    expect(placeInTime(set, { claimed }, receivedAt)).toEqual({
      occurredAt: receivedAt + offset,
      timeSource,
    });
    expect(set.done()).toEqual(fields);
  });
});
