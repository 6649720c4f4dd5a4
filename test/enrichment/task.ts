/** @module One task with a table of its own, as a process with a single partition has them. */

import type { EpochMs } from "../../src/clock.ts";
import {
  type BuildFact,
  type BuildTable,
  type BuildTableCounts,
  createBuildTable,
  createJoiner,
  type Joined,
  type Joiner,
  type JoinerCounts,
  type JoinerSettings,
  type RunnerInventory,
} from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import type { State } from "../../src/state/state.ts";

export type TaskSettings = Partial<JoinerSettings> & {
  readonly state: State;
  readonly inventory: RunnerInventory;
  readonly buildsMax?: number;
};

export class Task {
  readonly builds: BuildTable;
  readonly joiner: Joiner;

  /** Both in one State, unless `builds` is given. */
  constructor({ state, inventory, buildsMax, builds, ...settings }: TaskSettings) {
    const bound = buildsMax === undefined ? {} : { buildsMax };
    this.builds = builds ?? createBuildTable({ state, inventory, ...bound });
    this.joiner = createJoiner({ state, builds: this.builds, ...settings });
  }

  factsOf(event: Event): readonly BuildFact[] {
    return this.joiner.factsOf(event);
  }

  learn(fact: BuildFact, now: EpochMs): readonly Event[] {
    return this.joiner.changed(this.builds.learn(fact, now), now);
  }

  /** The table learns its pod's address first, but not what it says of runs: tests tell that. */
  join(event: Event, now: EpochMs): Joined {
    for (const fact of this.factsOf(event)) if (fact.lease !== undefined) this.learn(fact, now);
    return this.joiner.join(event, now);
  }

  due(now: EpochMs): readonly Event[] {
    return this.joiner.due(now);
  }

  nextDue(): EpochMs | undefined {
    return this.joiner.nextDue();
  }

  counts(): BuildTableCounts & JoinerCounts {
    return { ...this.builds.counts(), ...this.joiner.counts() };
  }
}
