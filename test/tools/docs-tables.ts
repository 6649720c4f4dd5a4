/**
 * @module Tables of the documentation that follow from the code: settings, metrics, problem codes,
 * topics, doors.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fastify, { type FastifyInstance } from "fastify";
import { registerApi } from "../../src/api/api.ts";
import { topics } from "../../src/bus/bus.ts";
import { openMemoryBus } from "../../src/bus/memory.ts";
import { realClock, VirtualClock } from "../../src/clock.ts";
import { collectors } from "../../src/collector/collectors.ts";
import { registerDoors } from "../../src/collector/receiver.ts";
import { Config, readConfig } from "../../src/config/config.ts";
import { problemCodes } from "../../src/error.ts";
import { openEmbeddedStore } from "../../src/store/embedded.ts";
import { type Emit, silentTelemetry } from "../../src/telemetry.ts";

export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

export function problemCodeTable(): string {
  return table(
    ["code", "means"],
    Object.entries(problemCodes).map(([code, means]) => [`\`${code}\``, means]),
  );
}

/** What each topic holds is said beside its name in the code. */
export function topicTable(): string {
  const source = readFileSync("src/bus/bus.ts", "utf8");
  const bus = openMemoryBus({ clock: new VirtualClock() });
  return table(
    ["topic", "partitions", "holds"],
    topics.map((topic) => {
      const said = new RegExp(`"${topic}", // (.+)`).exec(source)?.[1];
      if (said === undefined) throw new Error(`src/bus/bus.ts does not say what ${topic} holds`);
      return [topic, String(bus.partitions(topic)), said];
    }),
  );
}

/** `POST /v1/falco` of every route the doors register, sorted. */
export async function doorRoutes(): Promise<string[]> {
  return routesOf((app) =>
    registerDoors(app, {
      config: readConfig({ environment: {} }).doors,
      ...{ clock: realClock, telemetry: silentTelemetry(), collectors },
      accept: async () => undefined,
    }),
  );
}

/** The fields named as text in the code of a folder of src, those of our own. */
export function ownFieldsIn(folder: string): string[] {
  const path = join("src", folder);
  const text = readdirSync(path)
    .map((name) => readFileSync(join(path, name), "utf8"))
    .join("\n");
  const named = [...text.matchAll(/"(pipewarden(?:\.[a-z_]+){2,})"/g)].map(
    ([, name]) => name ?? "",
  );
  return [...new Set(named)].sort();
}

/**
 * The fields that docs/fields.md lists in the first cells of its tables and in its text, the short
 * form `pipewarden.run.status, .conclusion` spelled out.
 */
export function documentedFields(text: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [, list = ""] of text.matchAll(/(pipewarden\.[^|\n;(]+)/g)) {
    let group = "";
    for (const part of list.split(/[,:\s`]+/)) {
      if (part.startsWith("pipewarden.")) group = part.split(".").slice(0, 2).join(".");
      if (part.startsWith("pipewarden.")) found.add(part);
      else if (part.startsWith(".")) found.add(`${group}${part}`);
    }
  }
  return found;
}

/** `GET /livez` of every route of the API. */
export async function apiRoutes(): Promise<string[]> {
  return routesOf((app) =>
    registerApi(app, {
      config: { tokens: [] },
      telemetry: silentTelemetry(),
      unready: () => [],
      backlog: async () => ({}),
      partitions: () => ({}),
      documents: {
        store: openEmbeddedStore({ path: ":memory:" }),
        deadLetters: {
          list: async () => ({}),
          find: async () => undefined,
          retry: async () => undefined,
          drop: async () => false,
        },
      },
    }),
  );
}

async function routesOf(register: (app: FastifyInstance) => Promise<void>): Promise<string[]> {
  const app = fastify();
  const routes: string[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    for (const one of [method].flat()) if (one !== "HEAD") routes.push(`${one} ${url}`);
  });
  await register(app);
  await app.close();
  return routes.sort();
}

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly const?: unknown;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  readonly required?: readonly string[] | undefined;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
}

interface Setting {
  readonly path: readonly string[];
  readonly schema: Schema;
  readonly required: boolean;
}

/**
 * Every setting, a section's own row before those in it. A list's items are `[]`, a name of the
 * operator's `<name>`.
 */
export function settings(): readonly Setting[] {
  return [...settingsIn([], Config as Schema)];
}

function* settingsIn(path: readonly string[], schema: Schema): Generator<Setting> {
  for (const [key, part] of Object.entries(schema.properties ?? {})) {
    const at = [...path, key];
    const required = schema.required?.includes(key) === true && part.default === undefined;
    yield { path: at, schema: part, required };
    yield* settingsIn(at, part);
    if (part.items?.properties !== undefined) yield* settingsIn([...path, `${key}[]`], part.items);
    for (const named of Object.values(part.patternProperties ?? {})) {
      for (const form of named.anyOf ?? [named]) yield* settingsIn([...at, sinkName(form)], form);
    }
  }
}

/** Sinks differ by their type, so the operator's name is shown with it. */
function sinkName({ properties }: Schema): string {
  return `<${String(properties?.["type"]?.const)}>`;
}

export function settingsTable(): string {
  const rows = settings().map(({ path, schema, required }) => [
    `\`${path.join(".")}\``,
    typeText(schema),
    defaultText(schema, required),
    schema.description ?? "",
    environmentText(path, schema),
  ]);
  return table(["setting", "type", "default", "what it is", "environment"], rows);
}

function typeText(schema: Schema): string {
  const { type, anyOf, items, minimum, maximum, minLength } = schema;
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((one) => `\`${one}\``).join(", ");
  if (anyOf !== undefined) return anyOf.map(typeText).join(" or ");
  if (schema.patternProperties !== undefined) return "section by name";
  if (type === "object") return "section";
  if (type === "array") return items === undefined ? "list" : `list of ${typeText(items)}`;
  const bounds = [
    ...(minimum === undefined ? [] : [`≥ ${minimum}`]),
    ...(maximum === undefined ? [] : [`≤ ${maximum}`]),
    ...((minLength ?? 0) > 1 ? [`${minLength} characters or more`] : []),
  ];
  return bounds.length === 0 ? String(type) : `${type} (${bounds.join(", ")})`;
}

function defaultText(schema: Schema, required: boolean): string {
  if (schema.type === "object" && schema.patternProperties === undefined) return "";
  if (schema.default !== undefined) return `\`${JSON.stringify(schema.default)}\``;
  return required ? "required" : "none";
}

function environmentText(path: readonly string[], schema: Schema): string {
  if (schema.type === "object") return "";
  const name = environmentName(path);
  return settable(path, schema, name) ? `\`${name}\`` : "file only";
}

function environmentName(path: readonly string[]): string {
  const words = path.map((key) => key.replace(/([A-Z])/g, "_$1").toUpperCase());
  return `PW_${words.join("__").replace(/<.*?>/, "<NAME>")}`;
}

/** Tried, not assumed: a variable counts when the value arrives at the setting. */
function settable(path: readonly string[], schema: Schema, name: string): boolean {
  if (path.some((key) => key.includes("[]"))) return false;
  const sink = /<(.*)>/.exec(path.join("."))?.[1];
  const sample = sampleOf(schema);
  if (schema.items?.type === "object") return false;
  const environment: Record<string, string> = { [name.replace("<NAME>", "X")]: sample };
  if (sink !== undefined) Object.assign(environment, sinkSample(sink, environment));
  // No credentials without their kind.
  if (path.includes("sasl")) environment["PW_BUS__KAFKA__SASL__MECHANISM"] ??= "plain";
  try {
    const config: unknown = readConfig({ environment });
    const at = path.map((key) => (key.startsWith("<") ? "x" : key));
    const found = at.reduce(
      (value: unknown, key) => (value as Record<string, unknown>)?.[key],
      config,
    );
    return String(found) === sample;
  } catch {
    return false;
  }
}

function sampleOf(schema: Schema): string {
  const { anyOf, minimum, default: standard } = schema;
  if (schema.const !== undefined) return String(schema.const);
  if (anyOf !== undefined) return String(anyOf.at(-1)?.const);
  if (schema.enum !== undefined) return String(schema.enum.at(-1));
  if (schema.type === "array" && schema.items !== undefined) return sampleOf(schema.items);
  if (schema.type === "boolean") return "true";
  if (schema.type === "integer") return String(Math.max(Number(standard ?? 0), minimum ?? 0) + 1);
  return "sample-of-a-long-value";
}

/** The other settings a sink of this type cannot be without. */
function sinkSample(type: string, given: Readonly<Record<string, string>>): Record<string, string> {
  const rest: Record<string, string> = { PW_SINKS__X__TYPE: type };
  if (type === "jsonl") rest["PW_SINKS__X__PATH"] = "notices.jsonl";
  if (type === "webhook") {
    rest["PW_SINKS__X__URL"] = "https://hooks.example/page";
    rest["PW_SINKS__X__SECRETS"] = "sample-of-a-long-value";
  }
  return { ...rest, ...given };
}

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
}

/** Every metric of the service's own, as its endpoint tells. */
export async function metrics(): Promise<readonly Metric[]> {
  const text = await silentTelemetry().metrics();
  return [...text.matchAll(/^# HELP (\S+) (.+)\n# TYPE \S+ (\S+)$/gm)].map(
    ([, name = "", help = "", type = ""]) => ({ name, type, help }),
  );
}

const factSample = {
  ...{ feed: "f", code: "json-invalid", stage: "s", reason: "r", kind: "k", sink: "s" },
  ...{ outcome: "retry", count: 3, seconds: 7, occurredAt: 7_000 },
} as const;

/**
 * The labels and metrics that emitting a fact moves, by metric name; labels from the sample that
 * was counted.
 */
async function movedBy(fact: keyof Emit): Promise<ReadonlyMap<string, string>> {
  const telemetry = silentTelemetry();
  const before = new Set((await telemetry.metrics()).split("\n"));
  (telemetry.emit[fact] as (given: typeof factSample) => void)(factSample);
  const moved = new Map<string, string>();
  for (const line of (await telemetry.metrics()).split("\n")) {
    const sample = /^(\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$/.exec(line);
    if (sample === null || before.has(line)) continue;
    const labels = [...(sample[2] ?? "").matchAll(/(\w+)="/g)].map(([, label]) => label ?? "");
    moved.set(sample[1] ?? "", labels.filter((label) => label !== "le").join(", "));
  }
  return moved;
}

/** Metrics that some part of the service really counts, with their labels. */
async function countedMetrics(): Promise<ReadonlyMap<string, { labels: string; told: boolean }>> {
  const code = readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => readFileSync(join("src", path), "utf8"))
    .join("\n");
  const found = new Map<string, { labels: string; told: boolean }>();
  for (const fact of Object.keys(silentTelemetry().emit) as (keyof Emit)[]) {
    const told = new RegExp(`emit\\.${fact}\\b`).test(code);
    for (const [name, labels] of await movedBy(fact)) {
      found.set(name, { labels, told: told || found.get(name)?.told === true });
    }
  }
  return found;
}

export async function metricTable(): Promise<string> {
  const counted = await countedMetrics();
  const rows = (await metrics()).map(({ name, type, help }) => {
    const { labels = "", told = false } = counted.get(name) ?? {};
    return [`\`${name}\``, type, labels, told ? help : `${help} *Not counted yet: stays empty.*`];
  });
  return table(["metric", "type", "labels", "what it tells"], rows);
}
