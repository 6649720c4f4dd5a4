/**
 * @module The table of field modifiers, one entry each, and which of them go together.
 * Source: Sigma modifiers appendix 2.1.0.
 */

import { RE2JS } from "re2js";
import { type Problem, shown } from "../error.ts";
import { nearest } from "../nearest.ts";
import { anyRun, base64Offsets, literalOf, type Pattern, withDashes } from "./value.ts";

/** What a transform gives for one value: the values that stand for it (any), or why it cannot. */
export type Transformed = readonly Carrier[] | { readonly expected: string };

/** A value on its way through transforms: a pattern, or bytes that wait for base64. */
export type Carrier = { readonly pattern: Pattern } | { readonly bytes: Buffer };

/** How a field is compared. */
export type Comparison =
  | { readonly kind: "text"; readonly shape: (pattern: Pattern) => Pattern }
  | { readonly kind: "regex" }
  | { readonly kind: "network" }
  | { readonly kind: "number"; readonly holds: (event: number, rule: number) => boolean }
  | { readonly kind: "exists" }
  | { readonly kind: "field"; readonly shape: (pattern: Pattern) => Pattern };

type Option = "all" | "cased" | "expand" | "neq";

type Modifier =
  | { readonly role: "compare"; readonly comparison: Comparison }
  | {
      readonly role: "transform";
      readonly encodes: boolean;
      readonly apply: (carrier: Carrier) => Transformed;
    }
  | { readonly role: "option"; readonly option: Option }
  | { readonly role: "regex-flag"; readonly flag: number }
  | { readonly role: "unsupported" };

const whole = (pattern: Pattern): Pattern => pattern;
const inside = (pattern: Pattern): Pattern => [anyRun, ...pattern, anyRun];

const unsupported: Modifier = { role: "unsupported" };

const modifiers: ReadonlyMap<string, Modifier> = new Map<string, Modifier>([
  ["contains", compare({ kind: "text", shape: inside })],
  ["startswith", compare({ kind: "text", shape: (pattern) => [...pattern, anyRun] })],
  ["endswith", compare({ kind: "text", shape: (pattern) => [anyRun, ...pattern] })],
  ["re", compare({ kind: "regex" })],
  ["cidr", compare({ kind: "network" })],
  ["lt", compare({ kind: "number", holds: (event, rule) => event < rule })],
  ["lte", compare({ kind: "number", holds: (event, rule) => event <= rule })],
  ["gt", compare({ kind: "number", holds: (event, rule) => event > rule })],
  ["gte", compare({ kind: "number", holds: (event, rule) => event >= rule })],
  ["exists", compare({ kind: "exists" })],
  ["fieldref", compare({ kind: "field", shape: whole })],
  ["all", { role: "option", option: "all" }],
  ["cased", { role: "option", option: "cased" }],
  ["expand", { role: "option", option: "expand" }],
  ["neq", { role: "option", option: "neq" }],
  ["i", { role: "regex-flag", flag: RE2JS.CASE_INSENSITIVE }],
  ["m", { role: "regex-flag", flag: RE2JS.MULTILINE }],
  ["s", { role: "regex-flag", flag: RE2JS.DOTALL }],
  ["windash", { role: "transform", encodes: false, apply: windash }],
  ["base64", { role: "transform", encodes: true, apply: (value) => base64(value, wholeBase64) }],
  [
    "base64offset",
    { role: "transform", encodes: true, apply: (value) => base64(value, base64Offsets) },
  ],
  ["wide", { role: "transform", encodes: true, apply: utf16le }],
  ["utf16le", { role: "transform", encodes: true, apply: utf16le }],
  ["utf16be", { role: "transform", encodes: true, apply: utf16be }],
  ["utf16", { role: "transform", encodes: true, apply: utf16WithMark }],
  // Parts of a time: they need the event's zone, which Sigma leaves open.
  ["minute", unsupported],
  ["hour", unsupported],
  ["day", unsupported],
  ["week", unsupported],
  ["month", unsupported],
  ["year", unsupported],
]);

function compare(comparison: Comparison): Modifier {
  return { role: "compare", comparison };
}

/** What a field's modifiers say together. */
export interface Plan {
  readonly comparison: Comparison;
  /** In the order written. */
  readonly transforms: readonly ((carrier: Carrier) => Transformed)[];
  readonly options: ReadonlySet<Option>;
  readonly regexFlags: number;
}

type Fault = Omit<Problem, "place">;

/**
 * The plan, or why these modifiers do not go together. `onKeyword`: there is no field before the
 * first `|`.
 */
export function planOf(names: readonly string[], onKeyword: boolean): Plan | Fault {
  const found: { name: string; modifier: Modifier }[] = [];
  for (const name of names) {
    const modifier = modifiers.get(name);
    const fault = faultOf(name, modifier);
    if (fault !== undefined) return fault;
    if (modifier !== undefined) found.push({ name, modifier });
  }
  if (new Set(names).size < names.length) return clash("each modifier once", names);
  const having = <Role extends Modifier["role"]>(role: Role) =>
    found.map(({ modifier }) => modifier).filter((modifier) => isRole(modifier, role));
  const options = new Set(having("option").map(({ option }) => option));
  const comparison = comparisonOf(having("compare").map((modifier) => modifier.comparison));
  if (comparison === undefined) return clash("one way to compare", names);
  const transforms = having("transform");
  const flags = having("regex-flag");
  const encodings = transforms.filter(({ encodes }) => encodes).length;
  const isText = comparison.kind === "text";
  const takesLists = isText || comparison.kind === "network";
  const rules: readonly (readonly [broken: boolean, expected: string])[] = [
    [flags.length > 0 && comparison.kind !== "regex", "'re' before i, m or s"],
    [transforms.length > 0 && !isText, "text to compare after a transform"],
    [
      options.has("cased") && !isText && comparison.kind !== "field",
      "text to compare with 'cased'",
    ],
    [options.has("expand") && !takesLists, "'expand' with text or 'cidr' only"],
    [options.has("all") && comparison.kind === "exists", "'exists' without 'all'"],
    [options.has("all") && options.has("neq"), "either 'all' or 'neq'"],
    [onKeyword && !isText && comparison.kind !== "regex", "a field to compare"],
    [onKeyword && options.has("neq"), "a field before 'neq'"],
    [
      encodings > 0 && !encodingsFit(names),
      "utf16 before base64, and base64offset with 'contains'",
    ],
  ];
  const broken = rules.find(([isBroken]) => isBroken);
  if (broken !== undefined) return clash(broken[1], names);
  const regexFlags = flags.reduce((sum, { flag }) => sum | flag, 0);
  return { comparison, transforms: transforms.map(({ apply }) => apply), options, regexFlags };
}

/** The fault of these modifiers, if they have one. */
export function modifierProblem(names: readonly string[], onKeyword: boolean): Fault | undefined {
  const plan = planOf(names, onKeyword);
  return "code" in plan ? plan : undefined;
}

function isRole<Role extends Modifier["role"]>(
  modifier: Modifier,
  role: Role,
): modifier is Extract<Modifier, { role: Role }> {
  return modifier.role === role;
}

function faultOf(name: string, modifier: Modifier | undefined): Fault | undefined {
  const found = `'${shown(name)}'`;
  if (modifier === undefined) {
    const near = name === "" ? undefined : nearest(name, modifiers.keys());
    const expected = near === undefined ? "a modifier of Sigma" : `'${near}'`;
    return { code: "modifier-unknown", expected, found };
  }
  if (modifier.role !== "unsupported") return undefined;
  return { code: "modifier-unsupported", expected: "a modifier that is supported", found };
}

function clash(expected: string, names: readonly string[]): Fault {
  return { code: "modifier-invalid", expected, found: `'${shown(names.join("|"))}'` };
}

/** One comparison; none is equality; `fieldref` takes its shape from a second one. */
function comparisonOf(comparisons: readonly Comparison[]): Comparison | undefined {
  const [first, second, ...rest] = comparisons;
  if (first === undefined) return { kind: "text", shape: whole };
  if (second === undefined) return first;
  const kinds = new Set([first.kind, second.kind]);
  if (rest.length > 0 || !kinds.has("field") || !kinds.has("text")) return undefined;
  const text = first.kind === "text" ? first : second;
  return text.kind === "text" ? { kind: "field", shape: text.shape } : undefined;
}

const toBase64 = ["base64", "base64offset"];
const toUtf16 = ["wide", "utf16le", "utf16be", "utf16"];

/**
 * Sigma defines UTF-16 forms only on the way to base64; a piece of base64 can only be looked for
 * inside.
 */
function encodingsFit(names: readonly string[]): boolean {
  const encodings = names.filter((name) => toBase64.includes(name) || toUtf16.includes(name));
  const bases = encodings.filter((name) => toBase64.includes(name));
  const last = encodings[encodings.length - 1] ?? "";
  if (encodings.length > 2 || bases.length !== 1 || !toBase64.includes(last)) return false;
  if (names.indexOf("windash") > names.indexOf(encodings[0] ?? "")) return false;
  return last !== "base64offset" || names.includes("contains");
}

function windash(carrier: Carrier): Transformed {
  const patterns = "pattern" in carrier ? withDashes(carrier.pattern) : undefined;
  if (patterns === undefined) return { expected: "at most 4 parameter dashes under 'windash'" };
  return patterns.map((pattern) => ({ pattern }));
}

function bytesOf(carrier: Carrier, encoding: BufferEncoding): Buffer | undefined {
  if ("bytes" in carrier) return carrier.bytes;
  const text = literalOf(carrier.pattern);
  return text === undefined || text === "" ? undefined : Buffer.from(text, encoding);
}

const plainText = { expected: "a text without wildcards to encode" };

function base64(carrier: Carrier, encode: (bytes: Buffer) => readonly string[]): Transformed {
  const bytes = bytesOf(carrier, "utf8");
  return bytes === undefined ? plainText : encode(bytes).map((text) => ({ pattern: [{ text }] }));
}

function wholeBase64(bytes: Buffer): readonly string[] {
  return [bytes.toString("base64")];
}

function utf16le(carrier: Carrier): Transformed {
  const bytes = bytesOf(carrier, "utf16le");
  return bytes === undefined ? plainText : [{ bytes }];
}

function utf16be(carrier: Carrier): Transformed {
  const bytes = bytesOf(carrier, "utf16le");
  return bytes === undefined ? plainText : [{ bytes: bytes.swap16() }];
}

function utf16WithMark(carrier: Carrier): Transformed {
  const bytes = bytesOf(carrier, "utf16le");
  return bytes === undefined
    ? plainText
    : [{ bytes: Buffer.concat([Buffer.from([0xff, 0xfe]), bytes]) }];
}
