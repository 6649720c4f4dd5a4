/**
 * @module What an installation's feeds tell at all: secrets come by the audit log only, job ids by
 * webhooks only, and either may not be connected.
 */

import { dayMs, type EpochMs, minuteMs } from "../clock.ts";
import type { State, StateTable } from "../state/state.ts";
import type { RunFact } from "./build-fact.ts";

/** Whether a job's secrets, and its id, may be on their way. */
export interface Tells {
  readonly secrets: boolean;
  readonly jobIds: boolean;
}

/**
 * How long one telling is taken for a sign that more will come. For as long after the first fact of
 * all nobody knows yet what the feeds tell, so that anything may be on its way.
 */
const toldMs = dayMs;
/** How often it is written down. */
const notedMs = minuteMs;

export class Told {
  readonly #table: StateTable<EpochMs>;

  constructor(state: State) {
    this.#table = state.table("told");
  }

  learn({ build }: RunFact, now: EpochMs): void {
    if (this.#table.get("first") === undefined) this.#table.put("first", now);
    if (build.secretsPassed !== undefined) this.#note("secrets", now);
    if (build.jobId !== undefined) this.#note("jobIds", now);
  }

  at(now: EpochMs): Tells {
    return { secrets: this.#within("secrets", now), jobIds: this.#within("jobIds", now) };
  }

  #note(what: keyof Tells, now: EpochMs): void {
    const last = this.#table.get(what);
    if (last === undefined || now - last >= notedMs) this.#table.put(what, now);
  }

  #within(what: keyof Tells, now: EpochMs): boolean {
    const last = this.#table.get(what) ?? this.#table.get("first");
    return last !== undefined && now - last < toldMs;
  }
}
