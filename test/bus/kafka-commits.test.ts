import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KafkaCommits } from "../../src/bus/kafka-commits.ts";

const place = { topic: "pipewarden.events", partition: 1 };

type Position = typeof place & { readonly offset: number };

/** A link whose commits are answered by hand. */
function byHand() {
  const told: number[][] = [];
  const answers: PromiseWithResolvers<void>[] = [];
  const link = {
    commit: (positions: readonly Position[]) => {
      told.push(positions.map(({ offset }) => offset));
      const answer = Promise.withResolvers<void>();
      answers.push(answer);
      return answer.promise;
    },
  };
  return { told, answers, commits: new KafkaCommits(() => link) };
}

const turn = () => vi.advanceTimersByTimeAsync(0);

describe("positions told to the brokers", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("are told again after a failure, though nothing else comes", async () => {
    const { told, answers, commits } = byHand();
    commits.add(place, 7);
    await turn();
    answers[0]?.reject(new Error("the coordinator is loading"));
    await turn();
    expect(told).toEqual([[7]]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(told).toEqual([[7], [7]]);
    answers[1]?.resolve();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told).toHaveLength(2);
  });

  it("give way to newer ones", async () => {
    const { told, answers, commits } = byHand();
    commits.add(place, 7);
    await turn();
    commits.add(place, 9);
    answers[0]?.reject(new Error("busy"));
    await turn();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(told).toEqual([[7], [9]]);
  });

  it("are not told any more once the partition is given up", async () => {
    const { told, answers, commits } = byHand();
    commits.add(place, 7);
    await turn();
    commits.forget();
    answers[0]?.reject(new Error("another generation"));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told).toEqual([[7]]);
    // Of the next generation, with a position of its own.
    commits.add(place, 3);
    await turn();
    expect(told).toEqual([[7], [3]]);
  });

  it("keep nobody from stopping", async () => {
    const { told, answers, commits } = byHand();
    commits.add(place, 7);
    await turn();
    answers[0]?.reject(new Error("gone"));
    await commits.settled();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told).toEqual([[7]]);
  });
});
