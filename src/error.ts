/**
 * @module The catalogue of coded problems: what pipewarden can say is wrong with what it was given.
 */

/**
 * Every code, with the sentence that documents it. CONTRIBUTING.md lists them; test/docs.test.ts
 * compares.
 */
export const problemCodes = {
  "json-invalid": "the text is not JSON",
  "shape-unexpected": "a value has another type or shape than its format says",
  "field-missing": "a field that the format requires is absent",
  "time-invalid": "a time cannot be read",
  "feed-unknown": "no collector recognises the record",
  "format-unsupported": "the format is known and not accepted here",
  "body-too-large": "the body exceeds the limit of its door",
  "nesting-too-deep": "the JSON nests deeper than is accepted",
  "encoding-unsupported": "the content encoding or type is not accepted",
  "signature-invalid": "the signature or credential does not match",
  "intake-full": "the service cannot take more now; try again after the time given",
  "yaml-invalid": "the text is not YAML, or uses what we refuse of YAML",
  "rule-invalid": "a rule lacks a key or gives one the wrong type or value",
  "rule-key-unknown": "a rule uses a key that Sigma and pipewarden do not have",
  "rule-duplicate": "two rules share an id or a name",
  "rule-reference-unknown": "a correlation names a rule that is not loaded",
  "condition-expected": "a condition does not follow the grammar",
  "modifier-unknown": "a field modifier is not one of Sigma's",
  "modifier-unsupported": "a field modifier is known to Sigma and not supported yet",
  "modifier-invalid": "field modifiers do not go together, or not with the value",
  "regex-invalid": "a regular expression cannot be run in linear time, or is not one",
  "list-unknown": "a rule asks for an operator list that does not exist",
  "config-invalid": "a setting is unknown or has a wrong value",
  "input-unreadable": "a file given to a command cannot be read",
  "bus-corrupt": "the bus does not hold what was written",
  "bus-in-use": "another process, or another part of this one, has the bus file open",
  "bus-unavailable": "the bus is closed, its file cannot be used, or its brokers do not answer",
  "bus-records-lost": "retention let go of records before they were handled",
  "store-corrupt": "the store file does not hold what was written",
  "cursor-invalid": "a page cursor is not one that was given out",
  "state-corrupt": "a state does not hold what was written",
  "state-unavailable": "the state is closed, its file cannot be used, or its brokers do not answer",
  "state-taken": "the same state has been opened again since, or nobody knows what was saved",
  "state-too-large": "the changes of a commit are more than can be saved as one",
  "service-unreachable": "no service answers a command, or it refuses to",
  "stored-record-invalid": "a record on the bus cannot be decoded",
} as const;

export type ProblemCode = keyof typeof problemCodes;

/**
 * Something wrong with what we were given: where, what was expected, what was found. A value, not
 * an exception.
 */
export interface Problem {
  readonly code: ProblemCode;
  /** `file:line:column`, `door/record 3`, `config.yml: sinks.webhook.url`: enough to find it. */
  readonly place: string;
  readonly expected: string;
  /** What stood there instead, shortened and with control characters shown; never a secret. */
  readonly found: string;
}

/** One line for people: `rules/a.yml:14:22: condition-expected: expected ')' but found 'and'`. */
export function problemLine(problem: Problem): string {
  return `${problem.place}: ${problem.code}: expected ${problem.expected} but found ${problem.found}`;
}

/**
 * Outside text made safe to show on one line: control characters escaped, cut to `lengthMax`
 * characters.
 */
export function shown(text: unknown, lengthMax = 80): string {
  const whole = typeof text === "string" ? text : jsonText(text);
  const cut = whole.length > lengthMax ? `${whole.slice(0, lengthMax).toWellFormed()}…` : whole;
  // Format characters too: a bidirectional override could make a line read as another.
  return cut.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
    return `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
  });
}

/** Of any value: what JSON cannot hold (a circle, a bigint) is told in another way. */
function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return typeof value === "object" ? "an object that is not JSON" : String(value);
  }
}

/** Start-up and programming errors. Bad input is a Problem instead. */
export class ServiceError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem, options?: ErrorOptions) {
    super(problemLine(problem), options);
    this.name = "ServiceError";
    this.problem = problem;
  }
}

/** Something the service depends on does not answer now; the same act may succeed later. */
export class UnavailableError extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "UnavailableError";
  }
}

/** The code of a problem that was thrown; undefined for any other error. */
export function codeOf(error: unknown): ProblemCode | undefined {
  return error instanceof ServiceError ? error.problem.code : undefined;
}

const passingCodes: ReadonlySet<ProblemCode> = new Set([
  "bus-unavailable",
  "state-unavailable",
  "intake-full",
]);

/** Of what the service stands on, and nothing that is wrong with a record or with us. */
export function isPassing(error: unknown): boolean {
  const code = codeOf(error);
  return error instanceof UnavailableError || (code !== undefined && passingCodes.has(code));
}
