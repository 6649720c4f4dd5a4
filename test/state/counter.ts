/** @module A State that counts: what it must hold follows from how far it has counted. */

import { expect } from "vitest";
import type { State, StateOwner } from "../../src/state/state.ts";
import { contents } from "../contract/state.ts";

export const counterOwner: StateOwner = { stage: "correlate", partition: 1 };

/** Rows that come and go beside the counter. */
const rowsMax = 17;

/** Counts on by one and gives the new number; to be committed. */
export function step(state: State): number {
  const table = state.table<number>("t");
  const number = (table.get("count") ?? 0) + 1;
  table.put("count", number);
  table.put(`row-${number % rowsMax}`, number);
  table.delete(`row-${(number + 5) % rowsMax}`);
  state.advance("events", 0, number);
  return number;
}

/** Wants all of what a State holds to be that of one number; gives the number. */
export function expectCounted(state: State): number {
  const number = state.table<number>("t").get("count") ?? 0;
  const rows = new Map<string, number>();
  for (let at = Math.max(1, number - 2 * rowsMax); at <= number; at++) {
    rows.set("count", at);
    rows.set(`row-${at % rowsMax}`, at);
    rows.delete(`row-${(at + 5) % rowsMax}`);
  }
  expect(new Map(contents(state, "t"))).toEqual(rows);
  expect(state.position("events", 0)).toBe(number);
  return number;
}
