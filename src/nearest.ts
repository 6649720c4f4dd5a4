/** @module The known name nearest to a mistyped one, for errors that help. */

const nameLengthMax = 200;

/**
 * The candidate within two edits (one for names of up to four letters), or undefined. Ties: the
 * first.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  // Outside text: comparing two very long names would take the product of their lengths.
  if (name.length > nameLengthMax) return undefined;
  let best: string | undefined;
  let bestDistance = name.length <= 4 ? 2 : 3;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance, one row at a time. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const same = left[i - 1] === right[j - 1] ? 0 : 1;
      const replace = (row[j - 1] ?? 0) + same;
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
