/**
 * @module One life of a process: everything it touches goes through here, so that it can be cut off
 * at any step, as a kill would.
 */

import type { Bus, Consumer, ConsumerHandler } from "../../src/bus/bus.ts";
import type { Clock } from "../../src/clock.ts";
import { UnavailableError } from "../../src/error.ts";
import type { Sink } from "../../src/sink/sink.ts";
import type { StateStore } from "../../src/state/state.ts";
import type { Store } from "../../src/store/store.ts";
import { replacing } from "../contract/replacing.ts";
import { type Faults, failureOf, type Step, takenError } from "./faults.ts";

export class Life {
  /** Resolves when the process dies. */
  readonly died: Promise<void>;
  readonly #faults: Faults;
  readonly #consumers = new Set<Consumer>();
  readonly #timers = new Set<() => void>();
  #die: () => void = () => undefined;
  #dead = false;
  /** Set while the process stands still. */
  #gate: PromiseWithResolvers<void> | undefined;
  #held: (() => void)[] = [];

  constructor(faults: Faults) {
    this.#faults = faults;
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  get isDead(): boolean {
    return this.#dead;
  }

  /** Nothing it does has an effect from now on. */
  kill(): void {
    if (this.#dead) return;
    this.#dead = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#die();
    this.resume();
  }

  get isPaused(): boolean {
    return this.#gate !== undefined;
  }

  /** Batches and timers wait until `resume`; what comes in at the door is still taken. */
  pause(): void {
    if (!this.#dead) this.#gate ??= Promise.withResolvers();
  }

  resume(): void {
    const held = this.#dead ? [] : this.#held;
    this.#held = [];
    this.#gate?.resolve();
    this.#gate = undefined;
    for (const act of held) act();
  }

  /** Resolves when the bus has taken its partitions back. */
  async buried(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
  }

  /** One step that may fail or be the last; `act` may answer at once or by a promise. */
  step<T>(step: Step, what: string, act: () => T): T {
    this.#check();
    const fate = this.#faults.fate(step, what);
    if (fate === "crash-before") this.kill();
    this.#check();
    if (fate === "fail-before") throw failureOf(step);
    const after = <R>(result: R): R => {
      if (fate === "crash-after") this.kill();
      this.#check();
      if (fate === "fail-after") throw failureOf(step);
      return result;
    };
    const result = act();
    return result instanceof Promise ? (result.then(after) as T) : after(result);
  }

  clock(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      after: (delayMs, act) => {
        if (this.#dead) return () => undefined;
        const cancel = clock.after(delayMs, () => {
          this.#timers.delete(cancel);
          if (this.#gate === undefined) act();
          else this.#held.push(act);
        });
        this.#timers.add(cancel);
        return () => {
          this.#timers.delete(cancel);
          cancel();
        };
      },
    };
  }

  bus(bus: Bus): Bus {
    return replacing(bus, {
      append: async (records) => {
        await this.step("append", records[0]?.topic ?? "nothing", () => bus.append(records));
      },
      consume: async (settings, handler) => {
        this.#check();
        const consumer = await bus.consume(settings, this.#handler(settings.group, handler));
        this.#consumers.add(consumer);
        if (this.#dead) await consumer.stop();
        return consumer;
      },
    });
  }

  #handler(group: string, handler: ConsumerHandler): ConsumerHandler {
    // A dead process owes the bus no answer.
    return replacing(handler, {
      assigned: (topic, partition) => this.#whileAlive(handler.assigned(topic, partition)),
      revoked: (topic, partition) => this.#whileAlive(handler.revoked(topic, partition)),
      batch: async (topic, partition, records) => {
        await this.#gate?.promise;
        this.#check();
        await this.#whileAlive(handler.batch(topic, partition, records));
        if (!this.#faults.strikes("redeliver")) return;
        const count = records.length;
        this.#faults.note(`redeliver ${topic}/${partition} ×${count} to ${group}`);
        throw new UnavailableError("simulated: the answer to a batch was lost");
      },
    });
  }

  states(states: StateStore): StateStore {
    return replacing(states, {
      open: async (owner) => {
        this.#check();
        const state = await states.open(owner);
        return replacing(state, {
          commit: async () => {
            const { stage, partition } = owner;
            const saved = this.#faults.random("taken").chance(0.5);
            if (!this.#faults.strikes("taken")) {
              return this.step("commit", stage, () => state.commit());
            }
            const how = saved ? "saved, and nobody knows" : "opened elsewhere";
            this.#faults.note(`taken: ${stage}/${partition} ${how}`);
            this.#check();
            if (saved) await state.commit();
            // From now on the State that we have is the older one.
            else await states.open(owner);
            throw takenError(stage);
          },
        });
      },
    });
  }

  store(store: Store): Store {
    return replacing(store, {
      write: async (documents) => {
        await this.step("store", "documents", () => store.write(documents));
      },
    });
  }

  sink(sink: Sink): Sink {
    return replacing(sink, {
      send: async (notice, signal) => {
        return this.step("send", notice.kind, () => sink.send(notice, signal));
      },
    });
  }

  #whileAlive<T>(answer: Promise<T>): Promise<T> {
    const died = this.died.then(() => {
      throw new UnavailableError("simulated: the process is dead");
    });
    return Promise.race([answer, died]);
  }

  #check(): void {
    if (this.#dead) throw new UnavailableError("simulated: the process is dead");
  }
}
