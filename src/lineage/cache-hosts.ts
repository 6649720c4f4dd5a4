/** @module Whether an address lies in one of the operator's build caches. Pure. */

type Test = (url: URL) => boolean;

/** Lists are read once; the same list is asked about every event. */
const testsOf = new WeakMap<readonly string[], readonly Test[]>();

/**
 * Whether `url` lies at a host of the list, or under a URL prefix in it. Hosts are compared as
 * Sigma compares the same list in `expand`: without case, `*` for any text, `?` for one character, and a
 * backslash before either for the character itself.
 */
export function isCache(url: URL, cacheHosts: readonly string[]): boolean {
  let tests = testsOf.get(cacheHosts);
  if (tests === undefined) {
    tests = cacheHosts.map(testOf);
    testsOf.set(cacheHosts, tests);
  }
  return tests.some((test) => test(url));
}

function testOf(cache: string): Test {
  const prefix = /^(https?:)\/\/([^/]+)(\/.*)?$/i.exec(cache);
  if (prefix === null) {
    const pattern = patternOf(cache);
    return ({ hostname, host }) => matches(pattern, hostname) || matches(pattern, host);
  }
  const [, scheme = "", host = "", written = "/"] = prefix;
  const protocol = scheme.toLowerCase();
  // An address that names the usual port is the one that does not.
  const usual = protocol === "https:" ? /:443$/ : /:80$/;
  const pattern = patternOf(host.replace(usual, ""));
  const base = new URL(written, "https://path.invalid").pathname;
  const path = base.endsWith("/") ? base : `${base}/`;
  return (url) =>
    url.protocol === protocol &&
    matches(pattern, url.host) &&
    (url.pathname.startsWith(path) || url.pathname === base);
}

/** One character, any one, or any text. */
type Part = string | typeof anyOne | typeof anyText;
const anyOne = Symbol("?");
const anyText = Symbol("*");

function patternOf(text: string): readonly Part[] {
  const parts: Part[] = [];
  const characters = [...text.trim().toLowerCase()];
  for (let index = 0; index < characters.length; index += 1) {
    const character = characters[index] ?? "";
    const next = characters[index + 1] ?? "";
    if (character === "\\" && ["\\", "*", "?"].includes(next)) {
      parts.push(next);
      index += 1;
    } else if (character === "*") parts.push(anyText);
    else parts.push(character === "?" ? anyOne : character);
  }
  return parts;
}

/** Goes back to the last `*` only, so the time is bounded by the product of the lengths. */
function matches(pattern: readonly Part[], text: string): boolean {
  let part = 0;
  let star = -1;
  let starAt = 0;
  for (let at = 0; at < text.length; ) {
    const wanted = pattern[part];
    if (wanted === anyText) {
      star = part;
      starAt = at;
      part += 1;
    } else if (wanted !== undefined && (wanted === anyOne || wanted === text[at])) {
      part += 1;
      at += 1;
    } else if (star >= 0) {
      starAt += 1;
      at = starAt;
      part = star + 1;
    } else return false;
  }
  return pattern.slice(part).every((rest) => rest === anyText);
}
