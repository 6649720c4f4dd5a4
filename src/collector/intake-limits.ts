/** @module What bounds the doors: bytes in work, delivery ids remembered. */

import type { FastifyReply, FastifyRequest } from "fastify";
import { ServiceError } from "../error.ts";

export interface IntakeLimits {
  /** Of all bodies being read or worked on. */
  readonly bytesMax: number;
  /** Of one body. */
  readonly bodyBytesMax: number;
}

/** What one request holds of the room. */
interface Held {
  bytes: number;
  readonly unproven: boolean;
  working: boolean;
}

/** The same body may be taken a little later: when there is room, when brokers are back. */
const waits: ReadonlySet<string> = new Set(["intake-full", "bus-unavailable"]);

/**
 * Bounds the bytes of all bodies being read or worked on: past it, senders are asked to come again.
 *
 * Room is taken before a body is read, and given back when its work is done or its sender is gone.
 */
export class IntakeLimiter {
  readonly #limits: IntakeLimits;
  readonly #unprovenMax: number;
  readonly #held = new WeakMap<FastifyRequest, Held>();
  #bytes = 0;
  #unproven = 0;

  constructor(limits: IntakeLimits) {
    this.#limits = limits;
    // Strangers must leave room for the feeds that have shown a credential.
    this.#unprovenMax = Math.max(limits.bytesMax / 2, limits.bodyBytesMax);
  }

  /**
   * Takes room for a body that is yet to be read, or returns false. Unproven is one whose
   * credential only the whole body can show.
   */
  reserve(request: FastifyRequest, reply: FastifyReply, unproven: boolean): boolean {
    const bytes = this.#announced(request);
    if (this.#bytes + bytes > this.#limits.bytesMax) return false;
    if (unproven && this.#unproven + bytes > this.#unprovenMax) return false;
    const held: Held = { bytes: 0, unproven, working: false };
    this.#held.set(request, held);
    this.#resize(held, bytes);
    // Comes after each answer, and when the sender goes away without one.
    reply.raw.once("close", () => {
      if (!held.working) this.#resize(held, 0);
    });
    return true;
  }

  /** Does the work on a body that was read, then gives its room back. */
  async hold(
    request: FastifyRequest<{ Body: Buffer }>,
    reply: FastifyReply,
    act: () => Promise<unknown>,
  ): Promise<unknown> {
    const held = this.#held.get(request) ?? { bytes: 0, unproven: false, working: false };
    held.working = true;
    this.#resize(held, request.body?.length ?? 0);
    this.#held.set(request, held);
    try {
      return await act();
    } catch (error) {
      if (error instanceof ServiceError && waits.has(error.problem.code)) return unavailable(reply);
      throw error;
    } finally {
      held.working = false;
      this.#resize(held, 0);
    }
  }

  /** Takes more room for a body that grows when it is inflated. Throws `intake-full`. */
  grow(request: FastifyRequest, bytes: number): void {
    const held = this.#held.get(request);
    const { bytesMax } = this.#limits;
    if (held === undefined || this.#bytes + bytes > bytesMax) {
      const expected = `at most ${bytesMax} bytes in work`;
      const found = `${this.#bytes + bytes} bytes`;
      throw new ServiceError({ code: "intake-full", place: "doors", expected, found });
    }
    this.#resize(held, held.bytes + bytes);
  }

  #resize(held: Held, bytes: number): void {
    this.#bytes += bytes - held.bytes;
    if (held.unproven) this.#unproven += bytes - held.bytes;
    held.bytes = bytes;
  }

  /** Of a body that is sent in pieces no length is known: it may become as long as any. */
  #announced({ headers }: FastifyRequest): number {
    const { bytesMax, bodyBytesMax } = this.#limits;
    if (headers["transfer-encoding"] !== undefined) return Math.min(bodyBytesMax, bytesMax);
    const length = Number(headers["content-length"] ?? 0);
    // One that is too long is refused unread, and needs no room.
    return length > bodyBytesMax || Number.isNaN(length) ? 0 : length;
  }
}

/** Asks the sender to come again. */
export function unavailable(reply: FastifyReply): FastifyReply {
  return reply.code(503).header("retry-after", "2").send({ title: "intake is full", status: 503 });
}

/**
 * Delivery ids seen lately. Only saves work: an id forgotten here is harmless, because an event's
 * id is its delivery's and everything downstream knows it again.
 */
export class RecentIds {
  readonly #ids = new Set<string>();
  readonly #idsMax: number;

  constructor(idsMax: number) {
    this.#idsMax = idsMax;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(id: string): void {
    this.#ids.add(id);
    if (this.#ids.size <= this.#idsMax) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      break;
    }
  }
}
