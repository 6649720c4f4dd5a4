import { describe, expect, it } from "vitest";
import { createTelemetry, silentTelemetry } from "../src/telemetry.ts";

/** The samples of the text format, by name and labels. */
async function samples(metrics: Promise<string>): Promise<Map<string, number>> {
  const lines = (await metrics).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

function logging(): { lines: string[]; telemetry: ReturnType<typeof createTelemetry> } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { lines, telemetry: createTelemetry({ level: "info", destination }) };
}

describe("telemetry", () => {
  it("turns each fact into its metric", async () => {
    const { emit, metrics } = silentTelemetry();
    emit.eventsAccepted({ feed: "falco", count: 3, occurredAt: 1_700_000_000_500 });
    emit.recordsRejected({ feed: "falco", code: "json-invalid" });
    emit.duplicatesDropped({ feed: "trivy", count: 2 });
    emit.recordsApplied({ stage: "detect", count: 500 });
    emit.batchFailed({ stage: "detect" });
    emit.eventsParked({ count: 4 });
    emit.eventsReleased({ reason: "joined" });
    emit.evicted({ what: "windows", reason: "limit" });
    emit.matches({ kind: "signal" });
    emit.alertsOpened({});
    emit.incidentsOpened({});
    emit.pagesWithheld({ count: 2 });
    emit.noticesPromised({ kind: "page" });
    emit.deliveries({ sink: "soc", outcome: "retry" });
    emit.deliverySeconds({ sink: "soc", seconds: 0.03 });
    emit.receiveToDeliverySeconds({ sink: "soc", seconds: 1.5 });
    emit.outboxOldestSeconds({ sink: "soc", seconds: 61 });
    emit.busAppendSeconds({ seconds: 0.002 });
    const found = await samples(metrics());
    const wanted: [string, number][] = [
      ['pipewarden_events_accepted_total{feed="falco"}', 3],
      ['pipewarden_feed_last_event_timestamp_seconds{feed="falco"}', 1_700_000_000.5],
      ['pipewarden_records_rejected_total{feed="falco",code="json-invalid"}', 1],
      ['pipewarden_duplicates_dropped_total{feed="trivy"}', 2],
      ['pipewarden_records_applied_total{stage="detect"}', 500],
      ['pipewarden_batches_failed_total{stage="detect"}', 1],
      ["pipewarden_events_parked_total", 4],
      ['pipewarden_events_released_total{reason="joined"}', 1],
      ['pipewarden_evicted_total{what="windows",reason="limit"}', 1],
      ['pipewarden_matches_total{kind="signal"}', 1],
      ["pipewarden_alerts_opened_total", 1],
      ["pipewarden_incidents_opened_total", 1],
      ["pipewarden_pages_withheld_total", 2],
      ['pipewarden_notices_promised_total{kind="page"}', 1],
      ['pipewarden_deliveries_total{sink="soc",outcome="retry"}', 1],
      ['pipewarden_delivery_seconds_sum{sink="soc"}', 0.03],
      ['pipewarden_receive_to_delivery_seconds_bucket{le="1",sink="soc"}', 0],
      ['pipewarden_receive_to_delivery_seconds_bucket{le="2",sink="soc"}', 1],
      ['pipewarden_outbox_oldest_seconds{sink="soc"}', 61],
      ["pipewarden_bus_append_seconds_count", 1],
    ];
    for (const [name, value] of wanted) expect([name, found.get(name)]).toEqual([name, value]);
  });

  it("gives every metric a help line and our prefix", async () => {
    const text = await silentTelemetry().metrics();
    const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    expect(names.length).toBeGreaterThan(15);
    for (const [, name, type] of names) {
      expect(name).toMatch(/^pipewarden_[a-z_]+$/);
      expect(name?.endsWith("_total")).toBe(type === "counter");
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, "m"));
    }
  });

  it("never moves a feed's last event back", async () => {
    const { emit, metrics } = silentTelemetry();
    emit.feedLastEventTimestampSeconds({ feed: "egress", seconds: 200 });
    emit.eventsAccepted({ feed: "egress", count: 1, occurredAt: 100_000 });
    emit.eventsAccepted({ feed: "egress", count: 0, occurredAt: 0 });
    const found = await samples(metrics());
    expect(found.get('pipewarden_feed_last_event_timestamp_seconds{feed="egress"}')).toBe(200);
  });

  it("counts label values beyond the bound as other, so a caller cannot grow memory", async () => {
    const { emit, metrics } = silentTelemetry();
    for (let n = 0; n < 10_000; n++) emit.eventsReleased({ reason: `run-${n}` });
    const found = await samples(metrics());
    const series = [...found.keys()].filter((name) =>
      name.startsWith("pipewarden_events_released"),
    );
    expect(series.length).toBe(65);
    expect(found.get('pipewarden_events_released_total{reason="other"}')).toBe(10_000 - 64);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, -5])(
    "takes %s for nothing, not for a fault",
    async (n) => {
      const { emit, metrics } = silentTelemetry();
      emit.eventsAccepted({ feed: "falco", count: n, occurredAt: n });
      emit.busAppendSeconds({ seconds: n });
      const found = await samples(metrics());
      expect(found.get('pipewarden_events_accepted_total{feed="falco"}')).toBe(0);
      expect(found.get("pipewarden_bus_append_seconds_sum")).toBe(0);
    },
  );

  it("logs what a person should hear of, with hostile text made safe, and nothing per event", () => {
    const { lines, telemetry } = logging();
    for (let n = 0; n < 100; n++) telemetry.emit.eventsAccepted({ feed: "falco" });
    telemetry.emit.deliveries({ sink: "soc", outcome: "retry" });
    telemetry.emit.deliveries({ sink: "soc", outcome: "superseded" });
    expect(lines).toEqual([]);
    const log = { incidentId: "inc_1", kind: "page", reason: "http 400: \u001b[2J\nfake" };
    telemetry.emit.deliveries({ sink: "soc", outcome: "rejected", log });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "error",
      service: "pipewarden",
      sink: "soc",
      incident_id: "inc_1",
      reason: "http 400: \\u001b[2J\\u000afake",
    });
  });

  it("keeps registries apart", async () => {
    const [one, other] = [silentTelemetry(), silentTelemetry()];
    one.emit.alertsOpened({ count: 7 });
    expect((await samples(other.metrics())).get("pipewarden_alerts_opened_total")).toBe(0);
  });
});
