/** @module `%name%` placeholders: values replaced by the entries of operator lists. */

import { type Problem, shown } from "../error.ts";
import { nearest } from "../nearest.ts";

/** What one written value may grow into; more is a mistake, and would hold much memory. */
const valuesMax = 1_000_000;

const placeholder = /%([^%\s]+)%/;

/**
 * Every text that the value stands for: one for each entry of the list it names (each combination,
 * when it names several); the value itself when it names none. An empty list gives [].
 */
export function expandValue(
  value: string,
  lists: ReadonlyMap<string, readonly string[]>,
): readonly string[] | Omit<Problem, "place"> {
  // Odd places hold the names, even ones the text around them.
  const pieces = value.split(placeholder);
  let texts: readonly string[] = [pieces[0] ?? ""];
  for (let at = 1; at < pieces.length; at += 2) {
    const name = pieces[at] ?? "";
    const after = pieces[at + 1] ?? "";
    const entries = lists.get(name);
    if (entries === undefined) return unknownList(name, lists);
    if (texts.length * entries.length > valuesMax) {
      const expected = `lists that give at most ${valuesMax} values`;
      return { code: "modifier-invalid", expected, found: `'${shown(value)}'` };
    }
    texts = texts.flatMap((text) => entries.map((entry) => `${text}${entry}${after}`));
  }
  return texts;
}

function unknownList(
  name: string,
  lists: ReadonlyMap<string, readonly string[]>,
): Omit<Problem, "place"> {
  const near = nearest(name, lists.keys());
  const expected = near === undefined ? "the name of a list that exists" : `'%${shown(near)}%'`;
  return { code: "list-unknown", expected, found: `'%${shown(name)}%'` };
}
