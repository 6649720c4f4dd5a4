/**
 * @module The condition language: or < and < not < `1 of x*` < parentheses. Text in, a tree over
 * search names out.
 * Source: Sigma rules specification 2.1.0, "condition".
 */

import { shown } from "../error.ts";
import { nearest } from "../nearest.ts";
import type { Condition } from "./rule.ts";
import { textTest } from "./text-test.ts";
import { anyRun, type Pattern } from "./value.ts";

/** Why a condition does not parse, and at which offset of its text. */
export interface ConditionFault {
  readonly offset: number;
  readonly expected: string;
  readonly found: string;
}

/**
 * Parentheses and `not`s inside each other; bounds the recursion here and in everything built from
 * the tree.
 */
const depthMax = 64;

/**
 * The tree, with every `x of` already spread over the searches it names; or what is wrong and
 * where.
 */
export function parseCondition(
  text: string,
  searchNames: readonly string[],
): Condition | ConditionFault {
  const parser = new Parser(text, searchNames);
  try {
    return parser.whole();
  } catch (error) {
    if (error instanceof Unexpected) return error.fault;
    throw error;
  }
}

export function isFault(result: Condition | ConditionFault): result is ConditionFault {
  return "offset" in result;
}

interface Token {
  /** "(" and ")", a keyword in lower case, "word" for the rest, "end" after the last. */
  readonly kind: string;
  readonly text: string;
  readonly offset: number;
}

const keywords = new Set(["and", "or", "not", "of", "them"]);

class Unexpected extends Error {
  readonly fault: ConditionFault;

  constructor(token: Token, expected: string) {
    super(expected);
    const found = token.kind === "end" ? "the end" : `'${shown(token.text)}'`;
    this.fault = { offset: token.offset, expected, found };
  }
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(/[()|]|[^\s()|]+/g)) {
    const lower = match[0].toLowerCase();
    const isMark = match[0].length === 1 && "()|".includes(match[0]);
    const kind = isMark || keywords.has(lower) ? lower : "word";
    tokens.push({ kind, text: match[0], offset: match.index });
  }
  tokens.push({ kind: "end", text: "", offset: text.trimEnd().length });
  return tokens;
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #names: readonly string[];
  #next = 0;
  #depth = 0;

  constructor(text: string, names: readonly string[]) {
    this.#tokens = tokensOf(text);
    this.#names = names;
  }

  whole(): Condition {
    const condition = this.#or();
    const token = this.#peek();
    if (token.kind === "|") {
      throw new Unexpected(token, "the end (counting is a correlation rule's work in Sigma 2)");
    }
    if (token.kind !== "end") throw new Unexpected(token, "'and', 'or' or the end");
    return condition;
  }

  #peek(): Token {
    // The last token is the end and is never passed.
    return this.#tokens[this.#next] ?? { kind: "end", text: "", offset: 0 };
  }

  #take(): Token {
    const token = this.#peek();
    if (token.kind !== "end") this.#next++;
    return token;
  }

  #takeIf(kind: string): boolean {
    if (this.#peek().kind !== kind) return false;
    this.#next++;
    return true;
  }

  #or(): Condition {
    const parts = [this.#and()];
    while (this.#takeIf("or")) parts.push(this.#and());
    return joined("or", parts);
  }

  #and(): Condition {
    const parts = [this.#not()];
    while (this.#takeIf("and")) parts.push(this.#not());
    return joined("and", parts);
  }

  #not(): Condition {
    const token = this.#peek();
    if (!this.#takeIf("not")) return this.#primary();
    return this.#inner(token, () => ({ kind: "not", of: this.#not() }));
  }

  #inner(opening: Token, parse: () => Condition): Condition {
    if (++this.#depth > depthMax) {
      throw new Unexpected(opening, `at most ${depthMax} levels of parentheses and 'not'`);
    }
    const condition = parse();
    this.#depth--;
    return condition;
  }

  #primary(): Condition {
    const token = this.#take();
    if (token.kind === "(") {
      return this.#inner(token, () => {
        const condition = this.#or();
        const closing = this.#take();
        if (closing.kind !== ")") throw new Unexpected(closing, "'and', 'or' or ')'");
        return condition;
      });
    }
    if (token.kind !== "word") {
      throw new Unexpected(token, "a search name, '1 of', 'all of', 'not' or '('");
    }
    return this.#peek().kind === "of" ? this.#quantified(token) : this.#search(token);
  }

  #quantified(quantifier: Token): Condition {
    const word = quantifier.text.toLowerCase();
    if (word !== "1" && word !== "any" && word !== "all") {
      throw new Unexpected(quantifier, "'1' or 'all' before 'of'");
    }
    this.#take(); // of
    const target = this.#take();
    const names = this.#named(target);
    const parts = names.map((name): Condition => ({ kind: "search", name }));
    return joined(word === "all" ? "and" : "or", parts);
  }

  #named(target: Token): readonly string[] {
    if (target.kind === "them") {
      const names = this.#names.filter((name) => !name.startsWith("_"));
      if (names.length === 0)
        throw new Unexpected(target, "a search whose name has no '_' in front");
      return names;
    }
    if (target.kind !== "word") throw new Unexpected(target, "'them', a search name or a pattern");
    const { holds } = textTest([namePattern(target.text)]);
    const names = this.#names.filter(holds);
    if (names.length === 0)
      throw new Unexpected(target, this.#known("a pattern that fits a search"));
    return names;
  }

  #search(token: Token): Condition {
    if (this.#names.includes(token.text)) return { kind: "search", name: token.text };
    const near = nearest(token.text, this.#names);
    throw new Unexpected(token, near === undefined ? this.#known("a search name") : `'${near}'`);
  }

  #known(what: string): string {
    return `${what} (there are: ${this.#names
      .slice(0, 10)
      .map((name) => shown(name, 40))
      .join(", ")})`;
  }
}

/** `*` alone has a meaning. Not a regular expression: those can take exponential time. */
function namePattern(text: string): Pattern {
  const parts = text.split(/(\*)/).filter((part) => part !== "");
  return parts.map((part) => (part === "*" ? anyRun : { text: part }));
}

function joined(kind: "and" | "or", parts: readonly Condition[]): Condition {
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : { kind, of: parts };
}
