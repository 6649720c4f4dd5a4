/** @module What the collector tests share: deliveries, and the one event of an intake. */

import { expect } from "vitest";
import type { Collector, Delivery, Intake } from "../../src/collector/collector.ts";
import type { Event } from "../../src/event/event.ts";

export const receivedAt: number = Date.parse("2026-11-24T12:00:00Z");

export function delivery(more: Partial<Delivery> = {}): Delivery {
  return { receivedAt, headers: {}, place: "door", ...more };
}

export function read(collector: Collector, body: unknown, more: Partial<Delivery> = {}): Intake {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const intake = collector.read(Buffer.from(text), delivery(more));
  expect(intake.records).toBe(accounted(intake));
  return intake;
}

/** Records that ended somewhere. Of a Trivy report only the scan's event counts. */
export function accounted(intake: Intake): number {
  const events = intake.events.filter(
    (event) => event.feed !== "trivy" || event.logsource.category === "scan",
  );
  return events.length + intake.rejections.length + intake.skipped;
}

export function one(collector: Collector, body: unknown, more: Partial<Delivery> = {}): Event {
  const intake = read(collector, body, more);
  expect(intake.rejections).toEqual([]);
  expect(intake.events).toHaveLength(1);
  return intake.events[0]!;
}

export function codes(intake: Intake): string[] {
  return intake.rejections.map(({ problem }) => problem.code);
}
