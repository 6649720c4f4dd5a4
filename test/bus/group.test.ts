import { describe, expect, it } from "vitest";
import type { BusRecord, BusTrouble, Offset, Topic } from "../../src/bus/bus.ts";
import { Groups } from "../../src/bus/group.ts";
import type { ReadRange, RecordSource } from "../../src/bus/source.ts";
import { secondMs, VirtualClock } from "../../src/clock.ts";
import { ServiceError } from "../../src/error.ts";
import { codeOf, turn, until, Watcher } from "../contract/bus.ts";

interface Read {
  readonly from: Offset;
  /** Ends the read: with the records, or with the error. */
  readonly finish: (error?: unknown) => void;
}

/** One partition of ten records, whose reads finish when told. */
class SlowSource implements RecordSource {
  readonly reads: Read[] = [];

  partitions(): number {
    return 1;
  }

  first(): Offset {
    return 0;
  }

  end(): Offset {
    return 10;
  }

  read(topic: Topic, partition: number, { from, max }: ReadRange): Promise<readonly BusRecord[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly BusRecord[]>();
    const length = Math.min(max, 10 - from);
    const records = Array.from({ length }, (_, index) => {
      const value = new Uint8Array();
      return { topic, partition, offset: from + index, key: "k", value, appendedAt: 0 };
    });
    const finish = (error?: unknown) => (error === undefined ? resolve(records) : reject(error));
    this.reads.push({ from, finish });
    return promise;
  }

  async settled(): Promise<void> {}
}

function setUp() {
  const clock = new VirtualClock();
  const source = new SlowSource();
  const troubles: BusTrouble[] = [];
  const hooks = { onTrouble: (): void => undefined };
  const onTrouble = (trouble: BusTrouble) => {
    troubles.push(trouble);
    hooks.onTrouble();
  };
  const groups = new Groups({ source, clock, onTrouble });
  const consume = (seen: Watcher) => {
    return groups.consume({ group: "g", topics: ["events"], batchMax: 4 }, seen);
  };
  const finishAll = () => {
    for (const { finish } of source.reads.splice(0)) finish();
  };
  return { clock, source, troubles, hooks, consume, finishAll };
}

const offsets = (seen: Watcher) => seen.records.map(({ offset }) => offset);
const allTen = [...Array(10).keys()];

describe("consumer groups", () => {
  it("read one batch ahead while the handler works, and no further", async () => {
    const { source, consume } = setUp();
    const seen = new Watcher();
    seen.onBatch = () => new Promise(() => undefined);
    await consume(seen);
    await until(() => source.reads.length === 1);
    source.reads[0]!.finish();
    await until(() => seen.log.includes("batch events/0"));
    for (let count = 0; count < 10; count++) await turn();
    expect(source.reads.map(({ from }) => from)).toEqual([0, 4]);
  });

  it("drop what was read ahead of a rejected batch, even when it is tried at once", async () => {
    const { clock, troubles, hooks, consume, finishAll } = setUp();
    const seen = new Watcher();
    let calls = 0;
    seen.onBatch = async () => {
      if (calls++ < 2) throw new Error("not now");
    };
    hooks.onTrouble = () => clock.advance(60 * secondMs);
    await consume(seen);
    await until(() => seen.records.length >= 10, finishAll);
    expect(offsets(seen)).toEqual(allTen);
    expect(troubles.length).toBe(2);
  });

  it("drop what was read for an earlier owner", async () => {
    const { source, consume, finishAll } = setUp();
    const positions = new Map<string, Offset>();
    const [one, two] = [new Watcher(positions), new Watcher(positions)];
    const first = await consume(one);
    await consume(two);
    await until(() => source.reads.length === 1); // of the first member
    const late = source.reads.splice(0);
    const stopping = first.stop();
    await until(() => source.reads.length === 1); // of the second
    for (const { finish } of late) finish();
    await stopping;
    await until(() => two.records.length === 10, finishAll);
    expect(offsets(one)).toEqual([]);
    expect(offsets(two)).toEqual(allTen);
    expect(one.log).toEqual(["assigned events/0", "revoked events/0"]);
  });

  it("try a read that failed again, after a wait", async () => {
    const { clock, source, troubles, consume, finishAll } = setUp();
    const seen = new Watcher();
    const consumer = await consume(seen);
    await until(() => source.reads.length === 1);
    source.reads.splice(0)[0]!.finish(new Error("disk"));
    await until(() => troubles.length === 1);
    expect(troubles[0]!.retryAfterMs).toBe(secondMs);
    for (let count = 0; count < 10; count++) await turn();
    expect(source.reads).toEqual([]);
    clock.advance(secondMs);
    await until(() => seen.records.length === 10, finishAll);
    await consumer.drained();
    expect(offsets(seen)).toEqual(allTen);
  });

  it("stand still at a corrupt record, and tell who waits to be drained", async () => {
    const { clock, source, troubles, consume } = setUp();
    const consumer = await consume(new Watcher());
    const drained = codeOf(consumer.drained());
    await until(() => source.reads.length === 1);
    const problem = { code: "bus-corrupt", place: "p", expected: "e", found: "f" } as const;
    source.reads.splice(0)[0]!.finish(new ServiceError(problem));
    expect(await drained).toBe("bus-corrupt");
    expect(await codeOf(consumer.drained())).toBe("bus-corrupt");
    expect(troubles.map(({ retryAfterMs }) => retryAfterMs)).toEqual([undefined]);
    clock.advance(60 * secondMs);
    for (let count = 0; count < 10; count++) await turn();
    expect(source.reads).toEqual([]);
  });

  it("try a batch again whose handler met a corrupt bus elsewhere", async () => {
    const { source, troubles, consume } = setUp();
    const seen = new Watcher();
    const problem = { code: "bus-corrupt", place: "p", expected: "e", found: "f" } as const;
    seen.onBatch = async () => {
      throw new ServiceError(problem);
    };
    await consume(seen);
    await until(() => source.reads.length === 1);
    source.reads[0]!.finish();
    await until(() => troubles.length === 1);
    expect(troubles[0]!.retryAfterMs).toBe(secondMs);
  });

  it("tell who waits to be drained when the consumer stops", async () => {
    const { source, consume } = setUp();
    const consumer = await consume(new Watcher());
    const drained = codeOf(consumer.drained());
    await until(() => source.reads.length === 1);
    const stopping = consumer.stop();
    expect(await drained).toBe("bus-unavailable");
    source.reads[0]!.finish();
    await stopping;
  });

  it("report a handler that cannot give a partition up, and stop after the last read", async () => {
    const { source, troubles, consume } = setUp();
    const seen = new Watcher();
    seen.revoked = async () => {
      throw new Error("save failed");
    };
    const consumer = await consume(seen);
    await until(() => source.reads.length === 1);
    let stopped = false;
    const stopping = consumer.stop().then(() => {
      stopped = true;
    });
    await until(() => troubles.length === 1);
    expect(String(troubles[0]!.error)).toBe("Error: save failed");
    for (let count = 0; count < 10; count++) await turn();
    expect(stopped).toBe(false);
    source.reads[0]!.finish();
    await stopping;
    expect(seen.records).toEqual([]);
  });
});
