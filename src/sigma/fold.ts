/** @module Case folding: two texts are equal in any case when their folded forms are equal. */

/**
 * Folds case one character for one (Unicode simple case folding), so that `?` still means one
 * character of the event. Not `toLowerCase`, which lengthens İ and writes Σ in two ways by its
 * neighbours.
 */
export function fold(text: string): string {
  // Rules test a few fields of an event over and over; the last answers save most of the work.
  const place = text.length % lastMax;
  if (text === lastTexts[place]) return lastFolded[place] ?? "";
  const folded = isAscii(text) ? text.toLowerCase() : foldUnits(text);
  if (text.length <= lengthKeptMax) {
    lastTexts[place] = text;
    lastFolded[place] = folded;
  }
  return folded;
}

/** One place for all texts of a length: finding it costs nothing. */
const lastMax = 128;
const lengthKeptMax = 4_096;
const lastTexts: string[] = Array.from({ length: lastMax }, () => "");
const lastFolded: string[] = Array.from({ length: lastMax }, () => "");

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

function foldUnits(text: string): string {
  table ??= foldTable();
  const units = new Uint16Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    const next = unit >= 0xd800 && unit <= 0xdbff ? text.codePointAt(at) : undefined;
    if (next === undefined || next <= 0xffff) {
      units[at] = table[unit] ?? unit;
      continue;
    }
    // Outside the first plane every case pair is one character to one, each of two units.
    const pair = String.fromCodePoint(next).toLowerCase();
    units[at] = pair.charCodeAt(0);
    units[++at] = pair.charCodeAt(1);
  }
  return Buffer.from(units.buffer).toString("utf16le");
}

let table: Uint16Array | undefined;

/**
 * Lower case of the upper case where both are one unit: that joins ſ with s and ς with σ, and
 * leaves ß and İ alone.
 */
function foldTable(): Uint16Array {
  const units = new Uint16Array(0x10000);
  for (let unit = 0; unit < units.length; unit++) {
    const char = String.fromCharCode(unit);
    const upper = char.toUpperCase();
    const lower = (upper.length === 1 ? upper : char).toLowerCase();
    units[unit] = lower.length === 1 ? lower.charCodeAt(0) : unit;
  }
  // Dotless ı folds to i in Turkish only.
  units[0x131] = 0x131;
  return units;
}
