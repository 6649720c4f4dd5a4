/**
 * @module What the feeds of a company with many jobs at once send, as HTTP requests made ahead:
 * boring runtime and egress events of known jobs, webhooks of jobs that come and go, and now and
 * then a request that must page.
 */

import { type EpochMs, secondMs } from "../../src/clock.ts";
import { seeded } from "../../src/demo/company.ts";
import type { DemoJob, DemoRunner, Post } from "../../src/demo/feeds.ts";
import { preparedJob, workflowJob, workflowRun } from "../../src/demo/github.ts";
import { githubSigned } from "../collector/signed.ts";

export interface LoadSettings {
  /** Events a second, all feeds together. */
  readonly rate: number;
  readonly seconds: number;
  readonly pagesPerSecond: number;
  readonly webhookSecret: string;
}

/** One request, ready to be written to a socket, and when it is due. */
export interface LoadPost {
  readonly at: EpochMs;
  readonly request: Buffer;
  readonly events: number;
  /** The run that must be paged because of it. */
  readonly page?: string;
}

/** Shares of all events, and how many a sender puts into one POST. */
const feeds = {
  falcoSingle: { share: 0.1, perPost: 1 },
  falcoLines: { share: 0.45, perPost: 50 },
  egress: { share: 0.445, perPost: 100 },
};
const webhookShare = 0.005;
const postsPerJob = 6;
/** As many events a second come of one job. */
const eventsPerJob = 10;
const slotsMin = 50;
const slotsMax = 2_000;

/**
 * Where one job after the other runs: half of them machines that live on, half pods made for one
 * job.
 */
interface Slot {
  readonly index: number;
  readonly lasting: boolean;
  /** Oldest first. */
  readonly jobs: DemoJob[];
}

function slotCount({ rate }: LoadSettings): number {
  return Math.min(slotsMax, Math.max(slotsMin, Math.round(rate / eventsPerJob)));
}

function pageCount({ pagesPerSecond, seconds }: LoadSettings): number {
  return Math.ceil(pagesPerSecond * seconds);
}

function machine(index: number): DemoRunner {
  const address = `10.40.${Math.floor(index / 250)}.${1 + (index % 250)}`;
  return { name: `build-${String(index).padStart(4, "0")}`, id: 1_000 + index, address };
}

/** The inventory that the service must be given: every machine that lives on. */
export function inventoryOf(settings: LoadSettings): object[] {
  return Array.from({ length: slotCount(settings) + pageCount(settings) }, (_, index) => {
    const { name, address } = machine(index);
    return { name, hosts: [name], addresses: [address] };
  });
}

export class Load {
  readonly #settings: LoadSettings;
  readonly #slots: readonly Slot[];
  readonly #pageJobs: readonly DemoJob[];
  readonly #next = seeded(20_261_124);
  #runs = 7_000_000_000;

  /** Every slot has its first job, which began a minute before `now`. */
  constructor(settings: LoadSettings, now: EpochMs) {
    this.#settings = settings;
    const startedAt = now - 60 * secondMs;
    const count = slotCount(settings);
    this.#slots = Array.from({ length: count }, (_, index) => {
      const slot: Slot = { index, lasting: index % 2 === 0, jobs: [] };
      slot.jobs.push(this.#job(slot, startedAt));
      return slot;
    });
    this.#pageJobs = Array.from({ length: pageCount(settings) }, (_, index) => {
      return this.#job({ index: count + index, lasting: true, jobs: [] }, startedAt);
    });
  }

  /** What makes the first jobs known. */
  setup(): LoadPost[] {
    const jobs = [...this.#slots.flatMap((slot) => slot.jobs), ...this.#pageJobs];
    return jobs.flatMap(beginning).map((post) => this.#signed(post, post.at));
  }

  /** Everything from `start` on, in the order it is due. */
  posts(start: EpochMs): LoadPost[] {
    const { falcoSingle, falcoLines, egress } = feeds;
    const posts = [
      ...this.#turnover(start),
      ...this.#stream(start, falcoSingle, (at) => this.#falco(at)),
      ...this.#stream(start, falcoLines, (at) => this.#falco(at)),
      ...this.#stream(start, egress, (at) => this.#egress(at)),
      ...this.#pages(start),
    ];
    return posts.sort((a, b) => a.at - b.at);
  }

  #job({ index, lasting }: Slot, startedAt: EpochMs): DemoJob {
    const runId = this.#runs++;
    const pod = `arc-linux-${index.toString(36)}-runner-${runId.toString(36)}`;
    const runner = lasting ? machine(index) : { ...machine(index), name: pod };
    return {
      ...{ repository: `acme/repo-${index % 40}`, workflow: "ci", job: "test", runId, runner },
      ...{ workflowFile: ".github/workflows/ci.yml", runNumber: runId % 10_000, trigger: "push" },
      ...{ actor: "dana-o", branch: "main", startedAt, secrets: ["COVERAGE_TOKEN"] },
      steps: ["Set up job", "Checkout", "Restore cache", "Test", "Upload coverage"],
    };
  }

  /** Jobs that end and the next ones of their slots, spread over the time. */
  #turnover(start: EpochMs): LoadPost[] {
    const { rate, seconds } = this.#settings;
    const count = Math.floor((rate * webhookShare * seconds) / postsPerJob);
    const posts: Post[] = [];
    for (let turn = 0; turn < count; turn += 1) {
      const startedAt = start + Math.round(((turn + 0.5) * seconds * secondMs) / count);
      const slot = this.#slots[(turn * 7) % this.#slots.length];
      const last = slot?.jobs.at(-1);
      if (slot === undefined || last === undefined) continue;
      posts.push(...ending({ ...last, completedAt: startedAt - 2 * secondMs }));
      const job = this.#job(slot, startedAt);
      slot.jobs.push(job);
      posts.push(...beginning(job));
    }
    const end = start + seconds * secondMs;
    return posts
      .filter(({ at }) => at <= end)
      .map((post) => this.#signed(post, Math.max(post.at, start)));
  }

  #signed({ door, headers, body }: Post, at: EpochMs): LoadPost {
    const signature = githubSigned(body, this.#settings.webhookSecret);
    return { at, request: requestOf(door, { ...headers, ...signature }, body), events: 1 };
  }

  #stream(
    start: EpochMs,
    { share, perPost }: { readonly share: number; readonly perPost: number },
    line: (at: EpochMs) => string,
  ): LoadPost[] {
    const { rate, seconds } = this.#settings;
    const count = Math.floor((rate * share * seconds) / perPost);
    const gapMs = (seconds * secondMs) / count;
    const door = line === undefined || share === feeds.egress.share ? "/v1/egress" : "/v1/falco";
    return Array.from({ length: count }, (_, index) => {
      const at = start + (index + 1) * gapMs;
      const lines = Array.from({ length: perPost }, (_, item) => {
        return line(Math.round(at - ((perPost - item) * gapMs) / perPost));
      });
      return { at, request: requestOf(door, jsonLines, lines.join("\n")), events: perPost };
    });
  }

  #pages(start: EpochMs): LoadPost[] {
    const gapMs = secondMs / this.#settings.pagesPerSecond;
    return this.#pageJobs.map(({ runId, runner }, index) => {
      const at = Math.round(start + (index + 0.37) * gapMs);
      const boring = Array.from({ length: 9 }, () => this.#egress(at));
      const stolen = squidLine(at, runner.address, {
        ...{ method: "POST", url: "http://203.0.113.77/u", address: "203.0.113.77" },
        ...{ bytesOut: 3_981, agent: "python-requests/2.32.3" },
      });
      const body = [...boring, stolen].join("\n");
      return {
        at,
        request: requestOf("/v1/egress", jsonLines, body),
        events: 10,
        page: `${runId}`,
      };
    });
  }

  #slot(lastingOnly: boolean): Slot {
    const index = this.#next(this.#slots.length);
    const slot = this.#slots[lastingOnly ? index - (index % 2) : index];
    if (slot === undefined) throw new Error("no slot");
    return slot;
  }

  /** A job's runtime event, as a sensor in the cluster or on the machine would tell it. */
  #falco(at: EpochMs): string {
    const slot = this.#slot(false);
    const job = slot.jobs.findLast(({ startedAt }) => startedAt <= at) ?? slot.jobs[0];
    if (job === undefined) throw new Error("no job");
    const { name } = job.runner;
    const kind = kinds[this.#next(kinds.length)] ?? kinds[0];
    const pid = 2_000 + this.#next(60_000);
    const fields = {
      ...kind.fields(this.#next, job),
      "proc.pid": pid,
      "proc.ppid": pid - 7,
      "proc.cwd": "/runner/_work/service/service",
      "proc.aname[2]": "bash",
      "proc.aname[3]": "node",
      "proc.aname[4]": "Runner.Worker",
      "proc.tty": 0,
      "user.name": "runner",
      "user.uid": 1001,
      "user.loginuid": -1,
      "container.id": slot.lasting ? "host" : "4f1c09d2a7be",
      "container.name": slot.lasting ? "host" : "runner",
      "container.image.repository": slot.lasting ? null : "images.corp.example/ci/runner",
      "container.image.tag": slot.lasting ? null : "2.320",
      "k8s.ns.name": slot.lasting ? null : "arc-runners",
      "k8s.pod.name": slot.lasting ? null : name,
    };
    const time = `${new Date(at).toISOString().slice(0, -1)}${100_000 + this.#next(899_999)}Z`;
    const shown = Object.entries(fields).map(([key, value]) => `${key}=${value ?? "<NA>"}`);
    const head = JSON.stringify({
      hostname: slot.lasting ? name : `node-${slot.index % 40}`,
      output: `${time.slice(11, 29)}: Notice ${kind.rule} | ${shown.slice(0, 12).join(" ")}`,
      ...{ priority: "Notice", rule: kind.rule, source: "syscall", tags: ["ci", kind.tag], time },
    });
    const output = JSON.stringify(fields).replace("{", `{"evt.time":${at}000000,`);
    return `${head.slice(0, -1)},"output_fields":${output}}`;
  }

  /** A line of the proxy: mostly known hosts, one in a thousand refused. */
  #egress(at: EpochMs): string {
    const { address } = machine(this.#slot(true).index);
    const choice = this.#next(1_000);
    const request = requests[choice % requests.length] ?? requests[0];
    return squidLine(at, address, choice === 999 ? { ...request, refused: true } : request);
  }
}

const jsonLines = { "content-type": "application/x-ndjson" };

function beginning(job: DemoJob): Post[] {
  return [
    workflowRun(job, "requested"),
    workflowJob(job, "queued"),
    preparedJob(job),
    workflowJob(job, "in_progress"),
  ];
}

function ending(job: DemoJob): Post[] {
  return [workflowJob(job, "completed"), workflowRun(job, "completed")];
}

type Random = (limit: number) => number;

interface Kind {
  readonly rule: string;
  readonly tag: string;
  readonly fields: (next: Random, job: DemoJob) => Readonly<Record<string, string | number>>;
}

const commands = [
  ["git", "/usr/bin/git", "git fetch --no-tags --depth=1 origin main"],
  ["node", "/usr/local/bin/node", "node ./node_modules/.bin/tsc --noEmit -p ."],
  ["cc1", "/usr/libexec/gcc/cc1", "cc1 -quiet -O2 -I include src/ledger/rounding.c -o /tmp/cc9.s"],
  ["python3", "/usr/bin/python3.12", "python3 -m pytest -q tests/unit"],
  ["make", "/usr/bin/make", "make -j4 all"],
  ["tar", "/usr/bin/tar", "tar -xf /runner/_work/_temp/cache.tar"],
] as const;

const started: Kind = {
  rule: "CI process started",
  tag: "process",
  fields: (next) => {
    const [name, path, line] = commands[next(commands.length)] ?? commands[0];
    return {
      ...{ "evt.type": "execve", "evt.res": "SUCCESS", "proc.name": name, "proc.exepath": path },
      ...{ "proc.cmdline": `${line} --seq=${next(10_000)}`, "proc.pname": "bash" },
      "proc.pcmdline": "bash -e /runner/_work/_temp/step.sh",
    };
  },
};

const opened: Kind = {
  rule: "CI file written",
  tag: "filesystem",
  fields: (next) => ({
    ...{ "evt.type": "openat", "evt.res": "SUCCESS", "fd.type": "file" },
    "fd.name": `/runner/_work/service/service/build/part-${next(4_000)}.o`,
    ...{ "proc.name": "cc1", "proc.exepath": "/usr/libexec/gcc/cc1", "proc.pname": "gcc" },
    "proc.cmdline": "cc1 -quiet -O2 src/a.c",
    "proc.pcmdline": "gcc -O2 -c src/a.c",
  }),
};

const connected: Kind = {
  rule: "CI connection opened",
  tag: "network",
  fields: (next, { runner }) => {
    const port = 32_768 + next(28_000);
    return {
      ...{ "evt.type": "connect", "evt.res": "SUCCESS", "fd.type": "ipv4", "fd.l4proto": "tcp" },
      ...{ "fd.sip": "10.20.9.4", "fd.sport": 3_128, "fd.cip": runner.address, "fd.cport": port },
      "fd.name": `${runner.address}:${port}->10.20.9.4:3128`,
      ...{ "proc.name": "curl", "proc.exepath": "/usr/bin/curl", "proc.pname": "bash" },
      "proc.cmdline": "curl -fsS http://cache.corp.example/deps.tar",
      "proc.pcmdline": "bash -e /runner/_work/_temp/step.sh",
    };
  },
};

const kinds = [
  started,
  started,
  started,
  started,
  started,
  opened,
  opened,
  opened,
  connected,
  connected,
] as const;

interface Request {
  readonly method: string;
  readonly url: string;
  readonly address: string;
  readonly bytesOut: number;
  readonly agent: string;
  readonly refused?: boolean;
}

const requests: readonly [Request, ...Request[]] = [
  {
    ...{ method: "CONNECT", url: "api.github.com:443", address: "192.0.2.10" },
    ...{ bytesOut: 2_112, agent: "actions-runner/2.320" },
  },
  {
    ...{ method: "GET", url: "http://cache.corp.example/deps-41.tar.zst", address: "10.20.9.8" },
    ...{ bytesOut: 210, agent: "curl/8.5.0" },
  },
  {
    ...{ method: "CONNECT", url: "registry.example:443", address: "192.0.2.44" },
    ...{ bytesOut: 1_740, agent: "buildkit/0.15" },
  },
  {
    ...{ method: "POST", url: "http://coverage.corp.example/upload", address: "10.20.9.9" },
    ...{ bytesOut: 18_244, agent: "coverage/7" },
  },
];

function squidLine(at: EpochMs, client: string, request: Request): string {
  const { method, url, address, bytesOut, agent, refused = false } = request;
  const connect = method === "CONNECT";
  const host = connect ? url : new URL(url).host;
  const decision = refused ? "TCP_DENIED:HIER_NONE" : connect ? "TCP_TUNNEL" : "TCP_MISS";
  return JSON.stringify({
    ...{ ts: at / 1_000, client, client_port: 40_000 + (at % 20_000), method, url, host },
    ...{ status: refused ? 403 : 200, decision: refused ? decision : `${decision}:HIER_DIRECT` },
    ...{ dest_ip: address, dest_port: host.split(":")[1] ?? "80", bytes_out: bytesOut },
    ...{ bytes_in: 1_480, duration_ms: 120, user: "-", ua: agent },
  });
}

function requestOf(door: string, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = Buffer.byteLength(body);
  const head = `POST ${door} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines.join("")}`;
  return Buffer.from(`${head}content-length: ${length}\r\n\r\n${body}`);
}
