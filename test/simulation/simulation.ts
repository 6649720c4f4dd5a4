/**
 * @module One run of one seed: the plan's posts through the real pipeline, with faults and deaths
 * on the way, until it is quiet.
 */

import { type EpochMs, minuteMs, secondMs } from "../../src/clock.ts";
import { UnavailableError } from "../../src/error.ts";
import type { Event } from "../../src/event/event.ts";
import { type Arrival, arrivalsOf } from "./arrivals.ts";
import { type FaultClass, Faults } from "./faults.ts";
import { Life } from "./life.ts";
import type { Plan } from "./plan.ts";
import {
  type Durable,
  openDurable,
  type Service,
  type Setup,
  simulationSetup,
  stageTopics,
  startService,
} from "./rig.ts";
import { startAt } from "./world.ts";

/** What a run left behind; `durable` is still open. */
export interface Aftermath {
  readonly durable: Durable;
  readonly faults: Faults;
  /** Events and rejections of posts that were answered by a 2xx. */
  readonly accepted: readonly Event[];
  readonly rejected: number;
  readonly lives: number;
  /** Records that some stage has not applied, and notices not delivered. */
  readonly backlog: number;
  readonly owed: number;
}

export interface RunSettings {
  readonly plan: Plan;
  readonly on: ReadonlySet<FaultClass>;
  /** A step, `append pages`: the only one at which processes die. */
  readonly aim?: string | undefined;
  /** Breaks something on purpose, to see whether the checks notice. */
  readonly broken?: (durable: Durable) => Durable;
}

/** Runs the plan to its end. The caller closes what is durable. */
export async function run(settings: RunSettings): Promise<Aftermath> {
  const { plan, on, aim, broken = (same) => same } = settings;
  const faults = new Faults(plan.seed, on, aim);
  const durable = broken(openDurable(faults, { startAt }));
  return play({
    ...{ durable, faults, arrivals: arrivalsOf(plan, faults), setup: simulationSetup(plan.world) },
  });
}

export interface PlaySettings {
  readonly durable: Durable;
  readonly faults: Faults;
  /** In order of time. */
  readonly arrivals: readonly Arrival[];
  readonly setup: Setup;
  /** By how much each chunk of a long wait is longer than the one before; 1 when absent. */
  readonly growth?: number;
}

/** Sends everything at its time, again where no 2xx came, and lets the service come to rest. */
export async function play(settings: PlaySettings): Promise<Aftermath> {
  return new Simulation(settings).run();
}

/** Chunks of virtual time; between two of them the stages may work. */
const chunkMs = 10 * secondMs;
/** Turns of the event loop without any step: then nothing is under way. */
const quietTurns = 8;
const turnsMax = 20_000;

class Simulation {
  readonly #settings: PlaySettings;
  readonly #faults: Faults;
  readonly #durable: Durable;
  readonly #accepted = new Map<string, Event>();
  #rejected = 0;
  #lives = 0;
  #life: Life;
  #service: Service | undefined;
  #settledAt: EpochMs = 0;
  #pausedUntil: EpochMs = 0;

  constructor(settings: PlaySettings) {
    this.#settings = settings;
    this.#faults = settings.faults;
    this.#durable = settings.durable;
    this.#life = new Life(settings.faults);
  }

  async run(): Promise<Aftermath> {
    await this.#boot();
    await this.#play();
    this.#faults.cease();
    const left = await this.#settleAll();
    await this.#until(this.#service?.stop() ?? Promise.resolve());
    this.#life.kill();
    return {
      ...left,
      durable: this.#durable,
      faults: this.#faults,
      accepted: [...this.#accepted.values()],
      rejected: this.#rejected,
      lives: this.#lives,
    };
  }

  async #play(): Promise<void> {
    const queue = [...this.#settings.arrivals];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      await this.#moveTo(next.at);
      if (await this.#send(next)) continue;
      const waitMs = this.#faults.random("append").between(200, 5_000);
      queue.push({ ...next, at: this.#durable.clock.now() + waitMs });
      queue.sort((a, b) => a.at - b.at);
    }
  }

  /** False when no 2xx came. */
  async #send({ post }: Arrival): Promise<boolean> {
    await this.#revive();
    const life = this.#life;
    const died = life.died.then(() => undefined);
    try {
      const intake = await Promise.race([this.#service?.accept(post), died]);
      if (intake === undefined) return false;
      for (const event of intake.events) this.#accepted.set(event.id, event);
      this.#rejected += intake.rejections.length;
      return true;
    } catch {
      return false;
    }
  }

  async #moveTo(time: EpochMs): Promise<void> {
    const { clock } = this.#durable;
    for (let longMs = chunkMs; clock.now() < time; longMs *= this.#settings.growth ?? 1) {
      const uneven = this.#faults.random("clock").between(1, 2 * chunkMs);
      const stepMs = this.#faults.strikes("clock") ? uneven : longMs;
      clock.advanceTo(Math.min(time, clock.now() + stepMs));
      this.#maybePause();
      await this.#work();
    }
    if (this.#faults.strikes("clock")) await this.#turns(this.#faults.random("clock").below(12));
    else await this.#quiet();
  }

  /** The stages get their turns: now and then too few to finish, but never for long. */
  async #work(): Promise<void> {
    const { clock } = this.#durable;
    await this.#maybeReassign();
    const behindMs = clock.now() - this.#settledAt;
    if (behindMs < minuteMs && this.#faults.strikes("clock")) {
      await this.#turns(this.#faults.random("clock").below(12));
    } else {
      await this.#quiet();
      this.#settledAt = clock.now();
    }
  }

  async #turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.#revive();
    }
  }

  /** Until nothing is under way; what waits for the clock goes on waiting. */
  async #quiet(): Promise<void> {
    let calm = 0;
    let before = this.#faults.steps;
    for (let turn = 0; calm < quietTurns; turn += 1) {
      if (turn > turnsMax) throw new Error("the stages do not come to rest");
      await this.#turns(1);
      calm = this.#faults.steps === before ? calm + 1 : 0;
      before = this.#faults.steps;
    }
  }

  async #revive(): Promise<void> {
    if (!this.#life.isDead) return;
    await this.#life.buried();
    await this.#boot();
  }

  async #boot(): Promise<void> {
    do {
      await this.#life.buried();
      const life = new Life(this.#faults);
      this.#life = life;
      this.#lives += 1;
      const settings = { durable: this.#durable, life, setup: this.#settings.setup };
      const started = startService(settings).catch((error: unknown) => {
        if (!life.isDead) throw error;
      });
      this.#service = (await this.#until(Promise.race([started, life.died]))) ?? undefined;
    } while (this.#life.isDead);
  }

  /** What waits for the clock, as a retry does, gets its time. */
  async #until<T>(what: Promise<T>): Promise<T> {
    let done = false;
    const mark = () => {
      done = true;
    };
    what.then(mark, mark);
    for (let turn = 1; !done; turn += 1) {
      if (turn > turnsMax) throw new Error("something does not come to its end");
      await new Promise((resolve) => setImmediate(resolve));
      if (!done && turn % quietTurns === 0) this.#durable.clock.advance(secondMs);
    }
    return what;
  }

  #maybePause(): void {
    const now = this.#durable.clock.now();
    const forMs = this.#faults.random("pause").between(1, 15) * minuteMs;
    if (now >= this.#pausedUntil || !this.#faults.active) this.#life.resume();
    if (!this.#faults.strikes("pause") || now < this.#pausedUntil) return;
    this.#pausedUntil = now + forMs;
    this.#faults.note(`pause: ${forMs / minuteMs} minutes`);
    this.#life.pause();
  }

  /** A consumer that takes partitions, applies nothing, and leaves. */
  async #maybeReassign(): Promise<void> {
    const random = this.#faults.random("reassign");
    const [group, topics] = random.pick(stageTopics);
    const turns = random.below(6);
    // One that stands still gives nothing back before it goes on.
    if (!this.#faults.strikes("reassign") || this.#life.isPaused) return;
    this.#faults.note(`reassign: a stranger joins ${group} for ${turns} turns`);
    const joining = this.#durable.bus.consume(
      { group, topics },
      {
        assigned: async () => 0,
        revoked: async () => undefined,
        batch: () => Promise.reject(new UnavailableError("simulated: a stranger applies nothing")),
      },
    );
    const stranger = await this.#until(joining);
    await this.#turns(turns);
    await this.#until(stranger.stop());
  }

  /** No more faults: time passes until every wait and every retry has come to its end. */
  async #settleAll(): Promise<{ readonly backlog: number; readonly owed: number }> {
    const { clock } = this.#durable;
    this.#life.resume();
    await this.#moveTo(clock.now() + 8 * minuteMs);
    let left = await this.#left();
    for (let step = 0; step < 60 && left.backlog + left.owed > 0; step += 1) {
      clock.advance(10 * minuteMs);
      await this.#quiet();
      left = await this.#left();
    }
    if (left.backlog + left.owed === 0)
      await this.#until(this.#service?.drained() ?? Promise.resolve());
    return left;
  }

  async #left(): Promise<{ readonly backlog: number; readonly owed: number }> {
    const { store } = this.#durable;
    const { items } = await store.incidents({ limit: 200 });
    const deliveries = await store.deliveries(items.map(({ id }) => id));
    const owed = deliveries.filter(({ status }) => status === "pending").length;
    return { backlog: (await this.#service?.backlog()) ?? 0, owed };
  }
}
