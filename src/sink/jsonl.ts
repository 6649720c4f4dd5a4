/**
 * @module The file sink: one JSON line per notice, on disk before it counts as delivered.
 *
 * A notice is written once even when the process dies between the write and the outbox's mark: the
 * keys in the file's last MiB are read when it is opened. A line torn by such a death is ended
 * first, so it spoils no other.
 */

import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type Static, Type } from "typebox";
import type { Notice } from "../alert/alert.ts";
import { safeJson } from "./evidence.ts";
import type { Delivery, Sink } from "./model.ts";
import { Notices } from "./terminal.ts";

export const JsonlConfig = Type.Object(
  {
    type: Type.Literal("jsonl"),
    path: Type.String({ minLength: 1, description: "The file; its folder must exist." }),
    notices: Notices,
  },
  { additionalProperties: false },
);
export type JsonlConfig = Static<typeof JsonlConfig>;

export interface JsonlSettings {
  readonly name: string;
  readonly path: string;
  readonly wants?: (notice: Notice) => boolean;
}

const tailBytes = 1024 * 1024;
const keysMax = 20_000;

export function createJsonlSink(settings: JsonlSettings): Sink {
  const { name, path, wants = () => true } = settings;
  const file = new LineFile(path);
  // One at a time: a line must not land inside another, nor a key be looked up while it is written.
  let turn: Promise<unknown> = Promise.resolve();
  return {
    name,
    wants,
    send(notice, signal) {
      const sent = turn.then(() => append(file, notice, signal));
      turn = sent;
      return sent;
    },
    async close() {
      await turn;
      await file.close();
    },
  };
}

async function append(file: LineFile, notice: Notice, signal: AbortSignal): Promise<Delivery> {
  if (signal.aborted) return { kind: "retry", reason: "cut before it was written" };
  const line = `${safeJson(notice)}\n`;
  try {
    await file.append(notice.key, line);
    return { kind: "delivered" };
  } catch (error) {
    // A full disk, a lost mount, a wrong permission: all can be put right while the notice waits.
    return { kind: "retry", reason: `cannot write: ${codeOf(error)}` };
  }
}

/**
 * An append-only file of lines that knows the keys near its end. After any error it opens the file
 * anew.
 */
class LineFile {
  readonly #path: string;
  #handle: FileHandle | undefined;
  #inode: number | undefined;
  #keys = new Set<string>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when the line is on disk, at once when its key is there already. */
  async append(key: string, line: string): Promise<void> {
    try {
      const handle = await this.#current();
      if (this.#keys.has(key)) return;
      // Goes on after a short write; an error in between leaves a torn line, which the next open
      // ends.
      await handle.appendFile(line);
      await sync(handle);
      this.#keys.add(key);
      for (const oldest of this.#keys) if (this.#keys.size > keysMax) this.#keys.delete(oldest);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  /** The open file; opened again when another took its name, as log rotation does. */
  async #current(): Promise<FileHandle> {
    if (this.#handle !== undefined) {
      const there = await stat(this.#path).catch(() => undefined);
      if (there?.ino === this.#inode) return this.#handle;
      await this.close();
    }
    // Only for the owner: command lines and names of secrets stand in it.
    const handle = await open(this.#path, "a+", 0o600);
    this.#handle = handle;
    const { ino, size } = await handle.stat();
    this.#inode = ino;
    const tail = await readTail(handle, size);
    // Known keys stay known over a rotation.
    for (const key of keysOf(tail, size > tailBytes)) this.#keys.add(key);
    if (size > 0 && tail.at(-1) !== 0x0a) await handle.appendFile("\n");
    // What an earlier process wrote may not have reached the disk, and its keys are trusted from
    // here on.
    await sync(handle);
    if (size === 0) await syncFolder(dirname(this.#path));
    return handle;
  }
}

async function readTail(handle: FileHandle, size: number): Promise<Buffer> {
  const length = Math.min(size, tailBytes);
  const tail = Buffer.alloc(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await handle.read(tail, read, length - read, size - length + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return tail.subarray(0, read);
}

/** Keys of the whole lines; the first may lack its beginning, the last its end. */
function keysOf(tail: Buffer, cut: boolean): readonly string[] {
  const lines = tail.toString("utf8").split("\n");
  return lines.slice(cut ? 1 : 0).flatMap((line) => {
    if (line === "") return [];
    try {
      const key: unknown = (JSON.parse(line) as { key?: unknown } | null)?.key;
      return typeof key === "string" ? [key] : [];
    } catch {
      return []; // A torn line: its notice was not delivered and is written again.
    }
  });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await sync(folder);
  } finally {
    await folder.close();
  }
}

/** Pipes and devices have nothing to sync and say so with EINVAL. */
async function sync(handle: FileHandle): Promise<void> {
  await handle.sync().catch((error: unknown) => {
    if (codeOf(error) !== "EINVAL") throw error;
  });
}

function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code ?? (error instanceof Error ? error.name : "unknown error");
}
