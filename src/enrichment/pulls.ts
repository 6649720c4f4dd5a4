/** @module Which pull request a head commit belongs to; runs of forks do not say. */

import type { EpochMs } from "../clock.ts";
import type { State, StateTable } from "../state/state.ts";
import type { RunFact } from "./build-fact.ts";
import { type Pull, withEntry } from "./records.ts";

/** What is asked for: the head of a run. */
export interface Head {
  readonly repository: string;
  readonly sha?: string;
  readonly ref?: string;
  readonly headRepository?: string;
  readonly trigger?: string;
  /** When the run began; the pull request that had this head then is meant. */
  readonly at?: EpochMs;
}

export interface Pulls {
  /**
   * Takes in a `pull:` fact; answers the keys (`headKeys`) of the runs that may now find another
   * pull request than before.
   */
  learn(fact: RunFact): readonly string[];
  find(head: Head): Pull | undefined;
  readonly evicted: number;
}

const pullsPerHead = 16;
/** A pull request's event and its run are stamped by two machines. */
const startSlackMs = 60_000;

/** Keeps at most `headsMax` heads, the newest. */
export function createPulls(state: State, headsMax: number): Pulls {
  const table: StateTable<readonly Pull[]> = state.table("pulls");
  let evicted = 0;

  function put(key: string, pull: Pull): boolean {
    const old = table.get(key) ?? [];
    const merged = withEntry(old, pull, pullsPerHead);
    if (merged !== old) table.put(key, merged);
    return merged !== old;
  }

  return {
    learn(fact) {
      const { repository, sha, ref, headRepository, pullRequest, fork } = fact.build;
      if (sha === undefined || pullRequest === undefined) return [];
      const pull: Pull = {
        at: fact.occurredAt,
        number: pullRequest,
        fork: fork === true,
        ...(headRepository === undefined ? {} : { headRepository }),
      };
      const keys = [commitKey(repository, sha)];
      if (ref !== undefined && headRepository !== undefined) {
        keys.push(branchKey(repository, headRepository, ref));
      }
      const changed = keys.filter((key) => put(key, pull));
      if (table.size > headsMax) evicted += evictOldest(table, headsMax);
      return changed;
    },
    find(head) {
      const { repository, sha, ref, headRepository, trigger } = head;
      // A push run on a branch that also has a pull request was not caused by it.
      if (trigger !== undefined && !trigger.startsWith("pull_request")) return undefined;
      const byCommit = sha === undefined ? [] : (table.get(commitKey(repository, sha)) ?? []);
      const found = ofHead(byCommit, head);
      if (found !== undefined || ref === undefined || headRepository === undefined) return found;
      if (trigger === undefined) return undefined;
      return ofHead(table.get(branchKey(repository, headRepository, ref)) ?? [], head);
    },
    get evicted() {
      return evicted;
    },
  };
}

/** Of several, the latest that had the head when the run began, else the first. */
function ofHead(pulls: readonly Pull[], head: Head): Pull | undefined {
  const wanted = head.headRepository?.toLowerCase();
  const same = pulls.filter((pull) => {
    const from = pull.headRepository?.toLowerCase();
    return wanted === undefined || from === undefined || from === wanted;
  });
  const until = (head.at ?? Number.POSITIVE_INFINITY) + startSlackMs;
  return same.findLast((pull) => pull.at <= until) ?? same[0];
}

export function commitKey(repository: string, sha: string): string {
  return `${repository.toLowerCase()}@${sha}`;
}

/** The branch of a pull request, in the repository it comes from. */
export function branchKey(repository: string, headRepository: string, ref: string): string {
  return `${repository.toLowerCase()}@${headRepository.toLowerCase()}:${ref}`;
}

function evictOldest(table: StateTable<readonly Pull[]>, max: number): number {
  const ages = [...table.entries()].map(([key, pulls]): [string, number] => {
    return [key, pulls.at(-1)?.at ?? 0];
  });
  ages.sort(([, a], [, b]) => a - b);
  const over = ages.slice(0, Math.max(1, table.size - Math.floor(max * 0.9)));
  for (const [key] of over) table.delete(key);
  return over.length;
}
