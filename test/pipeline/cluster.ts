/** @module Services of several roles over one Kafka broker, each a process of its own. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Role } from "../../src/config/config.ts";
import { type ServiceProcess, serviceProcess } from "./service-process.ts";

export interface ClusterProcess extends ServiceProcess {
  /** `notify-2`, by which the broker knows it too. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** What it said on stderr, over all its lives. */
  log(): Promise<string>;
}

export interface ClusterSettings {
  readonly brokers: readonly string[];
  readonly sinkUrl: string;
  /** The roles of each process. */
  readonly processes: readonly (readonly Role[])[];
  readonly partitions?: number;
  /** One for each installation on a broker. */
  readonly topicPrefix: string;
  /** More settings of every process. */
  readonly settings?: object;
  /** Where what each says on stderr is kept. */
  readonly logDir: string;
}

export interface Cluster {
  readonly processes: readonly ClusterProcess[];
  /** The first process with the role. */
  of(role: Role): ClusterProcess;
  /** By its name. */
  named(name: string | undefined): ClusterProcess;
  /** One more, not started yet. */
  add(roles: readonly Role[]): Promise<ClusterProcess>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

export async function openCluster(settings: ClusterSettings): Promise<Cluster> {
  const { brokers, sinkUrl, topicPrefix, partitions = 4 } = settings;
  const processes: ClusterProcess[] = [];

  async function add(roles: readonly Role[]): Promise<ClusterProcess> {
    const name = `${roles.join("+")}-${processes.length + 1}`;
    const kafka = { brokers, topicPrefix, partitions, replicationFactor: 1, clientId: name };
    const logPath = join(settings.logDir, `${name}.log`);
    const own = await serviceProcess({
      ...{ sinkUrl, logPath },
      settings: { roles, bus: { kafka }, ...settings.settings },
    });
    const log = () => readFile(logPath, "utf8").catch(() => "");
    const process: ClusterProcess = { ...own, name, roles, log };
    processes.push(process);
    return process;
  }

  function found(process: ClusterProcess | undefined, wanted: string): ClusterProcess {
    if (process === undefined) throw new Error(`no process ${wanted}`);
    return process;
  }

  for (const roles of settings.processes) await add(roles);
  return {
    processes,
    of: (role) =>
      found(
        processes.find(({ roles }) => roles.includes(role)),
        `with role ${role}`,
      ),
    named: (name) =>
      found(
        processes.find((process) => process.name === name),
        String(name),
      ),
    add,
    start: async () => {
      // One makes the topics; all others may come at once.
      const [first, ...others] = processes;
      await first?.start();
      await Promise.all(others.map((process) => process.start()));
    },
    remove: async () => {
      await Promise.all(processes.map((process) => process.remove()));
    },
  };
}
