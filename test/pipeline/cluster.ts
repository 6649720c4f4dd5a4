/** @module Services of several roles over one Kafka broker, each a process of its own. */

import type { Role } from "../../src/config/config.ts";
import { type ServiceProcess, serviceProcess } from "./service-process.ts";

export interface ClusterProcess extends ServiceProcess {
  readonly roles: readonly Role[];
}

export interface ClusterSettings {
  readonly brokers: readonly string[];
  readonly sinkUrl: string;
  /** The roles of each process. */
  readonly processes: readonly (readonly Role[])[];
  readonly partitions?: number;
  /** One for each installation on a broker. */
  readonly topicPrefix: string;
}

export interface Cluster {
  readonly processes: readonly ClusterProcess[];
  /** The first process with the role. */
  of(role: Role): ClusterProcess;
  start(): Promise<void>;
  remove(): Promise<void>;
}

export async function openCluster(settings: ClusterSettings): Promise<Cluster> {
  const { brokers, sinkUrl, topicPrefix, partitions = 4 } = settings;
  const processes: ClusterProcess[] = [];
  for (const roles of settings.processes) {
    const kafka = { brokers, topicPrefix, partitions, replicationFactor: 1 };
    const own = await serviceProcess({ sinkUrl, settings: { roles, bus: { kafka } } });
    processes.push({ ...own, roles });
  }
  return {
    processes,
    of: (role) => {
      const found = processes.find(({ roles }) => roles.includes(role));
      if (found === undefined) throw new Error(`no process with the role ${role}`);
      return found;
    },
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
