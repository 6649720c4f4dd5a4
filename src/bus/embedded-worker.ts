/** @module The thread of the embedded bus: owns the file, does one request after the other. */

import { parentPort, workerData } from "node:worker_threads";
import { BusFile } from "./embedded-file.ts";
import { problemOf, type ThreadAnswer, type ThreadRequest } from "./embedded-protocol.ts";
import type { BusFileSettings } from "./embedded-schema.ts";

const settings = workerData as BusFileSettings;

function say(answer: ThreadAnswer): void {
  const transfer = answer.kind === "records" ? answer.chunks.map(({ buffer }) => buffer) : [];
  parentPort?.postMessage(answer, transfer);
}

function answer(file: BusFile, request: ThreadRequest): ThreadAnswer {
  const { id, kind } = request;
  try {
    switch (kind) {
      case "append":
        return { kind: "appended", id, grown: file.append(request.chunks) };
      case "read":
        return { kind: "records", id, chunks: file.read(request.range) };
      case "trim":
        return { kind: "trimmed", id, extent: file.trim(request.trim) };
      case "close":
        file.close();
        return { kind: "closed", id };
      default:
        return kind satisfies never;
    }
  } catch (error) {
    return { kind: "failed", id, problem: problemOf(error, settings.path) };
  }
}

function serve(): void {
  let file: BusFile;
  try {
    file = new BusFile(settings);
  } catch (error) {
    say({ kind: "failed", id: 0, problem: problemOf(error, settings.path) });
    return;
  }
  parentPort?.on("message", (request: ThreadRequest) => {
    say(answer(file, request));
    if (request.kind === "close") parentPort?.close();
  });
  say({ kind: "opened", partitions: file.partitions, streams: file.extents() });
}

serve();
