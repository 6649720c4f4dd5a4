// What matching costs beside parsing: events per CPU second with the shipped rules, and the ratio
// to JSON.parse alone.

import { createDetection, loadRuleset, readRuleFiles } from "../../src/detection/detection.ts";
import { decodeEvent, encodeEvent, isProblem } from "../../src/event/codec.ts";
import type { Event } from "../../src/event/event.ts";
import { benchEvents, bestOf, collect, cpuSeconds, posts } from "./events.ts";
import type { BenchLine } from "./line.ts";

export async function benchEngine(short: boolean): Promise<BenchLine[]> {
  const runs = short ? 3 : 9;
  const events = benchEvents();
  const encoded = events.map(encodeEvent);
  const read = readRuleFiles({ rulesDirs: ["rules"], listsDirs: ["rules/lists"] });
  let ruleset = loadRuleset(read).ruleset;
  const loadSeconds = await cpuSeconds(() => {
    ruleset = loadRuleset(read).ruleset;
  });
  const detection = createDetection(ruleset);
  let matches = 0;
  const parse = (): Event[] => {
    return encoded.flatMap((bytes) => {
      const event = decodeEvent(bytes, "bench");
      return isProblem(event) ? [] : [event];
    });
  };
  const parseSeconds = await bestOf(runs, () => {
    parse();
  });
  const matchSeconds = await bestOf(runs, () => {
    for (const event of parse()) matches += detection.detect(event).length;
  });
  const collectSeconds = await bestOf(runs, () => {
    for (const post of posts) collect(post);
  });
  const rate = (seconds: number) => events.length / seconds;
  const against = `JSON.parse of the same events, ${Math.round(rate(parseSeconds))} a CPU-s`;
  return [
    { metric: "events in the set", value: events.length, unit: "events" },
    { metric: "shipped rules loaded in", value: loadSeconds * 1000, unit: "ms of CPU" },
    { metric: "JSON.parse alone", value: rate(parseSeconds), unit: "events/CPU-s" },
    { metric: "JSON.parse and all shipped rules", value: rate(matchSeconds), unit: "events/CPU-s" },
    { metric: "ratio", value: parseSeconds / matchSeconds, unit: "of JSON.parse", against },
    { metric: "collectors: bytes to events", value: rate(collectSeconds), unit: "events/CPU-s" },
    { metric: "matches a run", value: matches / runs, unit: "matches" },
  ];
}
