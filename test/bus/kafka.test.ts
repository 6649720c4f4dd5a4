// The parts of the Kafka bus that need no broker.

import { createRequire } from "node:module";
import fc from "fast-check";
import { Partitioners } from "kafkajs";
import { describe, expect, it } from "vitest";
import type { BusTrouble, Offset, Topic } from "../../src/bus/bus.ts";
import { KafkaAppends } from "../../src/bus/kafka-appends.ts";
import { sharedOut } from "../../src/bus/kafka-assigner.ts";
import { KafkaClient } from "../../src/bus/kafka-client.ts";
import type { FetchedRecord, Place } from "../../src/bus/kafka-link.ts";
import type { TopicMessages } from "../../src/bus/kafka-producer.ts";
import { KafkaStreams } from "../../src/bus/kafka-streams.ts";
import type { Reach } from "../../src/bus/kafka-topics.ts";
import { codeOf, record, turn } from "../contract/bus.ts";

describe("kafka partitions of a group", () => {
  const shares = (members: Record<string, string[]>, counts: Record<string, number>) => {
    const given = Object.entries(members).map(([memberId, topics]) => ({ memberId, topics }));
    const shared = sharedOut(given, new Map(Object.entries(counts)));
    return Object.fromEntries([...shared].map(([id, topics]) => [id, Object.fromEntries(topics)]));
  };

  it("go to the same member for every topic, whatever the order members are told in", () => {
    const counts = { builds: 4, events: 4 };
    const expected = {
      a: { builds: [0, 3], events: [0, 3] },
      b: { builds: [1], events: [1] },
      c: { builds: [2], events: [2] },
    };
    const all = ["builds", "events"];
    expect(shares({ a: all, b: all, c: all }, counts)).toEqual(expected);
    expect(shares({ c: all, a: all, b: all }, counts)).toEqual(expected);
  });

  it("go only to members that read the topic, and some members get none", () => {
    expect(
      shares({ a: ["events"], b: ["alerts"], c: ["events"] }, { events: 1, alerts: 2 }),
    ).toEqual({ a: { events: [0] }, b: { alerts: [0, 1] }, c: {} });
  });

  it("stay with who had them, as far as members get equally many", () => {
    const topics = ["builds", "alerts"];
    const counts = new Map([
      ["builds", 8],
      ["alerts", 1],
    ]);
    const give = (held: Record<string, number[] | undefined>, at = () => 1) => {
      const members = Object.entries(held).map(([memberId, partitions]) => {
        return { memberId, topics, held: partitions && { at: at(), partitions } };
      });
      const shared = sharedOut(members, counts);
      return Object.fromEntries([...shared].map(([id, share]) => [id, share.get("builds")]));
    };
    // One more: of four each member gives up to the balance only.
    expect(give({ b: [1, 3, 5, 7], c: [0, 2, 4, 6], a: undefined })).toEqual({
      a: [6, 7],
      b: [1, 3, 5],
      c: [0, 2, 4],
    });
  });

  it("go to the later of two that claim them, and not where they do not exist", () => {
    const member = (memberId: string, at: number, partitions: number[]) => {
      return { memberId, topics: ["builds"], held: { at, partitions } };
    };
    const members = [member("a", 1, [0, 1]), member("b", 2, [1, 2, 99, -1, 0.5])];
    const shared = sharedOut(members, new Map([["builds", 4]]));
    expect(shared.get("b")?.get("builds")).toEqual([1, 2]);
    expect(shared.get("a")?.get("builds")).toEqual([0, 3]);
  });

  it("are each given to one member, equally many, and few move when one joins or leaves", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.constantFrom("a", "b", "c", "d", "e", "f"), { maxLength: 12 }),
        (count, changes) => {
          const topics = ["builds", "alerts"];
          const counts = new Map([
            ["builds", count],
            ["alerts", 1],
          ]);
          let owners = new Map<string, readonly number[]>([["z", []]]);
          for (const [at, id] of changes.entries()) {
            const before = owners;
            const ids = new Set(before.keys());
            if (!ids.delete(id)) ids.add(id);
            const members = [...ids].map((memberId) => {
              const partitions = before.get(memberId);
              return { memberId, topics, held: partitions && { at, partitions } };
            });
            const shared = sharedOut(members, counts);
            owners = new Map([...shared].map(([of, share]) => [of, share.get("builds") ?? []]));
            const all = [...owners.values()].flat();
            expect(all.toSorted((a, b) => a - b)).toEqual([...Array(count).keys()]);
            const sizes = [...owners.values()].map(({ length }) => length);
            expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
            for (const [of, share] of shared) {
              expect(share.has("alerts")).toBe(owners.get(of)?.includes(0));
            }
            const moved = [...ids].flatMap((of) => {
              return (owners.get(of) ?? []).filter((p) => before.get(of)?.includes(p) !== true);
            });
            const gone = before.get(id)?.length ?? Math.ceil(count / ids.size);
            if (at > 0) expect(moved.length).toBeLessThanOrEqual(gone);
          }
        },
      ),
      { seed: 20260102, numRuns: 200 },
    );
  });

  it("stay away when nobody reads them", () => {
    expect(shares({ a: [] }, { events: 2 })).toEqual({ a: {} });
    expect(shares({}, { events: 2 })).toEqual({});
  });
});

/** Appends whose sends wait until the test lets them end. */
function gatedAppends(backlogMax = 1024 * 1024, waitMsMax = 60_000) {
  const sends: { values: string[]; done: PromiseWithResolvers<void> }[] = [];
  let running = 0;
  let runningMax = 0;
  const appends = new KafkaAppends({
    place: "kafka",
    partitions: 2,
    ...{ backlogMax, waitMsMax },
    nameOf: (topic) => topic,
    send: async (batch: readonly TopicMessages[]) => {
      runningMax = Math.max(runningMax, ++running);
      const values = batch.flatMap(({ messages }) => messages.map(({ value }) => String(value)));
      const done = Promise.withResolvers<void>();
      sends.push({ values, done });
      await done.promise.finally(() => running--);
    },
  });
  const append = (...values: string[]) =>
    appends.append(
      values.map((v) => record("k", v)),
      0,
    );
  return { appends, append, sends, runningMax: () => runningMax };
}

async function turns(): Promise<void> {
  for (let count = 0; count < 5; count++) await turn();
}

describe("kafka appends", () => {
  it("go out one send at a time, what waits meanwhile together and in order", async () => {
    const { append, sends, runningMax } = gatedAppends();
    const calls = [append("0"), append("1", "2")];
    await turns();
    calls.push(append("3"), append("4"));
    await turns();
    expect(sends.map(({ values }) => values)).toEqual([["0", "1", "2"]]);
    sends[0]!.done.resolve();
    await turns();
    expect(sends.map(({ values }) => values)).toEqual([
      ["0", "1", "2"],
      ["3", "4"],
    ]);
    sends[1]!.done.resolve();
    await Promise.all(calls);
    expect(runningMax()).toBe(1);
  });

  it("send nothing more of a call that failed, and go on with the next", async () => {
    const { append, sends, appends } = gatedAppends(64 * 1024 * 1024);
    const large = "v".repeat(3 * 1024 * 1024);
    const failing = codeOf(append(large, large, large));
    const next = append("next");
    await turns();
    sends[0]!.done.reject(new Error("refused"));
    await turns();
    expect(sends.map(({ values }) => values.length)).toEqual([1, 1]);
    expect(sends[1]!.values).toEqual(["next"]);
    sends[1]!.done.resolve();
    expect(await failing).toBe("Error: refused");
    await next;
    await appends.settled();
  });

  it("give their room back when they fail", async () => {
    const { append, sends } = gatedAppends(1_000);
    const first = codeOf(append("v".repeat(900)));
    expect(await codeOf(append("v".repeat(900)))).toBe("intake-full");
    await turns();
    sends[0]!.done.reject(new Error("refused"));
    expect(await first).toBe("Error: refused");
    await turns();
    const second = append("v".repeat(900));
    await turns();
    sends[1]!.done.resolve();
    await second;
  });

  it("wait for the brokers only so long, and send nothing else before they answer", async () => {
    const { append, sends } = gatedAppends(1_000, 20);
    const [first, second] = [append("0"), append("v".repeat(700))].map(codeOf);
    expect(await first).toBe("bus-unavailable");
    expect(await second).toBe("bus-unavailable");
    expect(await codeOf(append("v".repeat(700)))).toBe("intake-full");
    expect(sends.length).toBe(1);
    sends[0]!.done.resolve();
    await turns();
    const third = append("3");
    await turns();
    expect(sends[1]!.values).toEqual(["3"]);
    sends[1]!.done.resolve();
    await third;
  });

  it("refuse a record that no broker would take", async () => {
    const { append } = gatedAppends();
    const large = "v".repeat(16 * 1024 * 1024);
    expect(await codeOf(append("small", large))).toBe("body-too-large");
  });
});

/** Streams over a link and brokers that the test plays. */
function playedStreams(reach: Reach) {
  const calls: string[] = [];
  const troubles: BusTrouble[] = [];
  const brokers = { reach };
  const streams = new KafkaStreams({
    group: "g",
    topics: {
      topicOf: (name: string) => (name === "t.events" ? "events" : undefined),
      reach: async (_topic: Topic) => new Map([[0, brokers.reach]]),
    },
    onTrouble: (trouble) => void troubles.push(trouble),
    link: () => ({
      begin: (_place: Place, offset: Offset) => void calls.push(`begin ${offset}`),
      pause: () => void calls.push("pause"),
      resume: () => void calls.push("resume"),
    }),
    wake: () => undefined,
    moved: () => undefined,
  });
  const place = { topic: "t.events", partition: 0 };
  const stream = streams.add(place, "events", reach);
  const begin = (offset: Offset) => {
    stream.cursor.next = offset;
    stream.cursor.phase = "ready";
    streams.progressed();
  };
  const fetched = (from: Offset, offsets: Offset[], next = (offsets.at(-1) ?? from) + 1) => {
    const records = offsets.map((offset): FetchedRecord => {
      return { offset, key: null, value: Buffer.from("v".repeat(1_000)), timestamp: "0" };
    });
    return streams.fetched({ ...place, from, next, records });
  };
  const read = async (from: Offset) => {
    const records = await streams.read("events", 0, { from, max: 1_000 });
    return records.map(({ offset }) => offset);
  };
  return { streams, stream, calls, troubles, brokers, begin, fetched, read };
}

describe("kafka streams", () => {
  it("take what follows on, gaps of compaction included", async () => {
    const { begin, fetched, read, calls } = playedStreams({ first: 0, end: 20 });
    expect(fetched(0, [0])).toBe(false); // nobody has said where to begin
    begin(2);
    expect(fetched(2, [3, 4, 7])).toBe(true);
    expect(fetched(8, [], 11)).toBe(true); // nothing there but what holds no record
    expect(fetched(11, [11])).toBe(true);
    expect(await read(2)).toEqual([3, 4, 7, 11]);
    expect(await read(5)).toEqual([7, 11]);
    expect(calls).toEqual(["begin 2"]);
  });

  it("refuse what kafkajs read from another place, and ask for theirs again", async () => {
    const { begin, fetched, read, calls, troubles } = playedStreams({ first: 0, end: 20 });
    begin(2);
    expect(fetched(5, [5, 6])).toBe(false);
    expect(fetched(2, [2])).toBe(false); // not before it has been found
    await turns();
    expect(calls).toEqual(["begin 2", "pause", "begin 2"]);
    expect(fetched(2, [2])).toBe(true);
    expect(await read(0)).toEqual([2]);
    expect(troubles).toEqual([]);
  });

  it("say what retention has taken, and go on behind it", async () => {
    const { begin, fetched, read, calls, troubles, brokers } = playedStreams({ first: 0, end: 20 });
    begin(2);
    brokers.reach = { first: 9, end: 20 };
    expect(fetched(9, [9])).toBe(false);
    await turns();
    expect(calls.at(-1)).toBe("begin 9");
    expect(troubles.length).toBe(1);
    expect(troubles[0]!.lost).toBe(7);
    expect(String(troubles[0]!.error)).toContain("offset 2 but found 9 as the oldest one kept");
    expect(fetched(9, [9])).toBe(true);
    expect(await read(2)).toEqual([9]);
  });

  it("stand still when the log has become shorter than what was read", async () => {
    const { stream, streams, begin, fetched, read, brokers, calls } = playedStreams({
      ...{ first: 0, end: 20 },
    });
    begin(12);
    fetched(12, [12]);
    brokers.reach = { first: 0, end: 5 };
    expect(fetched(0, [0])).toBe(false);
    await turns();
    expect(await read(12)).toEqual([12]); // what was fetched before
    expect(streams.end("events", 0)).toBeGreaterThan(13);
    expect(await codeOf(read(13))).toBe("bus-corrupt");
    stream.cursor.next = 13;
    streams.progressed();
    expect(calls).toEqual(["begin 12", "pause"]);
  });

  it("stop fetching at their bound and go on below it", () => {
    const { stream, streams, begin, fetched, calls } = playedStreams({ first: 0, end: 9_999 });
    begin(0);
    let next = 0;
    while (calls.length < 2) {
      const offsets = Array.from({ length: 100 }, (_, index) => next + index);
      expect(fetched(next, offsets)).toBe(true);
      next += 100;
      expect(next).toBeLessThan(1_000);
    }
    expect(calls).toEqual(["begin 0", "pause"]);
    stream.cursor.next = 100;
    streams.progressed();
    expect(calls).toEqual(["begin 0", "pause"]);
    stream.cursor.next = next;
    streams.progressed();
    expect(calls).toEqual(["begin 0", "pause", "resume"]);
  });
});

describe("kafka client", () => {
  it("disconnects what it has made, at each close", async () => {
    const client = new KafkaClient({ brokers: ["broker.example:9092"], clientId: "test" });
    const ended: string[] = [];
    client.admin().on("admin.disconnect", () => void ended.push("admin"));
    const consumer = client.consumer({ groupId: "g" });
    consumer.on("consumer.disconnect", () => void ended.push("consumer"));
    const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    producer.on("producer.disconnect", () => void ended.push("producer"));
    await client.close();
    expect(ended.toSorted()).toEqual(["admin", "consumer", "producer"]);
    await client.close();
    expect(ended).toHaveLength(6);
  });

  it("closes all the same when one of them cannot be disconnected", async () => {
    const client = new KafkaClient({ brokers: ["broker.example:9092"], clientId: "test" });
    client.admin().disconnect = () => Promise.reject(new Error("no"));
    await expect(client.close()).resolves.toBeUndefined();
  });

  it("keeps kafkajs from arming a timer where nothing waits", () => {
    new KafkaClient({ brokers: ["broker.example:9092"], clientId: "test" });
    const load = createRequire(import.meta.url);
    const RequestQueue = load("kafkajs/src/network/requestQueue/index.js");
    const queue = new RequestQueue({ requestTimeout: 1_000, logger: { debug: () => undefined } });
    queue.checkPendingRequests();
    expect(queue.throttleCheckTimeoutId).toBeNull();
    queue.maybeThrottle(5_000);
    queue.checkPendingRequests();
    expect(queue.throttleCheckTimeoutId).not.toBeNull();
    queue.destroy();
  });
});
