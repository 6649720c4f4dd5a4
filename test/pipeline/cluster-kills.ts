/**
 * @module A cluster of services under load, its processes and its broker killed again and again,
 * and what is left of it afterwards.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { seeded } from "../../src/demo/company.ts";
import type { KafkaService } from "../services/kafka.ts";
import type { Cluster, ClusterProcess } from "./cluster.ts";
import type { ClusterLoadReport, ClusterLoadSettings, ClusterLoadWord } from "./cluster-load.ts";
import type { ClusterWatch } from "./cluster-watch.ts";

export interface Strike {
  /** Seconds since the first. */
  readonly at: number;
  readonly target: string;
  /** Seconds until it served again; absent when it was killed once more before that. */
  downFor?: number;
}

export interface StrikeSettings {
  readonly cluster: Cluster;
  readonly kafka: KafkaService;
  readonly seed: number;
  readonly kills: number;
  /** Between two kills, at least and at most. */
  readonly gapMs: readonly [number, number];
}

/** Restarts what was killed at once, and again should it end by itself, as a supervisor would. */
class Supervisor {
  readonly #lives = new Map<ClusterProcess, number>();
  readonly #starting = new Set<Promise<void>>();

  /** SIGKILL. The new life begins at once; it may be killed before it is ready. */
  async kill(process: ClusterProcess, ready: () => void): Promise<void> {
    const life = (this.#lives.get(process) ?? 0) + 1;
    this.#lives.set(process, life);
    await process.kill();
    const started = this.#start(process, life).then((isReady) => {
      if (isReady) ready();
    });
    const starting = started.finally(() => this.#starting.delete(starting));
    this.#starting.add(starting);
  }

  /** Resolves when everything runs again. */
  async settled(): Promise<void> {
    while (this.#starting.size > 0) await Promise.all(this.#starting);
  }

  /** Answers whether it was this life that became ready. */
  async #start(process: ClusterProcess, life: number): Promise<boolean> {
    while (this.#lives.get(process) === life) {
      try {
        await process.start();
        return this.#lives.get(process) === life;
      } catch {
        // Without a broker it ends; and one that was killed again belongs to a later life.
        if (this.#lives.get(process) === life) await process.kill();
        await pause(200);
      }
    }
    return false;
  }
}

/** Kills whatever the seed says, one after the other; resolves when all of it runs again. */
export async function strike(settings: StrikeSettings, trace: Strike[]): Promise<void> {
  const { cluster, kafka, kills, gapMs } = settings;
  const [least, most] = gapMs;
  const next = seeded(settings.seed);
  const supervisor = new Supervisor();
  const begun = Date.now();
  let brokerBack: Promise<void> = Promise.resolve();
  for (const target of targets(cluster, kills, next)) {
    await pause(least + next(most - least));
    const at = (Date.now() - begun) / 1_000;
    const struck: Strike = { at, target: target === "kafka" ? target : target.name };
    trace.push(struck);
    const ready = () => {
      struck.downFor = (Date.now() - begun) / 1_000 - at;
    };
    if (target !== "kafka") {
      await supervisor.kill(target, ready);
      continue;
    }
    // The others are struck on while the broker is away: what they hold then is only theirs.
    await brokerBack;
    await kafka.kill();
    brokerBack = kafka.start().then(ready);
    brokerBack.catch(() => undefined);
  }
  await brokerBack;
  await supervisor.settled();
}

/** As many kills of each as of any other, give or take one, in the order of the seed. */
function targets(
  { processes }: Cluster,
  kills: number,
  next: (limit: number) => number,
): readonly (ClusterProcess | "kafka")[] {
  const all = [...processes, "kafka" as const];
  const drawn = Array.from({ length: kills }, (_, index) => all[index % all.length] ?? "kafka");
  for (let at = drawn.length - 1; at > 0; at -= 1) {
    // The low bits of this generator repeat soon.
    const other = Math.floor(next(65_536 * (at + 1)) / 65_536);
    [drawn[at], drawn[other]] = [drawn[other] ?? "kafka", drawn[at] ?? "kafka"];
  }
  return drawn;
}

/** The load in its process. */
export interface RunningLoad {
  /** No more is offered; resolves when everything offered is acknowledged. */
  stop(): Promise<ClusterLoadReport>;
  /** Ends it, whatever it does. */
  kill(): void;
}

/** Resolves when its jobs are known and it sends. */
export async function startLoad(settings: ClusterLoadSettings): Promise<RunningLoad> {
  const load = fork(new URL("./cluster-load.ts", import.meta.url), [JSON.stringify(settings)], {
    execArgv: [],
  });
  const done = heard(load, "done");
  done.catch(() => undefined);
  await heard(load, "ready");
  load.send("go");
  return {
    stop: async () => {
      load.send("stop");
      const { report } = await done;
      return report;
    },
    kill: () => void load.kill("SIGKILL"),
  };
}

async function heard<K extends ClusterLoadWord["kind"]>(
  load: ChildProcess,
  kind: K,
): Promise<ClusterLoadWord & { kind: K }> {
  const ended = new AbortController();
  const gone = once(load, "exit", { signal: ended.signal }).then(([code]) => {
    throw new Error(`the load ended with ${code}`);
  });
  const word = new Promise<ClusterLoadWord & { kind: K }>((resolve) => {
    load.on("message", (told) => {
      const said = told as ClusterLoadWord;
      if (said.kind === kind) resolve(said as ClusterLoadWord & { kind: K });
    });
  });
  try {
    return await Promise.race([word, gone]);
  } finally {
    gone.catch(() => undefined);
    ended.abort();
  }
}

/**
 * Waits until all stages have applied all that is on the bus, each process that has a part of it
 * included; throws with what is left when that takes longer than `withinMs`.
 */
export async function caughtUp(
  cluster: Cluster,
  watch: ClusterWatch,
  withinMs: number,
): Promise<void> {
  const until = Date.now() + withinMs;
  for (let calm = 0; calm < 3; ) {
    const left = [...(await watch.behind()), ...(await ownBacklogs(cluster))];
    calm = left.every(([, count]) => count === 0) ? calm + 1 : 0;
    if (Date.now() > until) throw new Error(`not caught up: ${JSON.stringify(left)}`);
    await pause(500);
  }
}

/** What each process says that it has yet to apply. */
async function ownBacklogs({ processes }: Cluster): Promise<[string, number][]> {
  const told = processes.map(async ({ name, url }): Promise<[string, number][]> => {
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok !== true) return [[name, Number.NaN]];
    const { backlog } = (await answer.json()) as { backlog: Readonly<Record<string, number>> };
    return Object.entries(backlog).map(([stage, count]) => [`${name} ${stage}`, count]);
  });
  return (await Promise.all(told)).flat();
}

/** Resident memory of each process, in MB. */
export async function memoryOf({ processes }: Cluster): Promise<string> {
  const told = processes.map(async ({ name, url }) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const bytes = /^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1];
    return `${name} ${(Number(bytes) / 1e6).toFixed(0)}`;
  });
  return (await Promise.all(told)).join(", ");
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}
