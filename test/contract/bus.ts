/** @module What every Bus must keep to: one suite, run on each implementation. */

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type {
  Bus,
  BusRecord,
  ConsumerHandler,
  NewRecord,
  Offset,
  Topic,
} from "../../src/bus/bus.ts";
import { hourMs, secondMs, VirtualClock } from "../../src/clock.ts";
import { ServiceError } from "../../src/error.ts";

export interface BusOptions {
  readonly clock: VirtualClock;
  readonly partitions: number;
  readonly backlogMax?: number;
}

/** Where the records of one test live; opened again after a close, it holds what it held. */
export interface BusPlace {
  open(options: BusOptions): Promise<Bus>;
  /** Closes nothing; takes the place away after the test. */
  remove(): Promise<void>;
}

export interface BusSubject {
  place(): Promise<BusPlace>;
  /** All partitions of a group are given up when one joins or leaves, not only those that move. */
  readonly eager?: boolean;
  /** Tests that cannot hold for this implementation, by name, each with the reason. */
  readonly skip?: readonly { readonly reason: string; readonly tests: readonly string[] }[];
}

/** Everything a consumer saw, and a handler that keeps positions as a stage does. */
export class Watcher implements ConsumerHandler {
  readonly records: BusRecord[] = [];
  readonly log: string[] = [];
  readonly sizes: number[] = [];
  readonly positions: Map<string, Offset>;
  running = 0;
  runningMax = 0;
  /** Called before a batch counts; may reject it. */
  onBatch: (records: readonly BusRecord[]) => Promise<void> = async () => undefined;

  constructor(positions: Map<string, Offset> = new Map()) {
    this.positions = positions;
  }

  async assigned(topic: Topic, partition: number): Promise<Offset> {
    return this.#alone(async () => {
      this.log.push(`assigned ${topic}/${partition}`);
      return this.positions.get(`${topic}/${partition}`) ?? 0;
    });
  }

  async revoked(topic: Topic, partition: number): Promise<void> {
    return this.#alone(async () => {
      this.log.push(`revoked ${topic}/${partition}`);
    });
  }

  async batch(topic: Topic, partition: number, records: readonly BusRecord[]): Promise<void> {
    return this.#alone(async () => {
      this.log.push(`batch ${topic}/${partition}`);
      await this.onBatch(records);
      this.sizes.push(records.length);
      this.records.push(...records);
      const last = records.at(-1)!;
      this.positions.set(`${topic}/${partition}`, last.offset + 1);
    });
  }

  /** `key=value` of all records, in the order seen. */
  get texts(): string[] {
    return this.records.map((record) => `${record.key}=${text(record.value)}`);
  }

  async #alone<T>(act: () => Promise<T>): Promise<T> {
    this.running++;
    this.runningMax = Math.max(this.runningMax, this.running);
    await turn();
    try {
      return await act();
    } finally {
      this.running--;
    }
  }
}

export function record(key: string, value: string, topic: Topic = "events"): NewRecord {
  return { topic, key, value: new TextEncoder().encode(value) };
}

export function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Lets everything happen that can without time passing, as far as so many turns go. */
export async function turns(count = 20): Promise<void> {
  for (let left = count; left > 0; left -= 1) await turn();
}

/** Waits for something that is under way; the time limit of the test bounds it. */
export async function until(holds: () => boolean, step: () => void = () => undefined) {
  while (!holds()) {
    step();
    await turn();
  }
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "resolved";
  } catch (error) {
    return error instanceof ServiceError ? error.problem.code : String(error);
  }
}

function byPartition(records: readonly BusRecord[]): Map<number, BusRecord[]> {
  return Map.groupBy(records, ({ partition }) => partition);
}

const keys = ["runner-1", "runner-2", "run/77", "", "ключ", "__proto__", "constructor", "a\0b"];

/** Runs the contract of `src/bus/bus.ts` on one implementation. */
export function busContract(name: string, subject: BusSubject): void {
  const start = Date.UTC(2026, 0, 2);
  let clock: VirtualClock;
  let place: BusPlace;
  let opened: Bus[];

  async function open(options: Partial<BusOptions> = {}): Promise<Bus> {
    const bus = await place.open({ clock, partitions: 3, ...options });
    opened.push(bus);
    return bus;
  }

  function check(title: string, act: () => Promise<void>): void {
    const skipped = (subject.skip ?? []).find(({ tests }) => tests.includes(title));
    if (skipped === undefined) it(title, act);
    else it.skip(`${title}: ${skipped.reason}`, act);
  }

  const consume = (bus: Bus, handler: ConsumerHandler, group = "stage", batchMax?: number) => {
    const settings = { group, topics: ["events"] as const };
    return bus.consume(batchMax === undefined ? settings : { ...settings, batchMax }, handler);
  };

  describe(`${name} bus`, () => {
    beforeEach(async () => {
      clock = new VirtualClock(start);
      place = await subject.place();
      opened = [];
    });

    afterEach(async () => {
      for (const bus of opened) await bus.close();
      await place.remove();
    });

    check("gives records back as they were, offsets from 0 without gaps", async () => {
      const bus = await open();
      const value = Uint8Array.from([0, 255, 10, 13]);
      const running = bus.append(keys.map((key) => ({ topic: "events", key, value })));
      value.fill(7); // the bus has its own copy
      await running;
      const seen = new Watcher();
      await (await consume(bus, seen)).drained();
      expect(seen.records.map(({ key }) => key).sort()).toEqual([...keys].sort());
      for (const { value, appendedAt, topic } of seen.records) {
        expect(value).toEqual(Uint8Array.from([0, 255, 10, 13]));
        expect(appendedAt).toBe(start);
        expect(topic).toBe("events");
      }
      for (const records of byPartition(seen.records).values()) {
        expect(records.map(({ offset }) => offset)).toEqual([...records.keys()]);
      }
    });

    check("keeps the order of a partition over many calls", async () => {
      const bus = await open();
      let count = 0;
      for (const size of [1, 2, 40, 1, 7, 150, 3]) {
        const call = Array.from({ length: size }, () => {
          return record(keys[count % keys.length]!, String(count++));
        });
        await bus.append(call);
      }
      const seen = new Watcher();
      await (await consume(bus, seen)).drained();
      expect(seen.records.length).toBe(count);
      for (const records of byPartition(seen.records).values()) {
        const numbers = records.map(({ value }) => Number(text(value)));
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      }
    });

    check("keeps the order of calls that run at the same time", async () => {
      const bus = await open({ partitions: 1 });
      const calls: Promise<void>[] = [];
      for (let count = 0; count < 300; count++) {
        calls.push(bus.append([record("a", `${count}`), record("b", `${count}+`)]));
        if (count % 50 === 0) await turn();
      }
      await Promise.all(calls);
      const seen = new Watcher();
      await (await consume(bus, seen)).drained();
      const expected = calls.flatMap((_, count) => [`a=${count}`, `b=${count}+`]);
      expect(seen.texts).toEqual(expected);
    });

    check(
      "puts a key into the same partition every time, and keys into all partitions",
      async () => {
        const bus = await open();
        const many = Array.from({ length: 60 }, (_, index) => `runner-${index}`);
        for (let round = 0; round < 2; round++) {
          await bus.append(many.map((key) => record(key, `${round}`)));
        }
        const seen = new Watcher();
        await (await consume(bus, seen)).drained();
        const places = Map.groupBy(seen.records, ({ key }) => key);
        expect(places.size).toBe(60);
        for (const records of places.values()) {
          expect(new Set(records.map(({ partition }) => partition)).size).toBe(1);
        }
        expect(bus.partitions("events")).toBe(3);
        expect(byPartition(seen.records).size).toBe(3);
      },
    );

    check("keeps topics apart", async () => {
      const bus = await open({ partitions: 1 });
      await bus.append([record("k", "event"), record("k", "alert", "alerts"), record("k", "more")]);
      const seen = new Watcher();
      const consumer = await bus.consume({ group: "g", topics: ["alerts", "builds"] }, seen);
      await consumer.drained();
      expect(seen.texts).toEqual(["k=alert"]);
      expect(await bus.end("events", 0)).toBe(2);
      expect(await bus.end("alerts", 0)).toBe(1);
      expect(await bus.end("builds", 0)).toBe(0);
    });

    check("holds records over close and open", async () => {
      const first = await open();
      await first.append(keys.map((key) => record(key, "before")));
      await first.close();
      const second = await open();
      await second.append(keys.map((key) => record(key, "after")));
      const seen = new Watcher();
      await (await consume(second, seen)).drained();
      for (const key of keys) {
        const own = seen.records.filter((record) => record.key === key);
        expect(own.map(({ value }) => text(value))).toEqual(["before", "after"]);
        expect(new Set(own.map(({ partition }) => partition)).size).toBe(1);
      }
    });

    check("keeps topics about the whole company in one partition", async () => {
      const bus = await open();
      const undivided = ["builds", "alerts", "pages", "dead-letters"] as const;
      for (const topic of undivided) {
        expect(bus.partitions(topic)).toBe(1);
        await bus.append(keys.map((key) => record(key, "v", topic)));
        expect(await bus.end(topic, 0)).toBe(keys.length);
        expect(await codeOf(bus.end(topic, 1))).toContain("RangeError");
      }
      for (const topic of ["events", "matches", "documents"] as const) {
        expect(bus.partitions(topic)).toBe(3);
      }
      const seen = new Watcher();
      const consumer = await bus.consume({ group: "g", topics: ["alerts", "pages"] }, seen);
      await consumer.drained();
      expect(seen.records.length).toBe(2 * keys.length);
      for (const topic of ["alerts", "pages"]) {
        const own = seen.records.filter((record) => record.topic === topic);
        expect(own.map(({ key }) => key)).toEqual(keys);
      }
    });

    check(
      "puts a record where it is told to, and refuses a partition it does not have",
      async () => {
        const bus = await open();
        await bus.append([
          ...[2, 0, 1, 2].map((partition, at) => ({ ...record("k", String(at)), partition })),
          { ...record("k", "page", "pages"), partition: 0 },
        ]);
        const seen = new Watcher();
        const consumer = await consume(bus, seen);
        await consumer.drained();
        const found = [...byPartition(seen.records)].map(([partition, records]) => {
          return [partition, ...records.map(({ value }) => text(value))];
        });
        expect(found.sort()).toEqual([
          [0, "1"],
          [1, "2"],
          [2, "0", "3"],
        ]);
        expect(await bus.end("pages", 0)).toBe(1);
        const places = [
          ["events", 3],
          ["events", -1],
          ["events", 0.5],
          ["pages", 1],
        ] as const;
        for (const [topic, partition] of places) {
          const call = [record("k", "with it"), { ...record("k", "v", topic), partition }];
          expect(await codeOf(bus.append(call))).toContain("RangeError");
        }
        await consumer.drained();
        expect(seen.records.length).toBe(4);
      },
    );

    check("gives a consumer that shares with nobody every record", async () => {
      const bus = await open();
      const whole = { group: "table", whole: true, topics: ["events", "alerts"] } as const;
      const [one, two, sharing] = [new Watcher(), new Watcher(), new Watcher()];
      const first = await bus.consume(whole, one);
      await bus.append(keys.map((key) => record(key, "0")));
      await first.drained();
      const second = await bus.consume(whole, two);
      // One that shares under the same name is of another group.
      const third = await bus.consume({ group: "table", topics: ["events"] }, sharing);
      await bus.append(keys.map((key) => record(key, "1", "alerts")));
      await Promise.all([first, second, third].map((consumer) => consumer.drained()));
      const expected = keys.flatMap((key) => [`${key}=0`, `${key}=1`]).sort();
      expect(one.texts.sort()).toEqual(expected);
      expect(two.texts.sort()).toEqual(expected);
      expect(sharing.records.length).toBe(keys.length);
      expect(one.log.filter((line) => line.startsWith("revoked"))).toEqual([]);
      await second.stop();
      await bus.append([record("k", "2")]);
      await first.drained();
      expect(one.records.length).toBe(2 * keys.length + 1);
      expect(one.log.filter((line) => line.startsWith("revoked"))).toEqual([]);
      expect(two.log.filter((line) => line.startsWith("revoked")).length).toBe(4);
    });

    check("tells how far a consumer is behind", async () => {
      const bus = await open({ partitions: 2 });
      const seen = new Watcher();
      const gate = Promise.withResolvers<void>();
      seen.onBatch = () => gate.promise;
      const call = (count: number) => {
        return Array.from({ length: count }, (_, at) => ({
          ...record("k", `${at}`),
          partition: 1,
        }));
      };
      await bus.append(call(5));
      const consumer = await consume(bus, seen, "stage", 2);
      await until(() => seen.log.includes("batch events/1"));
      expect(consumer.behind("events", 1)).toBe(5);
      await bus.append(call(3));
      await until(() => consumer.behind("events", 1) === 8);
      expect(consumer.behind("events", 0)).toBe(0);
      expect(consumer.behind("alerts", 0)).toBe(0);
      gate.resolve();
      await consumer.drained();
      await until(() => consumer.behind("events", 1) === 0);
      await bus.append(call(1));
      await consumer.drained();
      await until(() => consumer.behind("events", 1) === 0);
      expect(seen.records.length).toBe(9);
      await consumer.stop();
      await bus.append(call(1));
      expect(consumer.behind("events", 1)).toBe(0);
    });

    check(
      "gives a partition number of all topics to one member, and members equally many",
      async () => {
        const bus = await open({ partitions: 4 });
        const topics: readonly Topic[] = ["events", "matches", "pages", "alerts"];
        const positions = new Map<string, Offset>();
        const [one, two] = [new Watcher(positions), new Watcher(positions)];
        const first = await bus.consume({ group: "stage", topics }, one);
        const second = await bus.consume({ group: "stage", topics }, two);
        for (const topic of topics) {
          const partitions = [...Array(bus.partitions(topic)).keys()];
          await bus.append(
            partitions.map((partition) => ({ ...record("k", "v", topic), partition })),
          );
        }
        await Promise.all([first.drained(), second.drained()]);
        const numbersOf = ({ records }: Watcher) => {
          return [...new Set(records.map(({ partition }) => partition))].sort();
        };
        expect([...numbersOf(one), ...numbersOf(two)].sort()).toEqual([0, 1, 2, 3]);
        expect([numbersOf(one).length, numbersOf(two).length]).toEqual([2, 2]);
        const owner = numbersOf(one).includes(0) ? one : two;
        for (const topic of topics) {
          expect(owner.records.some((record) => record.topic === topic)).toBe(true);
        }
        expect(one.records.length + two.records.length).toBe(10);
      },
    );

    check("begins where the handler says", async () => {
      const bus = await open({ partitions: 1 });
      await bus.append(["0", "1", "2", "3", "4"].map((value) => record("k", value)));
      const seen = new Watcher(new Map([["events/0", 3]]));
      await (await consume(bus, seen)).drained();
      expect(seen.texts).toEqual(["k=3", "k=4"]);
    });

    check("delivers later records without being asked again", async () => {
      const bus = await open();
      const seen = new Watcher();
      const consumer = await consume(bus, seen);
      await consumer.drained();
      for (let count = 0; count < 20; count++) {
        await bus.append([record(`k${count}`, "v")]);
        await until(() => seen.records.length === count + 1);
      }
      expect(seen.records.length).toBe(20);
    });

    check(
      "delivers a rejected batch again after a wait, and other partitions meanwhile",
      async () => {
        const bus = await open();
        const seen = new Watcher();
        let rejections = 0;
        let stuck: number | undefined;
        seen.onBatch = async ([first]) => {
          stuck ??= first!.partition;
          if (first!.partition !== stuck || rejections === 3) return;
          rejections++;
          throw new Error("not now");
        };
        const many = Array.from({ length: 60 }, (_, index) => `runner-${index}`);
        await bus.append(many.map((key) => record(key, "v")));
        await consume(bus, seen);
        const others = () => new Set(seen.records.map(({ partition }) => partition)).size;
        await until(() => others() === 2 && rejections === 1);
        for (let count = 0; count < 50; count++) await turn();
        expect(rejections).toBe(1); // the clock has not moved
        await until(
          () => seen.records.length === 60,
          () => clock.advance(secondMs),
        );
        expect(rejections).toBe(3);
        expect(new Set(seen.records.map(({ key }) => key)).size).toBe(60);
        expect(clock.now() - start).toBeGreaterThanOrEqual(3 * secondMs);
        expect(clock.now() - start).toBeLessThan(hourMs);
      },
    );

    check("asks again where to begin when that fails", async () => {
      const bus = await open({ partitions: 1 });
      await bus.append([record("k", "v")]);
      const seen = new Watcher();
      const asked = seen.assigned.bind(seen);
      let failures = 2;
      seen.assigned = async (topic, partition) => {
        if (failures-- > 0) throw new Error("state not open");
        return asked(topic, partition);
      };
      await consume(bus, seen);
      await until(
        () => seen.records.length === 1,
        () => clock.advance(secondMs),
      );
      expect(seen.log).toEqual(["assigned events/0", "batch events/0"]);
    });

    check("hands over no more than batchMax, and one call at a time", async () => {
      const bus = await open();
      await bus.append(Array.from({ length: 100 }, (_, count) => record(`k${count}`, "v")));
      const seen = new Watcher();
      await (await consume(bus, seen, "stage", 7)).drained();
      expect(seen.records.length).toBe(100);
      expect(Math.max(...seen.sizes)).toBe(7);
      expect(seen.runningMax).toBe(1);
    });

    check("takes partitions in turn", async () => {
      const bus = await open();
      await bus.append(Array.from({ length: 300 }, (_, count) => record(`k${count}`, "v")));
      const seen = new Watcher();
      await (await consume(bus, seen, "stage", 10)).drained();
      const early = seen.log.filter((line) => line.startsWith("batch")).slice(0, 9);
      for (const partition of [0, 1, 2]) {
        const times = early.filter((line) => line === `batch events/${partition}`).length;
        expect(times).toBeGreaterThanOrEqual(2);
      }
    });

    check("gives every group every record", async () => {
      const bus = await open();
      await bus.append([record("a", "1"), record("b", "2")]);
      const [left, right] = [new Watcher(), new Watcher()];
      right.onBatch = async () => {
        throw new Error("never");
      };
      const one = await consume(bus, left, "left");
      await consume(bus, right, "right");
      await bus.append([record("a", "3")]);
      await one.drained(); // however stuck the other group is
      expect(left.texts.sort()).toEqual(["a=1", "a=3", "b=2"]);
    });

    check("shares the partitions of a group, and moves them when one joins or leaves", async () => {
      const bus = await open({ partitions: 4 });
      const positions = new Map<string, Offset>();
      const [one, two] = [new Watcher(positions), new Watcher(positions)];
      const many = (round: number) => {
        return Array.from({ length: 80 }, (_, count) => record(`k${count}`, `${round}`));
      };
      const first = await consume(bus, one);
      await bus.append(many(0));
      await first.drained();
      const second = await consume(bus, two);
      await second.drained();
      await bus.append(many(1));
      await Promise.all([first.drained(), second.drained()]);
      const revoked = () => one.log.filter((line) => line.startsWith("revoked")).length;
      expect(revoked()).toBe(subject.eager === true ? 4 : 2);
      const shared = two.records.length;
      expect(shared).toBeGreaterThan(0);
      expect(one.records.length + shared).toBe(160);
      await first.stop();
      expect(revoked()).toBe(subject.eager === true ? 6 : 4);
      await bus.append(many(2));
      await second.drained();
      expect(two.records.length - shared).toBe(80);
      const all = [...one.records, ...two.records];
      const places = all.map(({ partition, offset }) => `${partition}/${offset}`);
      expect(new Set(places).size).toBe(240);
    });

    check("resolves drained only after everything appended before", async () => {
      const bus = await open();
      const seen = new Watcher();
      const consumer = await consume(bus, seen);
      await consumer.drained(); // nothing there yet
      for (let round = 1; round <= 10; round++) {
        await bus.append(Array.from({ length: 17 }, (_, count) => record(`k${count}`, "v")));
        await consumer.drained();
        expect(seen.records.length).toBe(round * 17);
      }
    });

    check("calls nothing after stop, and revokes what it assigned", async () => {
      const bus = await open();
      const seen = new Watcher();
      const consumer = await consume(bus, seen);
      await bus.append(keys.map((key) => record(key, "v")));
      await consumer.drained();
      await Promise.all([consumer.stop(), consumer.stop()]);
      const calls = seen.log.length;
      const assigned = seen.log.filter((line) => line.startsWith("assigned"));
      const revoked = seen.log.filter((line) => line.startsWith("revoked"));
      expect(revoked.map((line) => line.slice(8)).sort()).toEqual(
        assigned.map((line) => line.slice(9)).sort(),
      );
      await bus.append([record("k", "late")]);
      for (let count = 0; count < 20; count++) await turn();
      expect(seen.log.length).toBe(calls);
      expect(await codeOf(consumer.drained())).toBe("bus-unavailable");
    });

    check("waits on stop for the batch that is running", async () => {
      const bus = await open({ partitions: 1 });
      const seen = new Watcher();
      const gate = Promise.withResolvers<void>();
      let begun = false;
      seen.onBatch = async () => {
        begun = true;
        await gate.promise;
      };
      const consumer = await consume(bus, seen);
      await bus.append([record("k", "v")]);
      await until(() => begun);
      let stopped = false;
      const stopping = consumer.stop().then(() => {
        stopped = true;
      });
      for (let count = 0; count < 20; count++) await turn();
      expect(stopped).toBe(false);
      gate.resolve();
      await stopping;
      expect(seen.log).toEqual(["assigned events/0", "batch events/0", "revoked events/0"]);
      expect(seen.positions.get("events/0")).toBe(1);
    });

    check("lets a handler append what it made", async () => {
      const bus = await open();
      const stage = new Watcher();
      stage.onBatch = async (records) => {
        await bus.append(records.map(({ key }) => record(key, "alert", "alerts")));
      };
      const last = new Watcher();
      const first = await consume(bus, stage);
      const second = await bus.consume({ group: "alerting", topics: ["alerts"] }, last);
      await bus.append(keys.map((key) => record(key, "v")));
      await first.drained();
      await second.drained();
      expect(last.records.map(({ key }) => key).sort()).toEqual([...keys].sort());
    });

    check("takes an empty call", async () => {
      const bus = await open();
      await bus.append([]);
      expect(await bus.end("events", 0)).toBe(0);
      await bus.append([{ topic: "events", key: "k", value: new Uint8Array() }]);
      const seen = new Watcher();
      await (await consume(bus, seen)).drained();
      expect(seen.records.map(({ value }) => value.byteLength)).toEqual([0]);
    });

    check("takes a value of 1 MiB", async () => {
      const bus = await open();
      const value = new Uint8Array(1024 * 1024).map((_, index) => (index * 31) % 251);
      await bus.append([
        record("k", "before"),
        { topic: "events", key: "k", value },
        record("k", "after"),
      ]);
      const seen = new Watcher();
      await (await consume(bus, seen)).drained();
      expect(seen.records.length).toBe(3);
      expect(Buffer.compare(seen.records[1]!.value, value)).toBe(0);
      expect(text(seen.records[2]!.value)).toBe("after");
    });

    check("refuses whole calls with intake-full at its bound, and takes more later", async () => {
      const bus = await open({ backlogMax: 64 * 1024 });
      const value = new Uint8Array(10 * 1024);
      const call = (key: string) => bus.append([0, 1].map(() => ({ topic: "events", key, value })));
      const codes = await Promise.all(
        Array.from({ length: 12 }, (_, at) => codeOf(call(`k${at}`))),
      );
      const taken = codes.filter((code) => code === "resolved").length;
      expect(new Set(codes)).toEqual(new Set(["resolved", "intake-full"]));
      const seen = new Watcher();
      const consumer = await consume(bus, seen);
      await consumer.drained();
      expect(seen.records.length).toBe(taken * 2);
      expect(await codeOf(call("again"))).toBe("resolved");
      await consumer.drained();
      expect(seen.records.length).toBe(taken * 2 + 2);
    });

    check("refuses everything once closed, and closes twice", async () => {
      const bus = await open();
      const seen = new Watcher();
      await consume(bus, seen);
      const running = bus.append([record("k", "v")]);
      await Promise.all([bus.close(), bus.close()]);
      await running;
      await bus.close();
      expect(await codeOf(bus.append([record("k", "v")]))).toBe("bus-unavailable");
      expect(await codeOf(bus.append([]))).toBe("bus-unavailable");
      expect(await codeOf(consume(bus, seen))).toBe("bus-unavailable");
      const revoked = seen.log.filter((line) => line.startsWith("revoked")).length;
      expect(revoked).toBe(seen.log.filter((line) => line.startsWith("assigned")).length);
    });

    check("holds for any calls", async () => {
      const bus = await open();
      const seen = new Watcher();
      const consumer = await consume(bus, seen, "stage", 5);
      const appended: string[] = [];
      let count = 0;
      const calls = fc.array(fc.array(fc.constantFrom(...keys), { maxLength: 12 }), {
        maxLength: 12,
      });
      await fc.assert(
        fc.asyncProperty(calls, async (sequence) => {
          const running = sequence.map((call) => {
            const records = call.map((key) => record(key, String(count++)));
            appended.push(...records.map(({ key, value }) => `${key}=${text(value)}`));
            return bus.append(records);
          });
          await Promise.all(running);
          await consumer.drained();
          expect([...seen.texts].sort()).toEqual([...appended].sort());
          for (const records of byPartition(seen.records).values()) {
            const numbers = records.map(({ value }) => Number(text(value)));
            expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
            expect(records.map(({ offset }) => offset)).toEqual([...records.keys()]);
          }
        }),
        { seed: 20260102, numRuns: 25 },
      );
    });
  });
}
