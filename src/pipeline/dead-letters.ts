/**
 * @module Dead letters: a bounded list of what could not be read or applied, each to be looked at,
 * read again, or dropped.
 *
 * The list is the state of a stage of its own over the topic; a letter's bytes stay on the bus and
 * are fetched by place. A letter is open until it was read again or dropped, or retention lets its
 * record go.
 */

import type { Bus, BusRecord, NewRecord, Offset } from "../bus/bus.ts";
import type { Clock, EpochMs } from "../clock.ts";
import type { Collector } from "../collector/collector.ts";
import type { PlaceKey } from "../enrichment/enrichment.ts";
import { type Problem, ServiceError, shown } from "../error.ts";
import { decodeEvent, isProblem } from "../event/codec.ts";
import type { Feed } from "../event/event.ts";
import type { StateStore, StateTable } from "../state/state.ts";
import type { Emit, Telemetry } from "../telemetry.ts";
import {
  type ClosedLetter,
  closingRecord,
  type DeadLetter,
  deadLetterRecord,
  eventRecord,
  isClosing,
  readRecord,
  recordPlace,
} from "./records.ts";
import type { Stage } from "./stage.ts";
import { StageRunner } from "./stage-runner.ts";

/** A letter as the list shows it. */
export interface OpenLetter {
  /** `dl-<partition>-<offset>`: its place in the topic. */
  readonly id: string;
  /** When it was put there. */
  readonly at: EpochMs;
  readonly problem: Problem;
  readonly feed?: Feed;
  /** Of the raw text in UTF-8. */
  readonly bytes: number;
}

/** A letter with everything there is. */
export interface WholeLetter extends OpenLetter, Omit<DeadLetter, "problem" | "feed"> {}

export interface LetterPage {
  /** Latest first. */
  readonly items: readonly OpenLetter[];
  /** For the next page; absent on the last one. */
  readonly cursor?: string;
  /** How many are open in all. */
  readonly open: number;
}

/** What came of reading a letter again; a rejected one stays open. */
export type Retried =
  | { readonly kind: "done"; readonly events: number; readonly rejected: number }
  | { readonly kind: "rejected"; readonly problems: readonly Problem[] };

export interface DeadLetters {
  /** Throws ServiceError `cursor-invalid`. */
  list(query: { readonly limit: number; readonly cursor?: string }): Promise<LetterPage>;
  /** Undefined when there is no such letter, or not any more. */
  find(id: string): Promise<WholeLetter | undefined>;
  /**
   * Reads the letter with the collector of its feed and appends what comes of it, under the ids it
   * would have had. Undefined as in `find`. Rejects with `intake-full`; the letter then stays.
   */
  retry(id: string): Promise<Retried | undefined>;
  /** False when there is no such letter. */
  drop(id: string): Promise<boolean>;
}

export interface DeadLettersSettings {
  readonly bus: Bus;
  readonly states: StateStore;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly collectors: ReadonlyMap<Feed, Collector>;
  readonly placeKey: PlaceKey;
  /** The most letters in the list; the oldest are let go and counted. 10,000 when absent. */
  readonly lettersMax?: number;
}

const stageName = "dead-letters";
const lettersMaxDefault = 10_000;
/** A problem is short as it is made; what a sender could make long is cut for the list. */
const partLengthMax = 300;

/** The letters and the runner of their stage, which the caller starts and stops. */
export function openDeadLetters(settings: DeadLettersSettings): {
  readonly runner: StageRunner;
  readonly deadLetters: DeadLetters;
} {
  let letters: StateTable<OpenLetter> | undefined;
  const runner = new StageRunner({
    ...settings,
    definition: {
      name: stageName,
      topic: "dead-letters",
      // Each process that people ask has the whole list.
      whole: true,
      open: ({ state }) => {
        const table = state.table<OpenLetter>("letters");
        letters = table;
        return { make: () => createDeadLettersStage(settings, table) };
      },
    },
  });
  const table = () => letters ?? noLetters;
  return { runner, deadLetters: new Letters({ ...settings, table }) };
}

/** Before the list is read. */
const noLetters: Pick<StateTable<OpenLetter>, "get" | "entries"> = new Map<string, OpenLetter>();

/** Writes down each letter. Never fails on one: a letter about a letter would never end. */
function createDeadLettersStage(
  settings: DeadLettersSettings,
  table: StateTable<OpenLetter>,
): Stage {
  const { bus, telemetry, lettersMax = lettersMaxDefault } = settings;
  const letGo = (letters: readonly OpenLetter[], reason: string) => {
    for (const { id } of letters) table.delete(id);
    telemetry.emit.evicted({ what: stageName, reason, count: letters.length });
  };
  return {
    apply: async (records) => {
      for (const record of records) {
        const read = readLetter(record);
        if (isClosing(read)) {
          table.delete(read.closes);
          continue;
        }
        const letter = openLetter(record, read);
        table.put(letter.id, letter);
      }
      // Only tidies up: brokers that do not tell now, tell with a later letter.
      const firsts = await firstsOf(bus).catch(() => []);
      const { kept, gone } = parted(table, firsts);
      letGo(gone, "retention");
      const tooMany = kept.length > lettersMax;
      letGo(tooMany ? kept.sort(latestFirst).slice(lettersMax) : [], "bound");
      return [];
    },
  };
}

/** Of a letter, even one that nobody wrote as such, there is always something to show. */
function readLetter(record: BusRecord): DeadLetter | ClosedLetter | Problem {
  const read: unknown = readRecord("dead-letters", record);
  if (typeof read === "object" && read !== null) {
    if ("closes" in read || "problem" in read || "code" in read) {
      return read as DeadLetter | ClosedLetter | Problem;
    }
  }
  return {
    code: "stored-record-invalid",
    place: recordPlace(record),
    expected: "a dead letter",
    found: shown(read),
  };
}

function openLetter(record: BusRecord, letter: DeadLetter | Problem): OpenLetter {
  const known = isProblem(letter) ? { problem: letter, raw: "" } : letter;
  const { feed } = "feed" in known ? known : {};
  const { code, place, expected, found } = known.problem;
  return {
    id: `dl-${record.partition}-${record.offset}`,
    at: record.appendedAt,
    problem: {
      code,
      place: shown(place, partLengthMax),
      expected: shown(expected, partLengthMax),
      found: shown(found, partLengthMax),
    },
    ...(feed === undefined ? {} : { feed }),
    bytes: isProblem(letter) ? record.value.byteLength : Buffer.byteLength(letter.raw),
  };
}

function placeOf(id: string): { partition: number; offset: number } | undefined {
  const [, partition, offset] = /^dl-(\d{1,4})-(\d{1,15})$/.exec(id) ?? [];
  if (partition === undefined || offset === undefined) return undefined;
  return { partition: Number(partition), offset: Number(offset) };
}

/** Of the oldest letter kept, by partition. */
async function firstsOf(bus: Bus): Promise<readonly Offset[]> {
  const count = bus.partitions("dead-letters");
  return Promise.all(
    Array.from({ length: count }, (_, partition) => bus.first("dead-letters", partition)),
  );
}

/** In no order; apart from them those whose record retention has let go. */
function parted(
  table: Pick<StateTable<OpenLetter>, "entries"> | ReadonlyMap<string, OpenLetter>,
  firsts: readonly Offset[],
): { readonly kept: OpenLetter[]; readonly gone: OpenLetter[] } {
  const { kept = [], gone = [] } = Object.groupBy(
    [...table.entries()].map(([, letter]) => letter),
    ({ id }) => {
      const { partition = 0, offset = 0 } = placeOf(id) ?? {};
      return offset < (firsts[partition] ?? 0) ? "gone" : "kept";
    },
  );
  return { kept, gone };
}

function latestFirst(a: Pick<OpenLetter, "at" | "id">, b: Pick<OpenLetter, "at" | "id">): number {
  if (a.at !== b.at) return b.at - a.at;
  const [left, right] = [placeOf(a.id), placeOf(b.id)];
  const byOffset = (right?.offset ?? 0) - (left?.offset ?? 0);
  return byOffset === 0 ? (right?.partition ?? 0) - (left?.partition ?? 0) : byOffset;
}

interface LettersParts extends DeadLettersSettings {
  readonly table: () => Pick<StateTable<OpenLetter>, "get" | "entries">;
}

class Letters implements DeadLetters {
  readonly #parts: LettersParts;
  /** Closed on the bus, and not yet in the table. */
  readonly #closing = new Set<string>();

  constructor(parts: LettersParts) {
    this.#parts = parts;
  }

  async list(query: { readonly limit: number; readonly cursor?: string }): Promise<LetterPage> {
    const { bus } = this.#parts;
    const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
    const firsts = await firstsOf(bus);
    const kept = parted(this.#open(), firsts).kept.sort(latestFirst);
    const rest = after === undefined ? kept : kept.filter((one) => latestFirst(after, one) < 0);
    const items = rest.slice(0, query.limit);
    const last = items.at(-1);
    const more = last !== undefined && items.length < rest.length;
    return { items, ...(more ? { cursor: `${last.at}.${last.id}` } : {}), open: kept.length };
  }

  async find(id: string): Promise<WholeLetter | undefined> {
    const record = await this.#record(id);
    const open = this.#letter(id);
    if (record === undefined || open === undefined) return undefined;
    const letter = readLetter(record);
    if (!isProblem(letter) && !isClosing(letter)) return { ...letter, ...open };
    return { ...open, raw: Buffer.from(record.value).toString("utf8") };
  }

  async retry(id: string): Promise<Retried | undefined> {
    const record = await this.#record(id);
    if (record === undefined) return undefined;
    const letter = readLetter(record);
    if (isClosing(letter)) return undefined;
    if (isProblem(letter)) return { kind: "rejected", problems: [letter] };
    const read = await this.#readAgain(letter, record);
    if ("problems" in read) return { kind: "rejected", problems: read.problems };
    const { bus, telemetry } = this.#parts;
    await bus.append([...read.records, closingRecord(id)]);
    this.#closing.add(id);
    const { events, rejected, accepted } = read;
    if (accepted !== undefined) telemetry.emit.eventsAccepted(accepted);
    telemetry.log.info({ id, events, rejected }, "a dead letter was read again");
    return { kind: "done", events, rejected };
  }

  async drop(id: string): Promise<boolean> {
    const { bus, telemetry } = this.#parts;
    if (this.#letter(id) === undefined) return false;
    await bus.append([closingRecord(id)]);
    this.#closing.add(id);
    telemetry.log.info({ id }, "a dead letter was dropped");
    return true;
  }

  #open(): ReadonlyMap<string, OpenLetter> {
    const open = new Map(this.#parts.table().entries());
    for (const id of this.#closing) if (!open.delete(id)) this.#closing.delete(id);
    return open;
  }

  /** One of them, without a look at all. */
  #letter(id: string): OpenLetter | undefined {
    return this.#closing.has(id) ? undefined : this.#parts.table().get(id);
  }

  /** The record of an open letter. */
  async #record(id: string): Promise<BusRecord | undefined> {
    const { bus } = this.#parts;
    const place = placeOf(id);
    if (place === undefined || this.#letter(id) === undefined) return undefined;
    return bus.find("dead-letters", place.partition, place.offset);
  }

  async #readAgain(letter: DeadLetter, record: BusRecord): Promise<ReadAgain> {
    if (letter.record !== undefined) return this.#sameRecord(letter, letter.record);
    const { collectors, placeKey } = this.#parts;
    const { feed, raw } = letter;
    const collector = feed === undefined ? undefined : collectors.get(feed);
    if (feed === undefined || collector === undefined) {
      const expected = "a letter that names the feed it came from";
      const found = shown(feed ?? "none");
      const place = recordPlace(record);
      return { problems: [{ code: "feed-unknown", place, expected, found }] };
    }
    const unknown = { receivedAt: record.appendedAt, headers: {}, place: `${feed} dead letter` };
    const delivery = letter.delivery ?? unknown;
    const { events, rejections } = collector.read(Buffer.from(raw), delivery);
    if (events.length === 0 && rejections.length > 0) {
      return { problems: rejections.map(({ problem }) => problem) };
    }
    const occurredAt = events.reduce((latest, event) => Math.max(latest, event.occurredAt), 0);
    const accepted = { feed, count: events.length, occurredAt };
    const records = [
      ...events.map((event) => eventRecord(event, placeKey(event))),
      ...rejections.map((rejection) => deadLetterRecord(rejection, { feed, delivery })),
    ];
    return { records, events: events.length, rejected: rejections.length, accepted };
  }

  /** A record of the bus goes to its topic again, if its stage can now read it. */
  async #sameRecord(
    { raw }: DeadLetter,
    { topic, partition, offset, key }: NonNullable<DeadLetter["record"]>,
  ): Promise<ReadAgain> {
    const { bus, clock } = this.#parts;
    const kept = await bus.find(topic, partition, offset);
    const value = kept?.value ?? Buffer.from(raw);
    const from = kept ?? { topic, partition, offset, key, value, appendedAt: clock.now() };
    const read =
      topic === "events" ? decodeEvent(value, recordPlace(from)) : readRecord(topic, from);
    if (isProblem(read)) return { problems: [read] };
    return { records: [{ topic, key, value }], events: topic === "events" ? 1 : 0, rejected: 0 };
  }
}

type ReadAgain =
  | {
      readonly records: readonly NewRecord[];
      readonly events: number;
      readonly rejected: number;
      readonly accepted?: Parameters<Emit["eventsAccepted"]>[0];
    }
  | { readonly problems: readonly Problem[] };

function readCursor(text: string): Pick<OpenLetter, "at" | "id"> {
  const [, at, id = ""] = /^(\d{1,16})\.(dl-\d+-\d+)$/.exec(text) ?? [];
  if (at !== undefined && placeOf(id) !== undefined) return { at: Number(at), id };
  const expected = "the cursor of an earlier page";
  const found = shown(text);
  throw new ServiceError({ code: "cursor-invalid", place: "cursor", expected, found });
}
