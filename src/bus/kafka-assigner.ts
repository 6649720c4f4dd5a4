/**
 * @module Who of a Kafka consumer group reads which partition, and hooks where kafkajs offers none:
 * before each join, and at each answer to a fetch.
 */

import { type Assigner, AssignerProtocol, type Cluster, type PartitionAssigner } from "kafkajs";
import type { EpochMs } from "../clock.ts";
import type { Offset } from "./bus.ts";

/** What a member had when it last joined: it gets that again where the balance allows. */
export interface Held {
  readonly at: EpochMs;
  readonly partitions: readonly number[];
}

export interface AssignerHooks {
  /**
   * Must have resolved before the member joins the group again. The brokers hand its partitions to
   * nobody else until it has joined, or its session or the rebalance has run out.
   */
  beforeJoin(): Promise<void>;
  held(): Held | undefined;
  /** A broker has told where a partition ends. Called for each partition of each fetch. */
  ended(topic: string, partition: number, end: Offset): void;
}

/**
 * Partition p of every topic belongs to the same member, so that what shares a key across topics
 * meets there; members have equally many partition numbers, or one more. kafkajs's own assigner
 * counts on from topic to topic.
 */
export function partitionAssigner(hooks: AssignerHooks): PartitionAssigner {
  return ({ cluster }) => {
    hookJoin(cluster, hooks);
    hookFetch(cluster, hooks);
    return evenAssigner(cluster, hooks);
  };
}

const name = "partition-to-member";
const version = 0;

/** Asking for the coordinator is the first step of each join, and of nothing else in a consumer. */
function hookJoin(cluster: Cluster, { beforeJoin }: AssignerHooks): void {
  const find = cluster.findGroupCoordinator.bind(cluster);
  cluster.findGroupCoordinator = async (group) => {
    await beforeJoin();
    return find(group);
  };
}

/** The part of a fetch's answer that kafkajs tells nobody of when no record came with it. */
interface FetchEnds {
  readonly responses: readonly {
    readonly topicName: string;
    readonly partitions: readonly { readonly partition: number; readonly highWatermark: string }[];
  }[];
}

function hookFetch(cluster: Cluster, { ended }: AssignerHooks): void {
  const hooked = new WeakSet<object>();
  const find = cluster.findBroker.bind(cluster);
  cluster.findBroker = async (node) => {
    const broker = await find(node);
    if (hooked.has(broker)) return broker;
    hooked.add(broker);
    const fetch = broker.fetch.bind(broker);
    broker.fetch = async (request: Parameters<typeof fetch>[0]) => {
      const answer = await fetch(request);
      for (const { topicName, partitions } of (answer as FetchEnds).responses) {
        for (const { partition, highWatermark } of partitions) {
          ended(topicName, partition, Number(highWatermark));
        }
      }
      return answer;
    };
    return broker;
  };
}

function evenAssigner(cluster: Cluster, { held }: AssignerHooks): Assigner {
  return {
    name,
    version,
    protocol: ({ topics }) => {
      const userData = Buffer.from(JSON.stringify(held() ?? {}));
      const metadata = { version, topics, userData };
      return { name, metadata: AssignerProtocol.MemberMetadata.encode(metadata) };
    },
    assign: async ({ members }) => {
      const known = members.map(({ memberId, memberMetadata }): GroupMember => {
        const decoded = AssignerProtocol.MemberMetadata.decode(memberMetadata);
        return { memberId, topics: decoded?.topics ?? [], held: heldOf(decoded?.userData) };
      });
      const wanted = new Set(known.flatMap(({ topics }) => topics));
      await cluster.addMultipleTargetTopics([...wanted]);
      const counts = new Map<string, number>();
      for (const topic of wanted) {
        counts.set(topic, cluster.findTopicPartitionMetadata(topic).length);
      }
      return [...sharedOut(known, counts)].map(([memberId, topics]) => {
        const assignment = Object.fromEntries(topics);
        const userData = Buffer.alloc(0);
        const encoded = AssignerProtocol.MemberAssignment.encode({ version, assignment, userData });
        return { memberId, memberAssignment: encoded };
      });
    },
  };
}

/** What another member says it had; whatever cannot be read counts as nothing. */
function heldOf(userData: Buffer | undefined): Held | undefined {
  try {
    const read: unknown = JSON.parse(String(userData));
    const { at, partitions } = read as Partial<Held>;
    return typeof at === "number" && Array.isArray(partitions) ? { at, partitions } : undefined;
  } catch {
    return undefined;
  }
}

export interface GroupMember {
  readonly memberId: string;
  readonly topics: readonly string[];
  readonly held?: Held | undefined;
}

/** The partitions of each member, by topic; `counts` says how many partitions a topic has. */
export function sharedOut(
  members: readonly GroupMember[],
  counts: ReadonlyMap<string, number>,
): Map<string, Map<string, number[]>> {
  const sorted = members.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const shares = new Map(sorted.map(({ memberId }) => [memberId, new Map<string, number[]>()]));
  const ableFor = (topic: string) => sorted.filter(({ topics }) => topics.includes(topic));
  // As a rule one set: all members of a group read the same topics.
  const sets = Map.groupBy(counts.keys(), (topic) => {
    return JSON.stringify(ableFor(topic).map(({ memberId }) => memberId));
  });
  for (const topics of sets.values()) {
    const able = ableFor(topics[0] ?? "");
    const numbers = Math.max(...topics.map((topic) => counts.get(topic) ?? 0));
    if (able.length === 0) continue;
    for (const [partition, member] of ownersOf(able, numbers).entries()) {
      for (const topic of topics.filter((of) => partition < (counts.get(of) ?? 0))) {
        const share = shares.get(member.memberId);
        const partitions = share?.get(topic);
        if (partitions === undefined) share?.set(topic, [partition]);
        else partitions.push(partition);
      }
    }
  }
  return shares;
}

/** The member of each partition number: who had it, unless that would leave another with less. */
function ownersOf(sorted: readonly GroupMember[], count: number): readonly GroupMember[] {
  const owners = new Map<number, GroupMember>();
  // Two may claim the same one when the first was away for a while: the later claim holds.
  const claims = sorted.toSorted((a, b) => (b.held?.at ?? 0) - (a.held?.at ?? 0));
  for (const member of claims) {
    for (const partition of member.held?.partitions ?? []) {
      const exists = Number.isInteger(partition) && partition >= 0 && partition < count;
      if (exists && !owners.has(partition)) owners.set(partition, member);
    }
  }
  const kept = new Map<GroupMember, number[]>(sorted.map((member) => [member, []]));
  for (const [partition, member] of owners) kept.get(member)?.push(partition);
  const least = Math.floor(count / sorted.length);
  let more = count % sorted.length;
  const most = [...kept].toSorted(([, a], [, b]) => b.length - a.length);
  for (const [, partitions] of most) {
    const room = more > 0 && partitions.length > least ? least + 1 : least;
    if (room > least) more--;
    partitions.sort((a, b) => a - b);
    for (const gone of partitions.splice(room)) owners.delete(gone);
  }
  return Array.from({ length: count }, (_, partition) => {
    const owner = owners.get(partition);
    if (owner !== undefined) return owner;
    const [fewest] = [...kept].toSorted(([, a], [, b]) => a.length - b.length);
    const [member, partitions] = fewest as [GroupMember, number[]];
    partitions.push(partition);
    return member;
  });
}
