// The feeds of a cluster under fire, a process of its own: events at a steady rate, each with a
// number of its own, and now and then an attack that must page. Whatever is not answered 2xx is
// sent again, so that at the end it knows what was acknowledged: all of it.

import { type EpochMs, secondMs } from "../../src/clock.ts";
import { jobPosts } from "../../src/demo/company.ts";
import type { DemoJob, DemoRunner, Post } from "../../src/demo/feeds.ts";
import { falco, squid } from "../../src/demo/runtime.ts";
import { Sender } from "../bench/e2e-sender.ts";
import { githubSigned } from "../collector/signed.ts";

export interface ClusterLoadSettings {
  readonly port: number;
  /** Events a second. */
  readonly rate: number;
  /** Between two attacks. */
  readonly attackMs: number;
  readonly webhookSecret: string;
}

/** "alone": one request that pages. "pair": two matches of two feeds that a correlation joins. */
export interface Attack {
  readonly runId: number;
  readonly kind: "alone" | "pair";
  readonly ackedAt: EpochMs;
}

export interface ClusterLoadReport {
  /** Numbers 0 to this, without it, were sent and acknowledged. */
  readonly events: number;
  readonly begunAt: EpochMs;
  /** From then to the last acknowledged batch. */
  readonly seconds: number;
  /** Time during which nothing new was offered, because too much was still unanswered. */
  readonly heldBackSeconds: number;
  /** Answers other than 2xx, by status; 0 for a broken connection. */
  readonly refused: Readonly<Record<string, number>>;
  readonly attacks: readonly Attack[];
}

/** Told by the load. */
export type ClusterLoadWord =
  | { readonly kind: "ready" }
  | { readonly kind: "done"; readonly report: ClusterLoadReport };

export const attacksMax = 200;
const machines = 40;
const perPost = 50;
const connections = 48;
const unansweredMax = 200;
const retryMsMin = 100;
const retryMsMax = 1_000;
const tickMs = 5;

function machine(index: number): DemoRunner {
  const address = `10.60.${Math.floor(index / 250)}.${1 + (index % 250)}`;
  return { name: `pool-${String(index).padStart(4, "0")}`, id: 5_000 + index, address };
}

/** The inventory that the service must be given. */
export function machinesOfLoad(): object[] {
  return Array.from({ length: machines + attacksMax }, (_, index) => {
    const { name, address } = machine(index);
    return { name, hosts: [name], addresses: [address] };
  });
}

/** What stands in each event of number `number`, and nowhere else. */
export const marker = "pw-seq-";

function jobOf(index: number, startedAt: EpochMs): DemoJob {
  return {
    ...{ repository: `acme/repo-${index}`, workflow: "ci", job: "test", runId: 8_100_000 + index },
    ...{ workflowFile: ".github/workflows/ci.yml", runNumber: 7, trigger: "push", branch: "main" },
    ...{ actor: "dana-o", runner: machine(index), startedAt, secrets: ["DEPLOY_TOKEN"] },
    steps: ["Set up job", "Checkout", "Test"],
  };
}

class Load {
  readonly #settings: ClusterLoadSettings;
  readonly #sender: Sender;
  readonly #pending = new Set<Promise<void>>();
  readonly #refused: Record<string, number> = {};
  readonly #attacks: Attack[] = [];
  #events = 0;
  #begun = 0;
  #lastAckAt = 0;
  #heldBackMs = 0;
  #stopped = false;

  constructor(settings: ClusterLoadSettings) {
    this.#settings = settings;
    this.#sender = new Sender(settings.port, connections);
  }

  /** Makes the jobs known that all ordinary events belong to. */
  async setUp(): Promise<void> {
    const startedAt = Date.now() - 60 * secondMs;
    for (let index = 0; index < machines; index += 1) await this.#announce(index, startedAt);
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<ClusterLoadReport> {
    const { rate, attackMs } = this.#settings;
    this.#begun = Date.now();
    let last = this.#begun;
    let due = 0;
    for (let attacks = 0; !this.#stopped; ) {
      const now = Date.now();
      const room = this.#pending.size < unansweredMax;
      // What could not be offered in time is not made up for: a feed sheds load, too.
      if (room) due += ((now - last) * rate) / secondMs;
      else this.#heldBackMs += now - last;
      last = now;
      for (; due >= perPost; due -= perPost) this.#follow(this.#batch(now));
      if (attacks < attacksMax && now - this.#begun >= attacks * attackMs) {
        this.#follow(this.#attack(attacks++));
      }
      await pause(tickMs);
    }
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    this.#sender.close();
    return {
      events: this.#events,
      begunAt: this.#begun,
      seconds: (this.#lastAckAt - this.#begun) / secondMs,
      heldBackSeconds: this.#heldBackMs / secondMs,
      refused: this.#refused,
      attacks: this.#attacks,
    };
  }

  #follow(work: Promise<void>): void {
    const followed = work.finally(() => this.#pending.delete(followed));
    this.#pending.add(followed);
  }

  /** Half of runtime, half of egress events. */
  async #batch(now: EpochMs): Promise<void> {
    const first = this.#events;
    this.#events += perPost;
    const runtime = (first / perPost) % 2 === 0;
    const lines = Array.from({ length: perPost }, (_, index) => {
      const number = first + index;
      const { name, address } = machine(number % machines);
      return runtime ? started(now, name, number) : fetched(now, address, number);
    });
    const door = runtime ? "/v1/falco" : "/v1/egress";
    await this.#deliver(door, jsonLines, lines.join("\n"));
    this.#lastAckAt = Date.now();
  }

  /** A job nobody has heard of before begins, and seconds later it is robbed. */
  async #attack(index: number): Promise<void> {
    const startedAt = Date.now();
    const job = jobOf(machines + index, startedAt);
    const { runId, runner } = job;
    await this.#announce(machines + index, startedAt);
    await pause(2 * secondMs);
    const kind = index % 2 === 0 ? "alone" : "pair";
    if (kind === "pair") {
      await this.#post(environmentRead(Date.now(), runner));
      // A request began before its line was written, and the rule wants the two in this order.
      await pause(secondMs);
    }
    await this.#post(stolen(Date.now(), runner, kind));
    this.#attacks.push({ runId, kind, ackedAt: Date.now() });
  }

  async #announce(index: number, startedAt: EpochMs): Promise<void> {
    for (const post of jobPosts(jobOf(index, startedAt))) await this.#post(post);
  }

  #post({ door, headers, body }: Post): Promise<void> {
    const signature =
      door === "/v1/github/webhook" ? githubSigned(body, this.#settings.webhookSecret) : {};
    return this.#deliver(door, { ...headers, ...signature }, body);
  }

  async #deliver(door: string, headers: object, body: string): Promise<void> {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `POST ${door} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines.join("")}`;
    const length = `content-length: ${Buffer.byteLength(body)}\r\n\r\n`;
    const request = Buffer.from(`${head}${length}${body}`);
    for (let retryMs = retryMsMin; ; retryMs = Math.min(retryMsMax, 2 * retryMs)) {
      const { status } = (await this.#sender.send(request)) ?? { status: 0 };
      if (status >= 200 && status < 300) return;
      this.#refused[status] = (this.#refused[status] ?? 0) + 1;
      if (status !== 0 && status < 500 && status !== 429) {
        throw new Error(`${door} answered ${status}`);
      }
      await pause(retryMs);
    }
  }
}

const jsonLines = { "content-type": "application/x-ndjson" };

function started(at: EpochMs, host: string, number: number): string {
  return falco({
    ...{ at, host, rule: "CI process started", priority: "Notice", tags: ["ci", "process"] },
    text: `Process started | seq=${number}`,
    fields: {
      ...{ "evt.type": "execve", "proc.name": "node", "proc.exepath": "/usr/local/bin/node" },
      "proc.cmdline": `node build.js --seq=${marker}${number}.`,
      ...{ "proc.pname": "bash", "proc.aname[2]": "Runner.Worker", "user.name": "runner" },
      ...{ "container.id": "host", "k8s.pod.name": null, "k8s.ns.name": null },
    },
  }).body;
}

function fetched(at: EpochMs, address: string, number: number): string {
  const url = `http://docs.corp.example/${marker}${number}.html`;
  return squid(address, [{ at, method: "GET", url }]).body;
}

function environmentRead(at: EpochMs, { name }: DemoRunner): Post {
  return falco({
    at,
    host: name,
    rule: "Read environment variable from /proc files",
    priority: "Warning",
    tags: ["host", "mitre_credential_access", "process", "T1083"],
    text: "Environment variables were retrieved from /proc files | file=/proc/2114/environ",
    fields: {
      ...{ "proc.name": "python3", "proc.cmdline": "python3 -m pytest tests" },
      ...{ "proc.exepath": "/usr/bin/python3.12", "proc.pname": "bash" },
      ...{ "proc.aname[2]": "Runner.Worker", "fd.name": "/proc/2114/environ" },
      ...{ "evt.type": "openat", "user.name": "runner", "container.id": "host" },
      ...{ "k8s.pod.name": null, "k8s.ns.name": null },
    },
  });
}

/** To a bare address, which pages by itself, or to a host on no list, which does not. */
function stolen(at: EpochMs, { address }: DemoRunner, kind: Attack["kind"]): Post {
  const alone = kind === "alone";
  const url = alone ? "http://203.0.113.77/u" : "http://paste.example/u";
  const agent = "python-requests/2.32.3";
  return squid(address, [
    { at, method: "POST", url, address: "203.0.113.77", bytesOut: 3_981, bytesIn: 2, agent },
  ]);
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}

function say(word: ClusterLoadWord): void {
  process.send?.(word);
}

async function main(settings: ClusterLoadSettings): Promise<void> {
  const load = new Load(settings);
  await load.setUp();
  process.on("message", (word) => {
    if (word === "stop") load.stop();
  });
  const told = new Promise((resolve) => process.once("message", resolve));
  say({ kind: "ready" });
  await told;
  say({ kind: "done", report: await load.run() });
  process.disconnect();
}

if (process.argv[1]?.endsWith("cluster-load.ts") === true && process.argv[2] !== undefined) {
  await main(JSON.parse(process.argv[2]) as ClusterLoadSettings);
}
