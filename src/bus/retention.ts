/**
 * @module The settings of the bus, and how long it keeps records: by age and by bytes, per topic.
 */

import { type Static, type TInteger, type TObject, Type } from "typebox";
import { hourMs } from "../clock.ts";
import type { Topic } from "./bus.ts";
import { KafkaConfig } from "./kafka-config.ts";

const gigabyte = 1_000_000_000;

function keep(
  days: number,
  gigabytes: number,
): TObject<{ maxAgeHours: TInteger; maxBytes: TInteger }> {
  return Type.Object(
    {
      maxAgeHours: Type.Integer({
        default: days * 24,
        minimum: 1,
        description: "Older records go, once they are handled.",
      }),
      maxBytes: Type.Integer({
        default: gigabytes * gigabyte,
        minimum: 1_000_000,
        description: "Beyond it the oldest go, in need also unhandled ones.",
      }),
    },
    { additionalProperties: false, default: {} },
  );
}

export const BusConfig = Type.Object(
  {
    fileBytesMax: Type.Optional(
      Type.Integer({
        minimum: 64 * 1024 * 1024,
        description: "Largest size of bus.db; when it is full the doors answer 503. Else the disk.",
      }),
    ),
    retention: Type.Object(
      {
        events: keep(7, 20),
        builds: keep(7, 2),
        matches: keep(7, 2),
        alerts: keep(7, 2),
        pages: keep(14, 2),
        documents: keep(14, 2),
        deadLetters: keep(30, 2),
      },
      {
        additionalProperties: false,
        default: {},
        description:
          "How long records stay: in bus.db once every stage has handled them, on Kafka by age alone.",
      },
    ),
    kafka: KafkaConfig,
  },
  { additionalProperties: false, description: "The file bus.db, or Kafka." },
);
export type BusConfig = Static<typeof BusConfig>;

export interface Keep {
  readonly maxAgeMs: number;
  /** Of the records of all partitions together, as they are framed; the file is a little larger. */
  readonly maxBytes: number;
}

/** A topic that is not in it keeps everything. */
export type Retention = ReadonlyMap<Topic, Keep>;

export function retentionOf({ retention }: Pick<BusConfig, "retention">): Retention {
  const { deadLetters, ...rest } = retention;
  const byTopic = Object.entries({ ...rest, "dead-letters": deadLetters });
  return new Map(
    byTopic.map(([topic, { maxAgeHours, maxBytes }]) => {
      return [topic as Topic, { maxAgeMs: maxAgeHours * hourMs, maxBytes }];
    }),
  );
}
