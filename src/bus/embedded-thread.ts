/**
 * @module The embedded bus's end of its thread: requests out, answers to the promises that wait for
 * them.
 */

import { Worker } from "node:worker_threads";
import { ServiceError } from "../error.ts";
import { problemOf, type ThreadAnswer, type ThreadRequest } from "./embedded-protocol.ts";
import type { BusFileSettings } from "./embedded-schema.ts";

interface Waiting {
  readonly resolve: (answer: ThreadAnswer) => void;
  readonly reject: (error: ServiceError) => void;
}

type Opened = ThreadAnswer & { readonly kind: "opened" };
type RequestBody =
  | Omit<ThreadRequest & { kind: "append" }, "id">
  | Omit<ThreadRequest & { kind: "read" }, "id">
  | Omit<ThreadRequest & { kind: "trim" }, "id">
  | Omit<ThreadRequest & { kind: "close" }, "id">;

/** A thread that dies rejects everything asked of it, then and later, with `bus-unavailable`. */
export class BusThread {
  readonly #worker: Worker;
  readonly #path: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  /** Resolves once the file is open and checked; rejects with what was wrong with it. */
  readonly opened: Promise<Opened>;
  #lastId = 0;
  #dead: ServiceError | undefined;

  constructor(settings: BusFileSettings) {
    this.#path = settings.path;
    this.#worker = new Worker(new URL("./embedded-worker.ts", import.meta.url), {
      workerData: settings,
      name: "bus",
    });
    this.opened = this.#wait(0) as Promise<Opened>;
    this.#worker.on("message", (answer: ThreadAnswer) => this.#answered(answer));
    this.#worker.on("error", (error) => this.#die(error));
    this.#exited = new Promise((resolve) => {
      this.#worker.on("exit", (code) => {
        this.#die(new Error(`the thread ended with code ${code}`));
        resolve();
      });
    });
  }

  /** The buffers of `transfer` are gone for the caller. */
  ask(request: RequestBody, transfer: ArrayBuffer[] = []): Promise<ThreadAnswer> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    const id = ++this.#lastId;
    const answer = this.#wait(id);
    this.#worker.postMessage({ ...request, id }, transfer);
    return answer;
  }

  /** Resolves when the thread is gone; it goes after `close`, or when it could not open. */
  exited(): Promise<void> {
    return this.#exited;
  }

  #wait(id: number): Promise<ThreadAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
  }

  #answered(answer: ThreadAnswer): void {
    const id = answer.kind === "opened" ? 0 : answer.id;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (answer.kind === "failed") waiting?.reject(new ServiceError(answer.problem));
    else waiting?.resolve(answer);
  }

  #die(error: unknown): void {
    this.#dead ??= new ServiceError(problemOf(error, this.#path), { cause: error });
    for (const { reject } of this.#waiting.values()) reject(this.#dead);
    this.#waiting.clear();
  }
}
