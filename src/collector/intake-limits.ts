/** @module What bounds the doors: bytes in work, delivery ids remembered. */

import type { FastifyReply, FastifyRequest } from "fastify";
import { ServiceError } from "../error.ts";

/** Bounds the bytes of all bodies being worked on: past it, senders are asked to come again. */
export class IntakeLimiter {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  async hold(
    request: FastifyRequest<{ Body: Buffer }>,
    reply: FastifyReply,
    act: () => Promise<unknown>,
  ): Promise<unknown> {
    const size = request.body?.length ?? 0;
    if (this.#bytes + size > this.#bytesMax) return unavailable(reply);
    this.#bytes += size;
    try {
      return await act();
    } catch (error) {
      if (error instanceof ServiceError && error.problem.code === "intake-full") {
        return unavailable(reply);
      }
      throw error;
    } finally {
      this.#bytes -= size;
    }
  }
}

function unavailable(reply: FastifyReply): unknown {
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
