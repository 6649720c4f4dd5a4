/**
 * @module Opening a State on a changelog: take the log over, read what earlier owners left, put
 * right what is outdated.
 */

import { randomUUID } from "node:crypto";
import type { Offset } from "../bus/bus.ts";
import { insisted, type OwnerSettings, unavailable } from "./kafka-answer.ts";
import { Changelog, openingRecord } from "./kafka-changelog.ts";
import { LogOwner } from "./kafka-owner.ts";
import { StageState } from "./stage-state.ts";
import type { State } from "./state.ts";

/** A State and its writing half. */
export interface OwnedState {
  readonly state: State;
  readonly owner: LogOwner;
  /** Records read. */
  readonly records: number;
}

/**
 * Rejects with state-unavailable, state-corrupt, or state-taken when somebody else opens the same
 * log at the same time.
 */
export async function openOwnedState(settings: OwnerSettings): Promise<OwnedState> {
  const { epoch, contents } = await takeLog(settings);
  const state: StageState = new StageState(contents, (changes) => owner.save(changes));
  const owner: LogOwner = new LogOwner(settings, epoch, (key) => {
    return key.kind === "row"
      ? state.committed(key.table, key.key)
      : state.committedPosition(key.topic, key.partition);
  });
  await owner.adopt(contents);
  return { state, owner, records: contents.count };
}

/** A log just taken over: what it says, and since which offset it is ours. */
interface TakenLog {
  readonly epoch: Offset;
  readonly contents: Changelog;
}

/**
 * Makes every earlier owner outdated, then reads what they left. Rejects with state-unavailable or
 * state-corrupt.
 */
async function takeLog(settings: OwnerSettings): Promise<TakenLog> {
  const { log, place, owner } = settings;
  // An opening whose answer was lost stays without rows; should it come late, it ends this owner.
  const opening = openingRecord(randomUUID(), owner);
  const epoch = await insisted(settings, () => log.append([opening]));
  const contents = new Changelog(place);
  await insisted(settings, async () => {
    const from = Math.max(contents.next, await log.first());
    await log.read(from, epoch + 1, (record) => contents.take(record));
  });
  if (contents.newest.epoch !== epoch || contents.next !== epoch + 1) {
    const expected = "the opening record at the end of the log";
    throw unavailable(place, expected, `offset ${contents.next - 1}`);
  }
  return { epoch, contents };
}
