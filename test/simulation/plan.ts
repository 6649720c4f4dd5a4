/**
 * @module What happens in the world of one seed, and which pages must come of it. The oracle is
 * written down while the attacks are; nothing of pipewarden's own decides it.
 */

import { type EpochMs, secondMs } from "../../src/clock.ts";
import type { DemoRunner } from "../../src/demo/feeds.ts";
import type { DemoRequest } from "../../src/demo/runtime.ts";
import { type Random, randomOf } from "./random.ts";
import { cacheHost } from "./rules.ts";
import {
  alertOn,
  asForkRun,
  buildSendings,
  jobBefore,
  requests,
  type Sending,
  type SimJob,
  sending,
  type World,
  worldOf,
} from "./world.ts";

/** One page that must come: exactly one, and for no other reason. */
export interface OracleIncident {
  /** What it is about, for people. */
  readonly name: string;
  /** The run whose incident it is; absent for a machine on which no job ran. */
  readonly runId?: string;
  /** Runs that share the incident: it may name any of them as its own. */
  readonly others: readonly string[];
  /** Words of its evidence, one for each attack. A page of it shows at least one of them. */
  readonly tokens: readonly string[];
  /** Rules of which it must have an alert. */
  readonly rules: readonly string[];
  /** Other runs that it must reach, through what they saved. */
  readonly origins: readonly string[];
}

export interface Plan {
  readonly seed: number;
  readonly world: World;
  /** In order of what happened. */
  readonly sendings: readonly Sending[];
  readonly oracle: readonly OracleIncident[];
  /** Words of near misses: no page may show one. */
  readonly harmless: readonly string[];
  /** Paths of requests that are one alert each, with a count of one. */
  readonly markers: readonly string[];
}

interface Draft {
  readonly random: Random;
  readonly world: World;
  readonly sendings: Sending[];
  readonly oracle: Map<string, OracleIncident>;
  readonly harmless: string[];
  readonly markers: string[];
  tokens: number;
}

export function planOf(seed: number): Plan {
  const random = randomOf(seed, "plan");
  const drawn = worldOf(random);
  const draft: Draft = {
    ...{ random, sendings: [], oracle: new Map(), harmless: [], markers: [], tokens: 0 },
    world: drawn,
  };
  const free = random.shuffled(drawn.jobs);
  const forks = new Set<SimJob>();
  const attacks = random.between(0, 5);
  for (let count = 0; count < attacks; count += 1) attack(draft, free, forks);
  for (const job of free) if (random.chance(0.7)) random.pick(nearMisses)(draft, job);
  if (random.chance(0.5)) packageCron(draft);
  draft.sendings.push(...jobBefore(random));
  for (const job of drawn.jobs) {
    const told = forks.has(job) ? asForkRun(job) : job;
    draft.sendings.push(...buildSendings(told, drawn.lateness, random), ...quietWork(draft, job));
  }
  if (random.chance(0.4)) draft.sendings.push(unreadable(draft));
  const sendings = draft.sendings.sort((a, b) => a.post.at - b.post.at);
  const { harmless, markers } = draft;
  return { seed, world: drawn, sendings, oracle: [...draft.oracle.values()], harmless, markers };
}

function token(draft: Draft): string {
  draft.tokens += 1;
  return `zq${String(draft.tokens).padStart(2, "0")}x`;
}

/** A moment well inside the job, with room after it. */
function inside({ random }: Draft, job: SimJob, roomMs = 0): EpochMs {
  const from = job.startedAt + 70 * secondMs;
  const latest = Math.max(from, job.completedAt - 60 * secondMs - roomMs);
  return from + random.below(Math.floor((latest - from) / secondMs) + 1) * secondMs;
}

const outside = ["203.0.113.77", "198.51.100.9", "192.0.2.66"];

type RunAttack = (draft: Draft, job: SimJob, word: string) => string;

/** Attacks inside one run; each answers the rule that pages for it. */
const runAttacks = {
  exfil: (draft, job, word) => {
    const address = draft.random.pick(outside);
    const at = inside(draft, job, 60 * secondMs);
    const count = draft.random.between(1, 3);
    const posts = Array.from({ length: count }, (_, index): DemoRequest => {
      const url = `http://${address}/${word}/${index}`;
      return { at: at + index * 7 * secondMs, method: "POST", url, address, bytesOut: 3_981 };
    });
    // As the proxy flushes its log: all at once, or line by line.
    if (draft.random.chance(0.5)) draft.sendings.push(requests(job, posts));
    else draft.sendings.push(...posts.map((post) => requests(job, [post])));
    return "exfil-post";
  },
  shell: (draft, job, word) => {
    const parts = { rule: "Terminal shell on runner", name: "bash", commandLine: `bash ${word}` };
    draft.sendings.push(alertOn(job, { at: inside(draft, job), ...parts }));
    return "shell";
  },
  pair: (draft, job, word) => {
    const apartMs = draft.random.between(5, 110) * secondMs;
    const at = inside(draft, job, apartMs);
    const times = draft.random.chance(0.7) ? [at, at + apartMs] : [at + apartMs, at];
    const [readAt = at, postAt = at] = times;
    draft.sendings.push(environmentRead(job, readAt, word), dropPost(job, postAt, word));
    return "read-and-drop";
  },
  refused: (draft, job, word) => {
    const at = inside(draft, job, 110 * secondMs);
    for (const [index, offset] of [0, 40, 95].entries()) {
      draft.sendings.push(refused(job, at + offset * secondMs, `${word}-${index}`));
    }
    return "many-refused";
  },
  hosts: (draft, job, word) => {
    const at = inside(draft, job, 110 * secondMs);
    const names = ["a", "b", "a", "c"].map((name) => `${name}-${word}`);
    draft.sendings.push(...names.map((name, index) => farGet(job, at + index * 25_000, name)));
    return "many-far-hosts";
  },
} as const satisfies Record<string, RunAttack>;

type RunAttackName = keyof typeof runAttacks;
const runAttackNames = Object.keys(runAttacks) as RunAttackName[];

function attack(draft: Draft, free: SimJob[], forks: Set<SimJob>): void {
  const { random, world } = draft;
  const kind = random.pick([...runAttackNames, "cache", "idle", "again"] as const);
  if (kind === "idle") {
    idleCron(draft);
    return;
  }
  if (kind === "cache" && cacheChain(draft, free, forks)) return;
  const known = [...draft.oracle.values()].filter(({ runId }) => runId !== undefined);
  const name = random.pick(runAttackNames);
  // Told too late, two places of one run are two incidents until the build is known.
  if (kind === "again" && known.length > 0 && world.lateness !== "beyond") {
    const { runId } = random.pick(known);
    const job = world.jobs.find((one) => String(one.runId) === runId);
    if (job !== undefined) {
      attackRun(draft, job, name);
      return;
    }
  }
  const job = free.shift();
  if (job === undefined) return;
  attackRun(draft, job, kind in runAttacks ? (kind as RunAttackName) : name);
}

function attackRun(draft: Draft, job: SimJob, name: RunAttackName): void {
  const word = token(draft);
  const rule = runAttacks[name](draft, job, word);
  const runId = String(job.runId);
  expectPage(draft, `run ${runId} on ${job.runner.name}`, { runId, word, rule });
}

function expectPage(
  draft: Draft,
  name: string,
  how: {
    readonly word: string;
    readonly rule: string;
    readonly runId?: string;
    readonly origin?: string;
    readonly other?: string;
  },
): void {
  const known = draft.oracle.get(name);
  const { word, rule, runId, origin, other } = how;
  draft.oracle.set(name, {
    name,
    ...(runId === undefined ? {} : { runId }),
    tokens: [...(known?.tokens ?? []), word],
    rules: [...new Set([...(known?.rules ?? []), rule])],
    origins: [...(known?.origins ?? []), ...(origin === undefined ? [] : [origin])],
    others: [...(known?.others ?? []), ...(other === undefined ? [] : [other])],
  });
}

/** On a machine without a job: nobody's run, so the place is the incident. */
function idleCron(draft: Draft): void {
  const { random, world } = draft;
  const runner = random.pick(world.idle);
  const word = token(draft);
  const at = world.jobs[0]?.startedAt ?? 0;
  const on = { runner, ephemeral: false };
  draft.sendings.push(cronWrite(on, at + random.between(0, 1_200) * secondMs, word, "sh"));
  expectPage(draft, `machine ${runner.name}`, { word, rule: "cron-write" });
}

/**
 * A fork's run saves a cache entry; a trusted run, or two, restore it and then post what they should
 * not. All of it is one incident.
 */
function cacheChain(draft: Draft, free: SimJob[], forks: Set<SimJob>): boolean {
  const { random, world } = draft;
  const savedAt = (job: SimJob) => job.startedAt + 120 * secondMs;
  for (const saver of free) {
    if (!saver.ephemeral) continue;
    const able = free.filter((job) => {
      return job !== saver && job.completedAt - savedAt(saver) > 240 * secondMs;
    });
    // Told too late, the runs are two incidents until their builds are known.
    const count = world.lateness !== "beyond" && random.chance(0.5) ? 2 : 1;
    const [victim, second] = able.slice(0, count);
    if (victim === undefined) continue;
    for (const job of [saver, victim, second]) {
      if (job !== undefined) free.splice(free.indexOf(job), 1);
    }
    forks.add(saver);
    const path = token(draft);
    const url = `http://${cacheHost}/shared/${path}.tar.zst`;
    const put = { at: savedAt(saver), method: "PUT", url, status: 201, bytesOut: 61_880_402 };
    draft.sendings.push(requests(saver, [put]));
    const runId = String(victim.runId);
    const name = `run ${runId} on ${victim.runner.name}`;
    const how = { rule: "exfil-post", runId };
    const first = restoreAndPost(draft, victim, put);
    expectPage(draft, name, { ...how, word: first, origin: String(saver.runId) });
    if (second === undefined) return true;
    const word = restoreAndPost(draft, second, put);
    expectPage(draft, name, { ...how, word, other: String(second.runId) });
    return true;
  }
  return false;
}

function restoreAndPost(
  draft: Draft,
  victim: SimJob,
  { at, url }: { readonly at: EpochMs; readonly url: string },
): string {
  const word = token(draft);
  const restoredAt = Math.max(victim.startedAt + 70 * secondMs, at + 60 * secondMs);
  const postAt = restoredAt + draft.random.between(50, 90) * secondMs;
  const [address = ""] = outside;
  const post = `http://${address}/${word}/c`;
  draft.sendings.push(
    requests(victim, [{ at: restoredAt, method: "GET", url, bytesIn: 61_880_402 }]),
    requests(victim, [{ at: postAt, method: "POST", url: post, address }]),
  );
  return word;
}

type NearMiss = (draft: Draft, job: SimJob) => void;

/** Each does almost what an attack does, in a run in which nothing may page. */
const nearMisses: readonly NearMiss[] = [
  function insidePost(draft, job) {
    const url = `http://10.20.9.4/${harmless(draft)}`;
    draft.sendings.push(requests(job, [{ at: inside(draft, job), method: "POST", url }]));
  },
  function readAlone(draft, job) {
    draft.sendings.push(environmentRead(job, inside(draft, job), harmless(draft)));
  },
  function farApart(draft, job) {
    const word = harmless(draft);
    const at = inside(draft, job, 200 * secondMs);
    draft.sendings.push(
      environmentRead(job, at, word),
      dropPost(job, at + 150 * secondMs, harmless(draft)),
    );
  },
  function twoRefused(draft, job) {
    const at = inside(draft, job, 200 * secondMs);
    for (const offset of [0, 20, 170]) {
      draft.sendings.push(refused(job, at + offset * secondMs, `${harmless(draft)}-0`));
    }
  },
  function twoHosts(draft, job) {
    const word = harmless(draft);
    const at = inside(draft, job, 100 * secondMs);
    ["a", "b", "a", "a", "b"].forEach((name, index) => {
      draft.sendings.push(farGet(job, at + index * 15_000, `${name}-${word}`));
    });
  },
  function ownCache(draft, job) {
    const url = `http://${cacheHost}/own/${harmless(draft)}.tar.zst`;
    const at = inside(draft, job, 30 * secondMs);
    draft.sendings.push(
      requests(job, [
        { at, method: "PUT", url, status: 201 },
        { at: at + 20 * secondMs, method: "GET", url },
      ]),
    );
  },
];

function harmless(draft: Draft): string {
  const word = token(draft);
  draft.harmless.push(word);
  return word;
}

function packageCron(draft: Draft): void {
  const on = { runner: draft.random.pick(draft.world.idle), ephemeral: false };
  const at = (draft.world.jobs[0]?.startedAt ?? 0) + draft.random.between(0, 600) * secondMs;
  draft.sendings.push(cronWrite(on, at, harmless(draft), "dpkg"));
}

function quietWork(draft: Draft, job: SimJob): Sending[] {
  const { random } = draft;
  const marker = `/m/${job.runNumber}-${draft.markers.length}`;
  draft.markers.push(marker);
  const upload = "http://coverage.corp.example/upload";
  return [
    requests(job, [
      { at: job.startedAt + 20_000, method: "CONNECT", url: "api.github.com:443" },
      { at: job.startedAt + 40_000, method: "GET", url: `http://mirror.corp.example${marker}` },
    ]),
    requests(job, [{ at: inside(draft, job), method: "POST", url: upload, bytesOut: 18_244 }]),
    ...(random.chance(0.5)
      ? [
          alertOn(job, {
            at: inside(draft, job),
            ...{ rule: "Run shell untrusted", name: "sh" },
            commandLine: "sh -c make",
          }),
        ]
      : []),
  ];
}

function unreadable(draft: Draft): Sending {
  const at = inside(draft, draft.world.jobs[0] as SimJob);
  const headers = { "content-type": "application/json" };
  return sending({ at, door: "/v1/falco", headers, body: `{"garbage":${at}}`, records: 1 });
}

function environmentRead(job: SimJob, at: EpochMs, word: string): Sending {
  const parts = { rule: "Read environment", name: "python3", commandLine: `python3 ${word}` };
  return alertOn(job, { at, ...parts, path: "/proc/2114/environ" });
}

function cronWrite(
  on: { readonly runner: DemoRunner; readonly ephemeral: boolean },
  at: EpochMs,
  ...[word, name]: readonly [string, string]
): Sending {
  const parts = { rule: "Schedule Cron Jobs", name, commandLine: `${name} -c ${word}` };
  return alertOn(on, { at, ...parts, path: "/etc/cron.d/job" });
}

function dropPost(job: SimJob, at: EpochMs, word: string): Sending {
  return requests(job, [{ at, method: "POST", url: `http://${word}.drop.example/u` }]);
}

function farGet(job: SimJob, at: EpochMs, name: string): Sending {
  return requests(job, [{ at, method: "GET", url: `http://${name}.far.example/` }]);
}

function refused(job: SimJob, at: EpochMs, name: string): Sending {
  const url = `${name}.refused.example:443`;
  const { post, ...rest } = requests(job, [{ at, method: "CONNECT", url, status: 403 }]);
  const body = post.body.replace("TCP_TUNNEL:HIER_DIRECT", "TCP_DENIED:HIER_NONE");
  return { ...rest, post: { ...post, body } };
}
