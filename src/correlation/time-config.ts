/** @module Settings of time, under `time:`: how late each feed may be. */

import { type Static, type TInteger, Type } from "typebox";
import { minuteMs, secondMs } from "../clock.ts";
import type { Feed } from "../event/event.ts";

/** A feed's name as a key of the settings, which a variable of the environment can spell. */
type FeedKey = "falco" | "githubWebhook" | "githubAudit" | "egress" | "trivy" | "registry";

const keys: Readonly<Record<Feed, FeedKey>> = {
  falco: "falco",
  "github-webhook": "githubWebhook",
  "github-audit": "githubAudit",
  egress: "egress",
  trivy: "trivy",
  registry: "registry",
};

function lateness(seconds: number, description: string): TInteger {
  return Type.Integer({ default: seconds, minimum: 0, maximum: 7 * 86_400, description });
}

function pageAge(hours: number, description?: string): TInteger {
  return Type.Integer({
    ...{ default: hours * 60, minimum: 0, maximum: 366 * 24 * 60 },
    ...(description === undefined ? {} : { description }),
  });
}

export const TimeConfig = Type.Object(
  {
    idleSeconds: Type.Integer({
      default: 60,
      minimum: 1,
      maximum: 86_400,
      description: "A feed that brings nothing for so long is no longer waited for.",
    }),
    latenessSeconds: Type.Object(
      {
        falco: lateness(60, "Falco sends each alert at once; falcosidekick in no order."),
        githubWebhook: lateness(120, "Sent within seconds; a redelivery hours later is late."),
        githubAudit: lateness(1_200, "The stream is written in blocks, many minutes apart."),
        egress: lateness(
          300,
          "A line is written when its request ends and counts from when it began: a longer " +
            "transfer is late.",
        ),
        trivy: lateness(
          600,
          "A report bears the time of the scan and comes when the job sends it.",
        ),
        registry: lateness(120, "Repeated by the registry until it is answered."),
      },
      {
        additionalProperties: false,
        default: {},
        description:
          "How much later than the newest event of its feed an event may come and still be on " +
          "time. Conditions with an upper bound (`lt`, `lte`, `eq`, `neq`) wait for the longest " +
          "of the feeds that are heard. Others never wait.",
      },
    ),
    pageAgeMaxMinutes: Type.Object(
      {
        falco: pageAge(24),
        githubWebhook: pageAge(24),
        githubAudit: pageAge(24),
        egress: pageAge(24),
        trivy: pageAge(7 * 24, "A report may be sent long after its scan and still hold."),
        registry: pageAge(24),
      },
      {
        additionalProperties: false,
        default: {},
        description:
          "An event that its feed told of later than this after it occurred opens an incident " +
          "but wakes nobody, and says why. How long it then waited in this service never counts.",
      },
    ),
  },
  { additionalProperties: false, default: {} },
);
export type TimeConfig = Static<typeof TimeConfig>;

/** The allowed lateness of each feed, in ms. */
export function latenessOf(config: TimeConfig): (feed: Feed) => number {
  return (feed) => config.latenessSeconds[keys[feed]] * secondMs;
}

/** How late each feed may tell of an event that is still to wake someone, in ms. */
export function pageAgeMaxOf(config: TimeConfig): (feed: Feed) => number {
  return (feed) => config.pageAgeMaxMinutes[keys[feed]] * minuteMs;
}
