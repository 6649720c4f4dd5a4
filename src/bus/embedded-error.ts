/** @module What SQLite throws, as the coded problems of the bus. */

import { ServiceError } from "../error.ts";

/** Runs `act`; what SQLite throws becomes a ServiceError. */
export function guarded<T>(place: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw coded(place, error);
  }
}

function coded(place: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof ServiceError) return error;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  const found = error.message;
  const problem = (name: "bus-corrupt" | "bus-in-use" | "bus-unavailable" | "intake-full") => {
    const expected = expectations[name];
    return new ServiceError({ code: name, place, expected, found }, { cause: error });
  };
  // An integer that no number can hold was never written by us.
  if (code === "ERR_OUT_OF_RANGE") return problem("bus-corrupt");
  if (code !== "ERR_SQLITE_ERROR" || typeof errcode !== "number") return error;
  const primary = errcode & 0xff; // the high bits only refine, https://sqlite.org/rescode.html
  // CORRUPT, NOTADB; ERROR too: our statements are right for the tables that we make.
  if (primary === 11 || primary === 26 || primary === 1) return problem("bus-corrupt");
  if (primary === 5 || primary === 6) return problem("bus-in-use"); // BUSY, LOCKED
  if (primary === 13) return problem("intake-full"); // FULL
  return problem("bus-unavailable");
}

const expectations = {
  "bus-corrupt": "a sound database",
  "bus-in-use": "nobody else to have it open",
  "bus-unavailable": "a file that can be read and written",
  "intake-full": "room on the disk",
} as const;
