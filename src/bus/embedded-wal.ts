/**
 * @module Looks for damage in a write-ahead log that SQLite would take for its end.
 *
 * SQLite reads the log up to the first frame whose checksum is wrong and forgets the rest, because
 * a crash may leave the last transaction torn. With synchronous=FULL a transaction is on the disk
 * before the next one begins, so whole commits beyond the wrong frame mean that records already
 * acknowledged were damaged: those must not vanish quietly. Format:
 * https://sqlite.org/fileformat2.html#walformat.
 */

import { closeSync, openSync, readSync } from "node:fs";

const headerBytes = 32;
const frameHeaderBytes = 24;

/**
 * What is wrong with the log at `path`, or undefined: sound, absent, or torn only in its last
 * transaction.
 */
export function walDamage(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined; // SQLite itself reports a log that is there and cannot be read
  }
  try {
    return damageIn(file);
  } finally {
    closeSync(file);
  }
}

function damageIn(file: number): string | undefined {
  const header = Buffer.alloc(headerBytes);
  if (readSync(file, header, 0, headerBytes, 0) < headerBytes) return undefined;
  // All zero: the file was made and nothing reached the disk.
  if (header.every((byte) => byte === 0)) return undefined;
  const magic = header.readUInt32BE(0);
  const bigEndian = magic === 0x377f0683;
  if (!bigEndian && magic !== 0x377f0682) return "a log header of another format";
  const sum = { first: 0, second: 0, bigEndian };
  add(sum, header.subarray(0, 24));
  if (!sumIs(sum, header, 24)) return "a log header with a wrong checksum";
  const pageBytes = header.readUInt32BE(8);
  const salts = header.subarray(16, 24);
  const frame = Buffer.alloc(frameHeaderBytes + pageBytes);
  let broken: number | undefined;
  let commitsBeyond = 0;
  for (let index = 0; ; index++) {
    const at = headerBytes + index * frame.byteLength;
    if (readSync(file, frame, 0, frame.byteLength, at) < frame.byteLength) break;
    const current = frame.subarray(8, 16).equals(salts);
    if (broken === undefined) {
      add(sum, frame.subarray(0, 8));
      add(sum, frame.subarray(frameHeaderBytes));
      if (!current || !sumIs(sum, frame, 16)) broken = index;
    }
    // Frames of an earlier round of the log have other salts: they are done with.
    if (broken !== undefined && current && frame.readUInt32BE(4) !== 0) commitsBeyond++;
  }
  // One commit may be the torn transaction's own.
  if (commitsBeyond < 2) return undefined;
  return `frame ${broken} with a wrong checksum and ${commitsBeyond} commits beyond`;
}

interface Sum {
  first: number;
  second: number;
  readonly bigEndian: boolean;
}

function add(sum: Sum, bytes: Buffer): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const littleEndian = !sum.bigEndian;
  let { first, second } = sum;
  for (let at = 0; at < bytes.byteLength; at += 8) {
    first = (first + view.getUint32(at, littleEndian) + second) >>> 0;
    second = (second + view.getUint32(at + 4, littleEndian) + first) >>> 0;
  }
  sum.first = first;
  sum.second = second;
}

function sumIs(sum: Sum, bytes: Buffer, at: number): boolean {
  return sum.first === bytes.readUInt32BE(at) && sum.second === bytes.readUInt32BE(at + 4);
}
