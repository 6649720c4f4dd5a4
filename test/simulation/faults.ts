/** @module Which faults strike when: drawn from the seed, counted, written down. */

import { ServiceError, UnavailableError } from "../../src/error.ts";
import { type Random, randomOf } from "./random.ts";

/** What can go wrong; each can be switched off alone. */
export const faultClasses = [
  "append", // the bus refuses, or takes records and does not say so
  "commit", // the state is not saved
  "taken", // the state was opened elsewhere, or nobody knows whether it was saved
  "store", // the store refuses, or takes documents and does not say so
  "sink", // the receiver answers 429 or 500, not at all, or takes a notice and does not say so
  "redeliver", // a batch that was applied comes again
  "reassign", // another consumer takes partitions and gives them back
  "duplicate", // a feed sends twice
  "shuffle", // feeds overtake each other
  "clock", // time passes in uneven steps, and stages get uneven turns
  "pause", // the process stands still for minutes while the door takes events, then catches up
  "crash", // the process dies at a step, before or after it took effect
] as const;
export type FaultClass = (typeof faultClasses)[number];

/** The steps at which a process can fail or die. */
export type Step = "append" | "commit" | "store" | "send";

export type Fate = "none" | "fail-before" | "fail-after" | "crash-before" | "crash-after";

/** Steps that are few among the many; crashes are aimed at them as often as not. */
const rareSteps = [
  ...["append alerts", "append matches", "append lineage", "append pages", "append documents"],
  ...["commit correlate", "commit notify", "commit deliver", "send page", "send page"],
];

/** Each of these costs much more than one try. */
const rare: ReadonlySet<FaultClass> = new Set(["pause", "taken"]);

/** More in a row would be an outage; that is another test's. */
const inARowMax = 3;

export class Faults {
  readonly trace: string[] = [];
  readonly #random: ReadonlyMap<FaultClass, Random>;
  readonly #rates = new Map<FaultClass, number>();
  readonly #inARow = new Map<string, number>();
  readonly #aim: string | undefined;
  #steps = 0;
  #crash: { readonly at: number; readonly step: string | undefined };
  #active = true;

  /** `aim`: all crashes at this step, as the trace names it. */
  constructor(seed: number, on: ReadonlySet<FaultClass>, aim?: string) {
    this.#aim = aim;
    this.#random = new Map(faultClasses.map((name) => [name, randomOf(seed, name)]));
    // A share of the seeds goes without each class: a rare fault alone is a case of its own.
    for (const name of faultClasses) {
      const random = this.random(name);
      // Notices are few, so a sink must be ill more often to be met ill at all.
      const often = name === "sink" ? [0, 0.2, 0.5, 0.7] : [0, 0.02, 0.08, 0.2];
      const rate = random.pick(often) * (rare.has(name) ? 0.1 : 1);
      this.#rates.set(name, on.has(name) ? rate : 0);
    }
    this.#crash = this.#nextCrash();
  }

  /** The stream of a class, for what only that class draws. */
  random(name: FaultClass): Random {
    const random = this.#random.get(name);
    if (random === undefined) throw new TypeError(`no stream ${name}`);
    return random;
  }

  rate(name: FaultClass): number {
    return this.#rates.get(name) ?? 0;
  }

  get steps(): number {
    return this.#steps;
  }

  note(line: string): void {
    this.trace.push(line);
  }

  /** From now on nothing fails any more. */
  cease(): void {
    this.#active = false;
  }

  get active(): boolean {
    return this.#active;
  }

  /** Whether a fault of the class strikes now. */
  strikes(name: FaultClass): boolean {
    return this.random(name).chance(this.rate(name)) && this.#active;
  }

  /** What becomes of the next step. */
  fate(step: Step, what: string): Fate {
    const at = this.#steps++;
    const { step: aim = `${step} ${what}` } = this.#crash;
    if (this.#active && at >= this.#crash.at && aim === `${step} ${what}`) {
      this.#crash = this.#nextCrash();
      const fate = this.random("crash").chance(0.5) ? "crash-before" : "crash-after";
      this.note(`step ${at}: ${fate} ${step} ${what}`);
      return fate;
    }
    // The sink's own answers are drawn by the receiver.
    if (step === "send" || !this.strikes(step)) {
      this.#inARow.delete(`${step} ${what}`);
      return "none";
    }
    const inARow = (this.#inARow.get(`${step} ${what}`) ?? 0) + 1;
    this.#inARow.set(`${step} ${what}`, inARow);
    // The State contract knows no commit that is saved and rejects.
    const after = step !== "commit" && this.random(step).chance(0.5);
    if (inARow > inARowMax) return "none";
    const fate = after ? "fail-after" : "fail-before";
    this.note(`step ${at}: ${fate} ${step} ${what}`);
    return fate;
  }

  #nextCrash(): { readonly at: number; readonly step: string | undefined } {
    const random = this.random("crash");
    // Sometimes soon after the start, in the middle of what is taken up again.
    const next = random.chance(0.3) ? random.between(0, 12) : random.between(13, 150);
    const rare = random.pick(rareSteps);
    const step = this.#aim ?? (random.chance(0.5) ? rare : undefined);
    const at = this.rate("crash") === 0 ? Number.POSITIVE_INFINITY : this.#steps + next;
    return { at, step };
  }
}

/** What a commit says when its State must not be used any more. */
export function takenError(stage: string): ServiceError {
  const problem = { place: `simulated ${stage}`, expected: "the newest opening", found: "another" };
  return new ServiceError({ code: "state-taken", ...problem });
}

export function failureOf(step: Step): Error {
  switch (step) {
    case "append":
      return new ServiceError({
        ...{ code: "intake-full", place: "simulated bus", expected: "room", found: "none" },
      });
    case "commit":
      return new ServiceError({
        ...{ code: "state-unavailable", place: "simulated disk", expected: "room", found: "none" },
      });
    case "store":
    case "send":
      return new UnavailableError(`simulated: ${step} failed`);
    default:
      return step satisfies never;
  }
}
