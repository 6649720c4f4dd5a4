/**
 * @module The demo company's posts through the real collectors into a whole pipeline, on a clock
 * moved by hand.
 */

import { join as joinPath } from "node:path";
import type { Alert, Incident, Notice } from "../../src/alert/alert.ts";
import type { Bus } from "../../src/bus/bus.ts";
import { openEmbeddedBus } from "../../src/bus/embedded.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { type EpochMs, hourMs, minuteMs, secondMs, VirtualClock } from "../../src/clock.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { type Role, readConfig } from "../../src/config/config.ts";
import type { Post } from "../../src/demo/feeds.ts";
import { history } from "../../src/demo/midnight-commit.ts";
import { loadRuleset, type Ruleset, readRuleFiles } from "../../src/detection/detection.ts";
import type { Feed } from "../../src/event/event.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import type { Sink } from "../../src/sink/sink.ts";
import { openEmbeddedState } from "../../src/state/embedded.ts";
import { openMemoryState } from "../../src/state/memory.ts";
import type { StateStore } from "../../src/state/state.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import type { Store } from "../../src/store/store.ts";
import { silentTelemetry } from "../../src/telemetry.ts";

/** When the blob is POSTed. */
export const night: EpochMs = Date.UTC(2026, 10, 24, 2, 8);

export const demoConfig = readConfig({ path: "deploy/demo/pipewarden.yml", environment: {} });

const { rulesDirs, listsDirs } = demoConfig;
const ruleFiles = readRuleFiles({ rulesDirs, listsDirs });

/** The demo's operator lists, by name. */
export const demoLists: ReadonlyMap<string, readonly string[]> = ruleFiles.lists;

/** The shipped rules with the demo's lists, without those of the given names. */
export function rulesWithout(...names: readonly string[]): Ruleset {
  const files = ruleFiles.files.filter(
    ({ path }) => !names.some((name) => path.endsWith(`/${name}.yml`)),
  );
  const { ruleset, problems } = loadRuleset({ files, lists: ruleFiles.lists });
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return ruleset;
}

const feedOfDoor = new Map<string, Feed>([
  ["/v1/falco", "falco"],
  ["/v1/github/webhook", "github-webhook"],
  ["/v1/github/audit", "github-audit"],
  ["/v1/egress", "egress"],
  ["/v1/registry", "registry"],
]);

/**
 * The last day and the fork PR's run three weeks ago: what the night stands on, without most quiet
 * days.
 */
export function shortHistory(): readonly Post[] {
  return history(night).filter(({ at, body }) => {
    return at > night - 26 * hourMs || body.includes("build-tools") || body.includes("8c1f");
  });
}

export interface Rig {
  readonly clock: VirtualClock;
  readonly bus: Bus;
  readonly store: Store;
  readonly pipeline: Pipeline;
  /** What the one sink was given, in order. */
  readonly notices: readonly Notice[];
  /**
   * The posts as their feeds would send them: each at its time, those of one `windowMs` at once.
   */
  send(posts: readonly Post[], windowMs?: number): Promise<void>;
  /** The posts at once, in this order, received now. */
  sendNow(posts: readonly Post[]): Promise<void>;
  moveTo(time: EpochMs): Promise<void>;
  /** Starts another pipeline over the same bus, states and store, as another process would. */
  join(roles: readonly Role[]): Promise<Pipeline>;
  stop(): Promise<void>;
}

export interface RigSettings {
  readonly ruleset?: Ruleset;
  /** Keeps bus, state and store in files of this folder. */
  readonly folder?: string;
  readonly start?: EpochMs;
  /** Of its own pipeline; all when absent. */
  readonly roles?: readonly Role[];
  /** Puts faults between the pipeline and its bus or states. */
  readonly faulty?: (parts: { readonly bus: Bus; readonly states: StateStore }) => {
    readonly bus: Bus;
    readonly states: StateStore;
  };
}

export async function openRig(settings: RigSettings = {}): Promise<Rig> {
  const { ruleset = rulesWithout(), folder, start = night - 23 * 24 * hourMs } = settings;
  const { faulty = (parts) => parts, roles } = settings;
  const clock = new VirtualClock(start);
  const bus =
    folder === undefined
      ? openMemoryBus({ clock })
      : await openEmbeddedBus({ path: joinPath(folder, "bus.db"), clock });
  const statePath = folder === undefined ? ":memory:" : joinPath(folder, "state.db");
  const states: StateStore =
    folder === undefined ? openMemoryState() : openEmbeddedState({ path: statePath });
  const store = openEmbeddedStore({ path: statePath });
  const notices: Notice[] = [];
  const pipelines: Pipeline[] = [];
  const parts = faulty({ bus, states });
  const join = async (own: readonly Role[] | undefined): Promise<Pipeline> => {
    const joined = new Pipeline({
      ...parts,
      ...{ store, sinks: [collecting(notices)], ruleset, clock },
      ...(own === undefined ? {} : { roles: own }),
      telemetry: silentTelemetry(),
      enrichment: demoConfig.enrichment,
      lineage: { ...demoConfig.lineage, cacheHosts: ruleFiles.lists.get("cache_hosts") ?? [] },
      time: demoConfig.time,
    });
    await joined.start();
    pipelines.push(joined);
    return joined;
  };
  const pipeline = await join(roles);

  async function moveTo(time: EpochMs): Promise<void> {
    if (time > clock.now()) clock.advanceTo(time);
    for (const one of pipelines) await one.tick();
    for (const one of pipelines) await one.drained();
  }

  async function sendNow(posts: readonly Post[]): Promise<void> {
    for (const post of posts) await pipeline.accept(...intakeOf(post, clock.now()));
    await pipeline.drained();
  }

  return {
    ...{ clock, bus, store, pipeline, notices, sendNow, moveTo, join },
    send: async (posts, windowMs = minuteMs) => {
      for (const window of windowsOf(posts, windowMs)) {
        await moveTo(Math.max(...window.map(({ at }) => at)));
        await sendNow(window);
      }
    },
    stop: async () => {
      for (const one of pipelines) await one.stop();
      await store.close();
      await states.close();
      await bus.close();
    },
  };
}

function intakeOf(post: Post, receivedAt: EpochMs): Parameters<Pipeline["accept"]> {
  const feed = feedOfDoor.get(post.door);
  const collector = feed === undefined ? undefined : collectors.get(feed);
  if (collector === undefined) throw new Error(`no collector for ${post.door}`);
  const delivery = { receivedAt, headers: post.headers, place: `${post.door} door` };
  return [collector.read(Buffer.from(post.body), delivery), feed];
}

function windowsOf(posts: readonly Post[], windowMs: number): Post[][] {
  const windows = new Map<number, Post[]>();
  for (const post of posts) {
    const key = Math.floor(post.at / windowMs);
    windows.set(key, [...(windows.get(key) ?? []), post]);
  }
  return [...windows].sort(([a], [b]) => a - b).map(([, window]) => window);
}

function collecting(notices: Notice[]): Sink {
  return {
    name: "test",
    wants: () => true,
    send: async (notice) => {
      notices.push(notice);
      return { kind: "delivered" };
    },
    close: async () => undefined,
  };
}

/**
 * What is in the store: each incident with its alerts, in words that do not depend on the order of
 * arrival.
 */
export interface Found {
  readonly incidents: readonly Incident[];
  readonly alerts: readonly Alert[];
}

export async function inStore(store: Store): Promise<Found> {
  const { items } = await store.incidents({ limit: 200 });
  const ids = items.flatMap(({ alertIds }) => alertIds);
  const alerts = await Promise.all(ids.map((id) => store.alert(id)));
  return { incidents: items, alerts: alerts.filter((alert) => alert !== undefined) };
}

/** Of each incident its level, whether it paged and its alerts as `rule ×count run`, sorted. */
export function composition({ incidents, alerts }: Found): unknown {
  return incidents
    .map(({ id, level, pagedAt }) => {
      const own = alerts.filter(({ incidentId }) => incidentId === id);
      const lines = own.map(({ rule, count, build }) => {
        const run = build === undefined ? "no build" : `${build.repository}#${build.runNumber}`;
        return `${rule.title} ×${count} ${run}`;
      });
      return { level, paged: pagedAt !== undefined, alerts: lines.sort() };
    })
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

export function pagesOf({ notices }: Pick<Rig, "notices">): readonly Notice[] {
  return notices.filter(({ kind }) => kind === "page");
}

/** A little after: whatever waits for its build has stopped waiting. */
export const settledMs: number = 20 * secondMs;
