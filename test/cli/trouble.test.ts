import { describe, expect, it } from "vitest";
import type { BusTrouble } from "../../src/bus/bus.ts";
import { unavailable } from "../../src/bus/kafka-client.ts";
import { Trouble } from "../../src/cli/trouble.ts";
import { minuteMs, VirtualClock } from "../../src/clock.ts";
import { ServiceError, UnavailableError } from "../../src/error.ts";
import { createTelemetry } from "../../src/telemetry.ts";

function heard(fatal = false) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const clock = new VirtualClock();
  const telemetry = createTelemetry({ level: "info", destination });
  const trouble = new Trouble({ telemetry, clock, fatal });
  const levels = () => lines.map((line) => (JSON.parse(line) as { level: string }).level);
  return { trouble, clock, levels };
}

const gone = unavailable("kafka 192.0.2.1:9092", new Error("connect ECONNREFUSED"));

function trouble(error: unknown, more: Partial<BusTrouble> = {}): BusTrouble {
  return { group: "detect", topic: "events", partition: 0, error, retryAfterMs: 1_000, ...more };
}

describe("trouble", () => {
  it("of brokers is one warning, whoever meets it, and one more a minute later", () => {
    const { trouble: told, clock, levels } = heard();
    for (const partition of [0, 1, 2, 3]) told.hear(trouble(gone, { partition }));
    told.hear(trouble(new UnavailableError("the partition moved meanwhile")));
    told.hear(trouble(gone, { group: "builds", topic: "builds", retryAfterMs: 2_000 }));
    expect(levels()).toEqual(["warn"]);
    clock.advance(minuteMs - 1);
    told.hear(trouble(gone));
    expect(levels()).toEqual(["warn"]);
    clock.advance(1);
    told.hear(trouble(gone));
    expect(levels()).toEqual(["warn", "warn"]);
    expect(told.reasons()).toEqual([]);
  });

  it("of any other kind is an error each time", () => {
    const { trouble: told, levels } = heard();
    told.hear(trouble(gone));
    told.hear(trouble(new TypeError("no function")));
    told.hear(trouble(new TypeError("no function")));
    expect(levels()).toEqual(["warn", "error", "error"]);
  });

  it("that does not pass makes the service unready", () => {
    const { trouble: told, levels } = heard();
    told.hear(trouble(gone, { retryAfterMs: undefined }));
    expect(levels()).toEqual(["error"]);
    expect(told.reasons()).toEqual([expect.stringMatching(/^detect: events\/0 stands still: /)]);
  });

  it.each(["state-corrupt", "bus-corrupt", "config-invalid", "state-too-large"] as const)(
    "of code %s makes the service unready for as long as it is met again",
    (code) => {
      const { trouble: told, clock, levels } = heard();
      const problem = { code, place: "changelog/3", expected: "a stamp", found: "none" };
      const corrupt = trouble(new ServiceError(problem), { retryAfterMs: 30_000 });
      const reason = expect.stringMatching(
        new RegExp(`^detect: events/0 stands still: .*${code}: expected a stamp`),
      );
      for (let count = 0; count < 20; count += 1) {
        told.hear(corrupt);
        expect(told.reasons()).toEqual([reason]);
        // It takes a minute to meet it again.
        clock.advance(30_000 + minuteMs);
        expect(told.reasons()).toEqual([reason]);
      }
      expect(new Set(levels())).toEqual(new Set(["error"]));
      clock.advance(minuteMs);
      expect(told.reasons()).toEqual([]);
    },
  );

  it("that something else only passes on is known by where it comes from", () => {
    const { trouble: told } = heard();
    const problem = { place: "detect/0", expected: "less", found: "more" };
    const cause = new ServiceError({ code: "state-too-large", ...problem });
    told.hear(trouble(new UnavailableError("cannot be saved as one", { cause })));
    told.hear(trouble(new UnavailableError("cannot be saved", { cause: gone }), { partition: 1 }));
    expect(told.reasons()).toEqual(["detect: events/0 stands still: cannot be saved as one"]);
  });

  it("that stands until the restart does so whatever else is met", () => {
    const { trouble: told, clock } = heard();
    const problem = { code: "bus-corrupt", place: "x", expected: "this", found: "that" } as const;
    told.hear(trouble(gone, { retryAfterMs: undefined }));
    told.hear(trouble(new ServiceError(problem)));
    clock.advance(60 * minuteMs);
    expect(told.reasons()).toHaveLength(1);
  });

  it("of a bus in files ends the service; of brokers it does not", async () => {
    const inFiles = heard(true).trouble;
    inFiles.hear(trouble(gone));
    expect(await inFiles.broken).toContain("ECONNREFUSED");
    const onBrokers = heard().trouble;
    onBrokers.hear(trouble(gone));
    const still = Promise.resolve("still running");
    expect(await Promise.race([onBrokers.broken, still])).toBe("still running");
  });
});
