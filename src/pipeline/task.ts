/**
 * @module Task: one stage over one partition. Reads a batch, applies it, saves what was decided
 * with the positions, and tells the bus after that.
 */

import type { Bus, BusRecord, NewRecord, Offset } from "../bus/bus.ts";
import type { Clock, EpochMs } from "../clock.ts";
import { codeOf, isPassing, shown, UnavailableError } from "../error.ts";
import type { State, StateStore } from "../state/state.ts";
import type { Telemetry } from "../telemetry.ts";
import { blamed, passingOf } from "./blame.ts";
import { Outgoing } from "./outgoing.ts";
import type { OpenStage, Stage, StageDefinition } from "./stage.ts";
import { chunkEnd, TaskTime } from "./task-time.ts";

export interface TaskSettings {
  readonly definition: StageDefinition;
  readonly partition: number;
  readonly bus: Bus;
  readonly states: StateStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Records of this partition that are known to wait on the bus; undefined before that is told. */
  readonly behind: () => number | undefined;
}

/**
 * At least a little later, so that a stage that is always due cannot spin; longer after a failure.
 */
const tickMsMin = 20;
const failedTickMs = 1_000;

/** Opened once its partition is ours, stopped when it is not any more. */
export class Task {
  readonly #settings: TaskSettings;
  #state: State;
  #outgoing: Outgoing;
  #open: OpenStage;
  #stage: Stage;
  /** The tail of the queue of turns: batches, ticks and changes never overlap. */
  #turn: Promise<void> = Promise.resolve();
  readonly #time: TaskTime;
  #cancelTick: (() => void) | undefined;
  #woken = false;
  /** What was begun is ended and saved, and nothing new is opened. */
  #stopping = false;
  #stopped = false;
  #tickFailed = false;
  /** Ticked since the last batch: another tick finds it at the same time, unless it caught up. */
  #isStanding = false;
  /** Its stage could not be made again, and is of no use until it is. */
  #unmade = false;
  /**
   * Its State was opened by another process, or cannot tell what it saved: until it is opened anew,
   * nothing is applied.
   */
  #taken = false;
  #cancelReopen: (() => void) | undefined;

  static async open(settings: TaskSettings): Promise<Task> {
    const task = new Task(settings, await openState(settings));
    try {
      task.#open.start?.();
    } catch (error) {
      await task.stop();
      throw error;
    }
    // What an earlier process decided last; if the bus is full, the timer tries again.
    await task.#exclusive(() => task.#outgoing.flush()).catch(() => undefined);
    task.#scheduleTick();
    return task;
  }

  private constructor(settings: TaskSettings, state: State) {
    this.#settings = settings;
    this.#time = new TaskTime(settings);
    this.#state = state;
    this.#outgoing = new Outgoing(state, settings.bus);
    this.#open = this.#openStage();
    try {
      this.#stage = this.#open.make();
    } catch (error) {
      // Nothing may be left of it that still hears of news and would take the state from others.
      this.#stopping = true;
      void this.#open.stop?.().catch(() => undefined);
      throw error;
    }
  }

  /** Of the next record to apply. */
  get position(): Offset {
    const { definition, partition } = this.#settings;
    return this.#state.position(definition.topic, partition);
  }

  /** Decisions not yet on the bus. */
  get owed(): number {
    return this.#outgoing.size;
  }

  batch(records: readonly BusRecord[]): Promise<void> {
    return this.#exclusive(() => this.#batch(records));
  }

  /** See `TaskParts.change`. */
  change(change: () => readonly NewRecord[]): Promise<void> {
    return this.#exclusive(async () => {
      this.#checkOpen();
      try {
        await this.#save([], change());
      } catch (error) {
        this.#restore();
        throw error;
      }
      // It is saved whether or not the bus takes it now; the timer tries again.
      await this.#outgoing.flush().catch(() => undefined);
      this.#scheduleTick();
    });
  }

  /** Runs what is due now; for the timer, and for a clock that is moved by hand. */
  tick(): Promise<void> {
    return this.#exclusive(() => this.#tick(this.#time.wall()));
  }

  /** Resolves when no turn is under way or waiting. */
  async settled(): Promise<void> {
    for (let turn: Promise<void> | undefined; turn !== this.#turn; ) {
      turn = this.#turn;
      await turn;
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelTick?.();
    this.#cancelReopen?.();
    // It saves what it learned through `change`, so turns still run.
    await this.#open.stop?.();
    this.#stopped = true;
    this.#cancelTick?.();
    // What is on the bus is not owed any more: whoever goes on need not append it again.
    const flush = async () => {
      this.#checkOpen();
      await this.#outgoing.flush();
      await this.#commit();
    };
    await this.#exclusive(flush).catch(() => undefined);
  }

  #openStage(): OpenStage {
    const { definition, partition } = this.#settings;
    return definition.open({
      partition,
      state: this.#state,
      change: (change) => this.change(change),
      time: () => this.#time.wall(),
      wake: () => this.#wake(),
    });
  }

  #exclusive(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(act);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #wake(): void {
    if (this.#woken || this.#stopping) return;
    this.#woken = true;
    const turn = this.#exclusive(async () => {
      if (this.#woken && !this.#stopped) await this.#tick(this.#time.wall());
    });
    void this.#unattended(turn);
  }

  #checkOpen(): void {
    if (this.#taken) throw new UnavailableError("the state was opened elsewhere");
    if (this.#unmade) this.#restore();
  }

  async #batch(records: readonly BusRecord[]): Promise<void> {
    const { telemetry, definition } = this.#settings;
    this.#checkOpen();
    await this.#outgoing.flush();
    const { position } = this;
    const fresh = this.#time.stamped(records.filter(({ offset }) => offset >= position));
    this.#isStanding = false;
    if (fresh.length === 0) return;
    const before = this.#time.now;
    try {
      await this.#save(fresh, await this.#applied(fresh));
    } catch (error) {
      telemetry.emit.batchFailed({ stage: definition.name });
      this.#time.back(before);
      this.#restore();
      if (isPassing(error)) throw error;
      // One record may be to blame: give each its own batch, and set aside the one that fails
      // alone.
      for (const record of fresh) await this.#applyAlone(record);
    }
    telemetry.emit.recordsApplied({ stage: definition.name, count: fresh.length });
    try {
      await this.#outgoing.flush();
    } finally {
      this.#scheduleTick();
    }
  }

  /** What follows from the records, and from the time that passed between them. */
  async #applied(records: readonly BusRecord[]): Promise<readonly NewRecord[]> {
    const out: NewRecord[] = [];
    for (let start = 0; start < records.length; ) {
      const now = this.#time.arrived(records.slice(start, start + 1));
      if (this.#isDue(now)) out.push(...this.#ticked(now));
      const end = chunkEnd(records, start, this.#stage.nextTick?.());
      const chunk = records.slice(start, end);
      this.#time.arrived(chunk);
      out.push(...(await this.#stage.apply(chunk)));
      start = end;
    }
    return out;
  }

  async #applyAlone(record: BusRecord): Promise<void> {
    const before = this.#time.now;
    const now = this.#time.arrived([record]);
    // A timer that fails is not the record's fault.
    if (this.#isDue(now)) await this.#tick(now);
    let out: readonly NewRecord[] = [];
    try {
      out = await this.#stage.apply([record]);
      await this.#save([record], out);
    } catch (error) {
      const passing = passingOf(error, out);
      if (passing !== undefined) this.#time.back(before);
      this.#restore();
      if (passing !== undefined) throw passing;
      const { definition, telemetry } = this.#settings;
      const letters = blamed(record, error, { stage: definition.name, telemetry });
      await this.#save([record], letters);
    }
    await this.#outgoing.flush();
  }

  /** Decision and positions are saved as one; the bus hears of it after that. */
  async #save(records: readonly BusRecord[], out: readonly NewRecord[]): Promise<void> {
    this.#outgoing.keep(out);
    // Of one partition, in order: the last one tells how far it is.
    const last = records.at(-1);
    if (last !== undefined) this.#state.advance(last.topic, last.partition, last.offset + 1);
    await this.#commit();
  }

  /** A full disk, or a broker that is gone, is no record's fault: the batch comes again. */
  async #commit(): Promise<void> {
    try {
      await this.#state.commit();
    } catch (error) {
      const code = codeOf(error);
      if (code === "state-taken") this.#lose();
      if (code !== "state-taken" && code !== "state-unavailable") throw error;
      throw new UnavailableError("the state could not be saved", { cause: error });
    }
  }

  /**
   * The partition is ours as far as we know: so the state is opened again, at once if the other
   * process has gone, else until the partition is taken from us.
   */
  #lose(): void {
    if (this.#taken) return;
    this.#taken = true;
    const { clock, telemetry, definition } = this.#settings;
    const again = () => {
      if (this.#stopping) return;
      this.#cancelReopen = clock.after(failedTickMs, () => {
        this.#reopen().catch((error: unknown) => {
          const told = { stage: definition.name, error: shown(String(error), 300) };
          telemetry.log.error(told, "a state could not be opened again");
          again();
        });
      });
    };
    again();
  }

  /** Goes on from what is saved, wherever another process has come to meanwhile. */
  async #reopen(): Promise<void> {
    // Not in a turn of its own: what it still wants to save is waiting for one, to be refused.
    await this.#open.stop?.();
    await this.#exclusive(async () => {
      if (this.#stopping) return;
      const state = await openState(this.#settings);
      // Taken from us meanwhile: whoever has the partition now opens it again.
      if (this.#stopping) return;
      this.#state = state;
      this.#outgoing = new Outgoing(this.#state, this.#settings.bus);
      this.#open = this.#openStage();
      this.#stage = this.#open.make();
      this.#taken = false;
      this.#open.start?.();
    });
    this.#scheduleTick();
  }

  #restore(): void {
    if (this.#settings.definition.keepsFailed === true) return;
    this.#unmade = true;
    this.#state.rollback();
    this.#stage = this.#open.make();
    this.#unmade = false;
  }

  #isDue(now: EpochMs): boolean {
    return this.#woken || (this.#stage.nextTick?.() ?? Number.POSITIVE_INFINITY) <= now;
  }

  #ticked(now: EpochMs): readonly NewRecord[] {
    this.#woken = false;
    return this.#stage.tick?.(now) ?? [];
  }

  async #tick(now: EpochMs | undefined): Promise<void> {
    this.#tickFailed = false;
    this.#isStanding = true;
    if (now === undefined || this.#taken) return;
    this.#checkOpen();
    try {
      await this.#outgoing.flush();
      await this.#save([], this.#ticked(now));
      await this.#outgoing.flush();
    } catch (error) {
      this.#tellTickFailed(error);
      this.#restore();
    }
  }

  #tellTickFailed(error: unknown): void {
    const { telemetry, definition } = this.#settings;
    const stage = definition.name;
    this.#tickFailed = true;
    telemetry.emit.batchFailed({ stage });
    telemetry.log.error(
      { stage, error: shown(String(error), 300) },
      "a stage failed on its timer; its state is as it was before",
    );
  }

  /** A turn that no caller waits for; another one follows, whatever comes of it. */
  async #unattended(turn: Promise<void>): Promise<void> {
    await turn.catch((error: unknown) => this.#tellTickFailed(error));
    this.#scheduleTick();
  }

  #scheduleTick(): void {
    const due = this.#due();
    this.#cancelTick?.();
    if (due === undefined || this.#stopped || this.#taken) return;
    const { clock } = this.#settings;
    const slow = this.#tickFailed || this.#waitsForRecords(due);
    const delayMs = Math.max(slow ? failedTickMs : tickMsMin, due - clock.now());
    this.#cancelTick = clock.after(delayMs, () => void this.#unattended(this.tick()));
  }

  #due(): EpochMs | undefined {
    // What the bus has not taken is tried again, whether or not the stage itself is due.
    if (this.#outgoing.size > 0 || this.#woken || this.#unmade) return 0;
    try {
      return this.#stage.nextTick?.();
    } catch (error) {
      this.#tellTickFailed(error);
      return 0;
    }
  }

  /** Due by the wall clock, and not by the time it has come to: a tick would change nothing. */
  #waitsForRecords(due: EpochMs): boolean {
    const { now } = this.#time;
    const isAhead = now === undefined || due > now;
    return this.#isStanding && isAhead && due <= this.#settings.clock.now();
  }
}

function openState({ states, definition, partition }: TaskSettings): Promise<State> {
  return states.open({ stage: definition.name, partition });
}
