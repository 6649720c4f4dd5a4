/**
 * @module A stage with several topics reads them in order of arrival, though the bus hands over one
 * at a time: an alert that overtook the lineage it hangs on would wake somebody again.
 */

import type { Bus, BusRecord, Offset, Topic } from "../bus/bus.ts";
import { UnavailableError } from "../error.ts";

/** The most read at once. */
export const earlierMax = 500;

export interface EarlierSettings {
  readonly bus: Bus;
  readonly topics: readonly Topic[];
  readonly partition: number;
  readonly position: (topic: Topic) => Offset;
  /** Records of a topic known to wait; undefined before that is told. */
  readonly behind: (topic: Topic) => number | undefined;
}

/**
 * What waits in the other topics and goes before `than`, up to `earlierMax`: of those that arrived
 * together, the topic that is named first. Rejects with UnavailableError.
 */
export async function earlierRecords(
  { bus, topics, partition, position, behind }: EarlierSettings,
  than: BusRecord,
): Promise<readonly BusRecord[]> {
  const found: BusRecord[] = [];
  for (const topic of topics) {
    if (topic === than.topic || behind(topic) === 0) continue;
    const ties = topics.indexOf(topic) < topics.indexOf(than.topic) ? 1 : 0;
    try {
      const first = await bus.first(topic, partition);
      for (let at = Math.max(first, position(topic)); found.length < earlierMax; at += 1) {
        const record = await bus.find(topic, partition, at);
        if (record === undefined || record.appendedAt >= than.appendedAt + ties) break;
        found.push(record);
      }
    } catch (error) {
      throw new UnavailableError("another topic could not be read", { cause: error });
    }
  }
  return found;
}

/** By arrival, then by topic as `topics` names them; of one topic as they were. */
export function inOrder(
  records: readonly BusRecord[],
  topics: readonly Topic[],
): readonly BusRecord[] {
  if (topics.length < 2) return records;
  return records.toSorted(
    (a, b) => a.appendedAt - b.appendedAt || topics.indexOf(a.topic) - topics.indexOf(b.topic),
  );
}
