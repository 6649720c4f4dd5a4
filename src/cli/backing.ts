/**
 * @module What a service stands on: one machine's files, or Kafka and what this machine keeps for
 * itself.
 */

import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Bus, OnTrouble } from "../bus/bus.ts";
import { openEmbeddedBus } from "../bus/embedded.ts";
import { kafkaInstallation } from "../bus/kafka-connection.ts";
import { retentionOf } from "../bus/retention.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { ServiceError, shown } from "../error.ts";
import { openEmbeddedState } from "../state/embedded.ts";
import type { StateStore } from "../state/state.ts";
import { openEmbeddedStore } from "../store/embedded.ts";
import type { Store } from "../store/store.ts";
import type { Telemetry } from "../telemetry.ts";
import { errorCode } from "./terminal.ts";

export interface Backing {
  readonly bus: Bus;
  /** Of partitions, for whoever has them. */
  readonly states: StateStore;
  /** Of what every process keeps whole. */
  readonly ownStates: StateStore;
  readonly store: Store;
}

export interface BackingSettings {
  readonly config: Config;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly onTrouble: OnTrouble;
  /** Told how to close each part as it is opened; the last one opened is to be closed first. */
  readonly closing: (close: () => Promise<void> | void) => void;
}

/** Opens everything, or throws a ServiceError; what was opened until then is told to `closing`. */
export async function openBacking(settings: BackingSettings): Promise<Backing> {
  const { config, clock, telemetry, closing } = settings;
  makeDataDir(config.dataDir);
  const statePath = join(config.dataDir, "state.db");
  keepPrivate(statePath, telemetry);
  const kafka = kafkaInstallation(config.bus.kafka, clock);
  const bus = kafka === undefined ? await openFileBus(settings) : await openKafka(settings, kafka);
  closing(() => bus.close());
  const ownStates = openEmbeddedState({ path: statePath });
  closing(() => ownStates.close());
  let states = ownStates;
  if (kafka !== undefined) {
    // Only here: the client takes its time to load, and a single machine does not need it.
    const { openKafkaState } = await import("../state/kafka.ts");
    states = await openKafkaState({
      ...kafka,
      onOpened: (opened) => telemetry.log.info(opened, "a state was read"),
    });
    closing(() => states.close());
  }
  const store = openEmbeddedStore({ path: statePath });
  closing(() => store.close());
  return { bus, states, ownStates, store };
}

async function openFileBus(settings: BackingSettings): Promise<Bus> {
  const { config, clock, telemetry, onTrouble } = settings;
  const path = join(config.dataDir, "bus.db");
  keepPrivate(path, telemetry);
  const { fileBytesMax } = config.bus;
  return openEmbeddedBus({
    ...{ path, clock, onTrouble, retention: retentionOf(config.bus) },
    ...(fileBytesMax === undefined ? {} : { fileBytesMax }),
    onSwept: (swept) => telemetry.log.debug(swept, "retention has swept"),
  });
}

async function openKafka(
  { config, clock, onTrouble }: BackingSettings,
  kafka: NonNullable<ReturnType<typeof kafkaInstallation>>,
): Promise<Bus> {
  const { openKafkaBus } = await import("../bus/kafka.ts");
  return openKafkaBus({ ...kafka, clock, onTrouble, retention: retentionOf(config.bus) });
}

function makeDataDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const found = `${shown(path)}: ${errorCode(error)}`;
    const expected = "a directory that can be written";
    throw new ServiceError({ code: "config-invalid", place: "dataDir", expected, found });
  }
}

/**
 * Raw records hold secrets. SQLite gives its side files the mode of the database, so that one is
 * made first, and one that is there is closed to others.
 */
function keepPrivate(path: string, telemetry: Telemetry): void {
  try {
    closeSync(openSync(path, "a", 0o600));
    chmodSync(path, 0o600);
  } catch (error) {
    // Of another owner: whoever set it up so may have a reason, and opening it says what is wrong.
    telemetry.log.warn({ path, error: errorCode(error) }, "a file could not be made private");
  }
}
