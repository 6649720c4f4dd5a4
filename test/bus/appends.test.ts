import { beforeEach, describe, expect, it } from "vitest";
import type { NewRecord } from "../../src/bus/bus.ts";
import { AppendQueue } from "../../src/bus/embedded-appends.ts";
import { readFrames } from "../../src/bus/frame.ts";
import { codeOf, record, text, turn } from "../contract/bus.ts";

interface Commit {
  readonly values: string[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

describe("group commit", () => {
  const backlogMax = 6 * 1024 * 1024;
  let commits: Commit[];
  let queue: AppendQueue;

  beforeEach(() => {
    commits = [];
    queue = new AppendQueue({
      path: "bus.db",
      partitions: 2,
      backlogMax,
      commit: (chunks) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const records = chunks.flatMap((chunk) => readFrames(chunk, 2));
        commits.push({ values: records.map(({ value }) => text(value)), resolve, reject });
        return promise;
      },
    });
  });

  function append(...values: string[]): Promise<void> {
    const records = values.map((value) => record("k", value));
    return queue.append(records, 1_000);
  }

  it("puts what one turn brings into one commit, what comes meanwhile into the next", async () => {
    const first = [append("0"), append("1", "2")];
    await turn();
    expect(commits.map(({ values }) => values)).toEqual([["0", "1", "2"]]);
    const second = append("3");
    await turn();
    const third = [append("4"), append("5")];
    await turn();
    // Two are on their way; the rest waits for one of them.
    expect(commits.map(({ values }) => values)).toEqual([["0", "1", "2"], ["3"]]);
    commits[0]!.resolve();
    await Promise.all(first);
    await turn();
    expect(commits.map(({ values }) => values)).toEqual([["0", "1", "2"], ["3"], ["4", "5"]]);
    for (const { resolve } of commits) resolve();
    await Promise.all([second, ...third]);
  });

  it("rejects the calls of a commit that failed, and only those", async () => {
    const lost = [append("0"), append("1")];
    await turn();
    const kept = append("2");
    await turn();
    commits[0]!.reject(new Error("disk"));
    commits[1]!.resolve();
    expect(await Promise.all(lost.map(codeOf))).toEqual(["Error: disk", "Error: disk"]);
    await kept;
    const later = append("3");
    await turn();
    commits[2]!.resolve();
    await later;
  });

  it("never splits a call over two commits, nor lets a commit grow without end", async () => {
    const value = "v".repeat(1024 * 1024);
    const calls = [append(value, value, value), append(value, value), append("small")];
    await turn();
    expect(commits.map(({ values }) => values.length)).toEqual([3, 3]);
    for (const { resolve } of commits) resolve();
    await Promise.all(calls);
  });

  it("refuses at its bound until a commit is done", async () => {
    const value = "v".repeat(1024 * 1024);
    const taken = append(value, value, value, value, value);
    expect(await codeOf(append(value))).toBe("intake-full");
    expect(await codeOf(append())).toBe("resolved");
    await turn();
    expect(await codeOf(append(value))).toBe("intake-full");
    commits[0]!.resolve();
    await taken;
    await turn();
    const after = append(value);
    await turn();
    commits[1]!.resolve();
    await after;
    expect(commits.map(({ values }) => values.length)).toEqual([5, 1]);
  });

  it("takes a call larger than the bound alone, and no record beyond the limit", async () => {
    const large = append("v".repeat(backlogMax), "w");
    expect(await codeOf(append("x"))).toBe("intake-full");
    await turn();
    commits[0]!.resolve();
    await large;
    await turn();
    const beyond: NewRecord = { topic: "events", key: "k", value: new Uint8Array(65 * 1024 ** 2) };
    expect(await codeOf(queue.append([beyond], 1_000))).toBe("body-too-large");
  });

  it("is settled when all that was accepted is committed or failed", async () => {
    await queue.settled();
    const calls = [append("0"), append("1")];
    let settled = false;
    const settling = queue.settled().then(() => {
      settled = true;
    });
    await turn();
    await turn();
    expect(settled).toBe(false);
    commits[0]!.reject(new Error("disk"));
    await settling;
    expect(await Promise.all(calls.map(codeOf))).toEqual(["Error: disk", "Error: disk"]);
  });
});
