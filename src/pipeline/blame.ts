/** @module Whether a record that fails alone is to blame for it, and where it then goes. */

import type { BusRecord, NewRecord } from "../bus/bus.ts";
import { codeOf, isPassing, shown, UnavailableError } from "../error.ts";
import type { Telemetry } from "../telemetry.ts";
import { recordPlace, setAsideRecord } from "./records.ts";

/** Half of what the changelog takes in one commit, as JSON. */
const ownOutputBytesMax = 12 * 1024 * 1024;

/**
 * What to reject with so that the record comes again, `out` being what it leads to; undefined when
 * it would fail each time. A commit that is too large is not the record's fault unless that is.
 */
export function passingOf(error: unknown, out: readonly NewRecord[]): unknown {
  if (isPassing(error)) return error;
  if (codeOf(error) !== "state-too-large" || jsonBytes(out) > ownOutputBytesMax) return undefined;
  const reason = `what is owed cannot be saved as one: ${shown(String(error), 200)}`;
  return new UnavailableError(reason, { cause: error });
}

/** As in the changelog, where a record is a text within a text. */
function jsonBytes(out: readonly NewRecord[]): number {
  return out.reduce((sum, { value }) => {
    return sum + Buffer.byteLength(JSON.stringify(Buffer.from(value).toString("utf8")));
  }, 0);
}

/** The dead letter of a record that its stage cannot apply; logged. */
export function blamed(
  record: BusRecord,
  error: unknown,
  { stage, telemetry }: { readonly stage: string; readonly telemetry: Telemetry },
): readonly NewRecord[] {
  const place = recordPlace(record);
  const found = shown(String(error), 300);
  // A letter about a letter would never end.
  if (record.topic === "dead-letters") {
    const told = "a dead letter could not be applied and was passed over";
    telemetry.log.error({ stage, place, error: found }, told);
    return [];
  }
  const told = "a record could not be applied and went to the dead letters";
  telemetry.log.error({ stage, place, error: found }, told);
  const expected = `a record that stage ${stage} can apply`;
  return [setAsideRecord(record, { code: "stored-record-invalid", place, expected, found })];
}
