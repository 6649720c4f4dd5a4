/** @module A command's streams, captured. */

import { Readable, Writable } from "node:stream";
import { runCli } from "../../src/cli/cli.ts";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunSettings {
  /** Chunks as they come in. */
  readonly stdin?: readonly (string | Buffer)[];
  readonly isTTY?: boolean;
}

function captured(chunks: string[], isTTY: boolean): NodeJS.WritableStream & { isTTY: boolean } {
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk.toString("utf8"));
      done();
    },
  });
  return Object.assign(stream, { isTTY });
}

export async function run(args: readonly string[], settings: RunSettings = {}): Promise<Ran> {
  const { stdin = [], isTTY = false } = settings;
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli(args, {
    stdout: captured(out, isTTY),
    stderr: captured(err, isTTY),
    stdin: Readable.from(stdin.map((chunk) => Buffer.from(chunk))),
  });
  return { code, out: out.join(""), err: err.join("") };
}

/** Every character a terminal could obey, apart from the line feed. */
export const steering: RegExp = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;
