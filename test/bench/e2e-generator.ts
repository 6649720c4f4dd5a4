// The load generator of the end-to-end bench, a process of its own: its CPU is not the service's.
// Told what to send by its parent; sends each request when it is due, whatever became of those
// before (an open loop).

import { performance } from "node:perf_hooks";
import { secondMs } from "../../src/clock.ts";
import { Load, type LoadPost, type LoadSettings } from "./e2e-feeds.ts";
import { Sender } from "./e2e-sender.ts";

export interface GeneratorSettings extends LoadSettings {
  readonly port: number;
  /** So much of the load is sent before anything is counted. */
  readonly warmSeconds: number;
}

/** What the generator says: jobs are known; counting begins; all is sent. */
export type GeneratorWord =
  | { readonly kind: "jobs-known" }
  | { readonly kind: "warm" }
  | { readonly kind: "sent"; readonly report: GeneratorReport };

/** Of what was answered after the warm-up, whenever it was due. */
export interface GeneratorReport {
  readonly accepted: number;
  readonly requests: number;
  /** Answers other than 200, by status; 0 for a broken connection. */
  readonly refused: Readonly<Record<string, number>>;
  /** Events that found no free connection before the end. */
  readonly unsent: number;
  /** From the time a request was due to its answer, in ms. */
  readonly answerMs: readonly number[];
  readonly pages: readonly PageSent[];
  readonly cpuSeconds: number;
}

export interface PageSent {
  readonly run: string;
  readonly sentAt: number;
  readonly acceptedAt: number;
}

const connections = 64;
const tickMs = 2;

const settings = JSON.parse(process.argv[2] ?? "{}") as GeneratorSettings;

function say(word: GeneratorWord): void {
  process.send?.(word);
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

async function sendSetup(load: Load, sender: Sender): Promise<void> {
  const answers = await Promise.all(load.setup().map(({ request }) => sender.send(request)));
  const wrong = answers.find((answer) => answer?.status !== 200);
  if (wrong !== undefined) throw new Error(`a webhook was answered ${wrong.status}`);
}

class Counts {
  accepted = 0;
  requests = 0;
  unsent = 0;
  readonly refused: Record<string, number> = {};
  readonly answerMs: number[] = [];
  readonly pages: PageSent[] = [];

  add(post: LoadPost, sentAt: number, status: number | undefined): void {
    if (status === undefined) {
      this.unsent += post.events;
      return;
    }
    this.requests += 1;
    const acceptedAt = now();
    this.answerMs.push(acceptedAt - post.at);
    if (status !== 200) this.refused[status] = (this.refused[status] ?? 0) + 1;
    else this.accepted += post.events;
    if (post.page !== undefined) this.pages.push({ run: post.page, sentAt, acceptedAt });
  }
}

async function sendAll(posts: readonly LoadPost[], sender: Sender, start: number): Promise<void> {
  const warmAt = start + settings.warmSeconds * secondMs;
  const endAt = start + settings.seconds * secondMs;
  const counts = new Counts();
  const pending = new Set<Promise<void>>();
  const late = () => now() > endAt;
  async function one(post: LoadPost): Promise<void> {
    const sentAt = now();
    const answer = await sender.send(post.request, late);
    if (now() >= warmAt) counts.add(post, sentAt, answer?.status);
  }
  let cpuAtWarm: NodeJS.CpuUsage | undefined;
  for (let at = 0; at < posts.length; ) {
    const time = now();
    if (cpuAtWarm === undefined && time >= warmAt) {
      cpuAtWarm = process.cpuUsage();
      say({ kind: "warm" });
    }
    for (let post = posts[at]; post !== undefined && post.at <= time; post = posts[++at]) {
      const sending = one(post);
      pending.add(sending);
      void sending.then(() => pending.delete(sending));
    }
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
  await Promise.all(pending);
  const { user, system } = process.cpuUsage(cpuAtWarm);
  say({ kind: "sent", report: { ...counts, cpuSeconds: (user + system) / 1e6 } });
}

async function main(): Promise<void> {
  const sender = new Sender(settings.port, connections);
  const load = new Load(settings, Date.now());
  await sendSetup(load, sender);
  const told = new Promise((resolve) => process.once("message", resolve));
  say({ kind: "jobs-known" });
  await told;
  // Time to make the requests: their stamps are those of when they are due.
  const start = Date.now() + 1_000 + (settings.rate * settings.seconds) / 30;
  const posts = load.posts(start);
  if (now() > start) throw new Error("making the load took too long");
  await new Promise((resolve) => setTimeout(resolve, start - now()));
  await sendAll(posts, sender, start);
  sender.close();
  process.disconnect();
}

await main();
