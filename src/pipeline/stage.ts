/**
 * @module Stage and its runner: read a batch, apply it, append what follows from it, save state and
 * position as one.
 */

import type { Bus, BusRecord, Consumer, NewRecord, Topic } from "../bus/bus.ts";
import type { Clock, EpochMs } from "../clock.ts";
import { ServiceError, shown, UnavailableError } from "../error.ts";
import type { State } from "../state/state.ts";
import type { Telemetry } from "../telemetry.ts";
import { Outgoing } from "./outgoing.ts";
import { recordPlace, setAsideRecord } from "./records.ts";

/**
 * One step of the journey. It keeps what it remembers in its State alone (and in indexes it can
 * rebuild from it), and gives the same records the same ids each time, so applying a batch again
 * after a crash changes nothing downstream.
 */
export interface Stage {
  readonly topics: readonly Topic[];
  apply(
    records: readonly BusRecord[],
    now: EpochMs,
  ): readonly NewRecord[] | Promise<readonly NewRecord[]>;
  /** What time alone brings about. */
  tick?(now: EpochMs): readonly NewRecord[];
  /** When `tick` next has something to do; undefined for nothing. */
  nextTick?(): EpochMs | undefined;
}

export interface StageRunnerSettings {
  readonly name: string;
  readonly bus: Bus;
  readonly state: State;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Makes the stage from its State: at start, and again after a batch failed half-way. */
  readonly make: () => Stage;
}

/**
 * At least a little later, so that a stage that is always due cannot spin; longer after a failure.
 */
const tickMsMin = 20;
const failedTickMs = 1_000;

function isUnavailable(error: unknown): boolean {
  if (error instanceof UnavailableError) return true;
  return error instanceof ServiceError && error.problem.code === "state-unavailable";
}

/** Runs one stage over its topics, one batch at a time. */
export class StageRunner {
  readonly #settings: StageRunnerSettings;
  readonly #outgoing: Outgoing;
  #stage: Stage;
  #consumer: Consumer | undefined;
  /** The tail of the queue of turns: batches, ticks and changes never overlap. */
  #turn: Promise<void> = Promise.resolve();
  #cancelTick: (() => void) | undefined;
  #stopped = false;
  #tickFailed = false;

  constructor(settings: StageRunnerSettings) {
    this.#settings = settings;
    this.#outgoing = new Outgoing(settings.state, settings.bus);
    this.#stage = settings.make();
  }

  get name(): string {
    return this.#settings.name;
  }

  async start(): Promise<void> {
    const { name, bus, state } = this.#settings;
    // What an earlier process decided last; if the bus is full, the timer tries again.
    await this.#exclusive(() => this.#outgoing.flush()).catch(() => undefined);
    this.#consumer = await bus.consume(
      { group: name, topics: this.#stage.topics, batchMax: 500 },
      {
        assigned: async (topic, partition) => state.position(topic, partition),
        revoked: async () => {
          await this.#turn;
        },
        batch: (_topic, _partition, records) => this.#exclusive(() => this.#batch(records)),
      },
    );
    this.#scheduleTick();
  }

  /**
   * Runs `change` between two batches and saves what it put in the state; when that fails, none of
   * it stays.
   */
  change(change: () => void): Promise<void> {
    return this.#exclusive(async () => {
      try {
        change();
        this.#settings.state.commit();
      } catch (error) {
        this.#restore();
        throw error;
      }
    });
  }

  /** Replaces the stage by one made afresh from the saved state: for new rules. */
  remake(): Promise<void> {
    return this.#exclusive(async () => {
      this.#stage = this.#settings.make();
    });
  }

  /** Runs what is due now; for a clock that is moved by hand. */
  tick(): Promise<void> {
    return this.#exclusive(() => this.#tick());
  }

  /** Records on the bus that this stage has not applied yet, and decisions not yet on it. */
  async backlog(): Promise<number> {
    const { bus, state } = this.#settings;
    let count = this.#outgoing.size;
    for (const topic of this.#stage.topics) {
      for (let partition = 0; partition < bus.partitions(topic); partition += 1) {
        // What retention let go is no longer waited for.
        const first = await bus.first(topic, partition);
        const from = Math.max(first, state.position(topic, partition));
        count += (await bus.end(topic, partition)) - from;
      }
    }
    return count;
  }

  async drained(): Promise<void> {
    await this.#consumer?.drained();
    await this.#turn;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTick?.();
    await this.#consumer?.stop();
    await this.#turn;
  }

  #exclusive(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(act);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #batch(records: readonly BusRecord[]): Promise<void> {
    const { state, telemetry, name } = this.#settings;
    await this.#outgoing.flush();
    const fresh = records.filter(
      ({ topic, partition, offset }) => offset >= state.position(topic, partition),
    );
    if (fresh.length === 0) return;
    try {
      await this.#applyAndSave(fresh);
    } catch (error) {
      telemetry.emit.batchFailed({ stage: name });
      this.#restore();
      if (error instanceof UnavailableError) throw error;
      // One record may be to blame: give each its own batch, and set aside the one that fails
      // alone.
      for (const record of fresh) {
        await this.#applyAlone(record);
        await this.#outgoing.flush();
      }
    }
    telemetry.emit.recordsApplied({ stage: name, count: fresh.length });
    try {
      await this.#outgoing.flush();
    } finally {
      this.#scheduleTick();
    }
  }

  async #applyAlone(record: BusRecord): Promise<void> {
    try {
      await this.#applyAndSave([record]);
    } catch (error) {
      this.#restore();
      if (error instanceof UnavailableError) throw error;
      this.#settings.telemetry.log.error(
        {
          stage: this.#settings.name,
          place: recordPlace(record),
          error: shown(String(error), 300),
        },
        "a record could not be applied and went to the dead letters",
      );
      await this.#save([record], [this.#deadLetter(record, error)]);
    }
  }

  async #applyAndSave(records: readonly BusRecord[]): Promise<void> {
    const out = await this.#stage.apply(records, this.#settings.clock.now());
    await this.#save(records, out);
  }

  /** Decision and positions are saved as one; the bus hears of it after that. */
  async #save(records: readonly BusRecord[], out: readonly NewRecord[]): Promise<void> {
    const { state } = this.#settings;
    this.#outgoing.keep(out);
    for (const { topic, partition, offset } of records) state.advance(topic, partition, offset + 1);
    this.#commit();
  }

  /** A full disk is no record's fault: the batch comes again. */
  #commit(): void {
    try {
      this.#settings.state.commit();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      throw new UnavailableError("the state could not be saved", { cause: error });
    }
  }

  #restore(): void {
    this.#settings.state.rollback();
    this.#stage = this.#settings.make();
  }

  #deadLetter(record: BusRecord, error: unknown): NewRecord {
    const problem = {
      code: "stored-record-invalid",
      place: recordPlace(record),
      expected: `a record that stage ${this.#settings.name} can apply`,
      found: shown(String(error), 300),
    } as const;
    return setAsideRecord(record, problem);
  }

  async #tick(): Promise<void> {
    this.#tickFailed = false;
    try {
      await this.#outgoing.flush();
      await this.#save([], this.#stage.tick?.(this.#settings.clock.now()) ?? []);
      await this.#outgoing.flush();
    } catch (error) {
      this.#settings.telemetry.emit.batchFailed({ stage: this.#settings.name });
      this.#settings.telemetry.log.error(
        { stage: this.#settings.name, error: shown(String(error), 300) },
        "a stage failed on its timer; its state is as it was before",
      );
      this.#tickFailed = true;
      this.#restore();
    }
  }

  #scheduleTick(): void {
    // What the bus has not taken is tried again, whether or not the stage itself is due.
    const due = this.#outgoing.size > 0 ? 0 : this.#stage.nextTick?.();
    this.#cancelTick?.();
    if (due === undefined || this.#stopped) return;
    const { clock } = this.#settings;
    const delayMs = Math.max(this.#tickFailed ? failedTickMs : tickMsMin, due - clock.now());
    this.#cancelTick = clock.after(delayMs, () => {
      void this.tick().then(() => this.#scheduleTick());
    });
  }
}
