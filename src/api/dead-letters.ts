/** @module The API's dead letters: what could not be read, listed, shown, read again, dropped. */

import type { FastifyInstance, FastifyReply } from "fastify";
import { type Static, Type } from "typebox";
import type { Problem } from "../error.ts";

/** What the API asks of the dead letters. `undefined` and `false`: there is no such letter. */
export interface DeadLettersSource {
  list(query: { readonly limit: number; readonly cursor?: string }): Promise<unknown>;
  find(id: string): Promise<unknown>;
  retry(
    id: string,
  ): Promise<
    | { readonly kind: "done"; readonly events: number; readonly rejected: number }
    | { readonly kind: "rejected"; readonly problems: readonly Problem[] }
    | undefined
  >;
  drop(id: string): Promise<boolean>;
}

const Params = Type.Object({ id: Type.String({ maxLength: 100 }) });
const Query = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  cursor: Type.Optional(Type.String({ maxLength: 500 })),
});
const problemsMax = 20;

/** Adds the paths to a scope that has authorised the request. */
export function registerDeadLetters(scope: FastifyInstance, source: DeadLettersSource): void {
  const schema = { params: Params };
  interface WithId {
    Params: Static<typeof Params>;
  }
  scope.get<{ Querystring: Static<typeof Query> }>(
    "/dead-letters",
    { schema: { querystring: Query } },
    async ({ query: { limit, cursor } }) =>
      source.list(cursor === undefined ? { limit } : { limit, cursor }),
  );
  scope.get<WithId>("/dead-letters/:id", { schema }, async ({ params: { id } }, reply) => {
    return (await source.find(id)) ?? unknown(reply);
  });
  scope.post<WithId>("/dead-letters/:id/retry", { schema }, async ({ params: { id } }, reply) => {
    const retried = await source.retry(id);
    if (retried === undefined) return unknown(reply);
    if (retried.kind === "done") return { events: retried.events, rejected: retried.rejected };
    const problems = retried.problems.slice(0, problemsMax);
    return answer(reply, { title: "it still cannot be read", status: 422, problems });
  });
  scope.delete<WithId>("/dead-letters/:id", { schema }, async ({ params: { id } }, reply) => {
    return (await source.drop(id)) ? reply.code(204).send() : unknown(reply);
  });
}

function unknown(reply: FastifyReply): FastifyReply {
  return answer(reply, { title: "no such dead letter", status: 404 });
}

function answer(
  reply: FastifyReply,
  body: { readonly title: string; readonly status: number; readonly problems?: readonly Problem[] },
): FastifyReply {
  return reply.code(body.status).type("application/problem+json").send(JSON.stringify(body));
}
