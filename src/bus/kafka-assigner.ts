/**
 * @module Who of a Kafka consumer group reads which partition: the same rule as in the embedded
 * bus, and a hook before each join.
 */

import { type Assigner, AssignerProtocol, type Cluster, type PartitionAssigner } from "kafkajs";

/**
 * Partition p of every topic belongs to the p-th member, counted round: what shares a key across
 * topics meets at one member. kafkajs's own assigner counts on from topic to topic.
 *
 * `beforeJoin` must have resolved before the member joins the group again. The brokers hand its
 * partitions to nobody else until it has joined, or its session or the rebalance has run out.
 */
export function partitionAssigner(beforeJoin: () => Promise<void>): PartitionAssigner {
  return ({ cluster }) => {
    hookJoin(cluster, beforeJoin);
    return evenAssigner(cluster);
  };
}

const name = "partition-to-member";
const version = 0;

/** Asking for the coordinator is the first step of each join, and of nothing else in a consumer. */
function hookJoin(cluster: Cluster, beforeJoin: () => Promise<void>): void {
  const find = cluster.findGroupCoordinator.bind(cluster);
  cluster.findGroupCoordinator = async (group) => {
    await beforeJoin();
    return find(group);
  };
}

function evenAssigner(cluster: Cluster): Assigner {
  return {
    name,
    version,
    protocol: ({ topics }) => {
      const metadata = { version, topics, userData: Buffer.alloc(0) };
      return { name, metadata: AssignerProtocol.MemberMetadata.encode(metadata) };
    },
    assign: async ({ members }) => {
      const counted = members.map(({ memberId, memberMetadata }) => {
        const decoded = AssignerProtocol.MemberMetadata.decode(memberMetadata);
        return { memberId, topics: decoded?.topics ?? [] };
      });
      const wanted = new Set(counted.flatMap(({ topics }) => topics));
      await cluster.addMultipleTargetTopics([...wanted]);
      const counts = new Map<string, number>();
      for (const topic of wanted) {
        counts.set(topic, cluster.findTopicPartitionMetadata(topic).length);
      }
      return [...sharedOut(counted, counts)].map(([memberId, topics]) => {
        const assignment = Object.fromEntries(topics);
        const userData = Buffer.alloc(0);
        const encoded = AssignerProtocol.MemberAssignment.encode({ version, assignment, userData });
        return { memberId, memberAssignment: encoded };
      });
    },
  };
}

/** The partitions of each member, by topic; `counts` says how many partitions a topic has. */
export function sharedOut(
  members: readonly { readonly memberId: string; readonly topics: readonly string[] }[],
  counts: ReadonlyMap<string, number>,
): Map<string, Map<string, number[]>> {
  const sorted = members.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const shares = new Map(sorted.map(({ memberId }) => [memberId, new Map<string, number[]>()]));
  for (const [topic, count] of counts) {
    const able = sorted.filter(({ topics }) => topics.includes(topic));
    for (let partition = 0; partition < count; partition++) {
      const member = able[partition % Math.max(1, able.length)];
      const share = member === undefined ? undefined : shares.get(member.memberId);
      if (share === undefined) continue;
      const partitions = share.get(topic);
      if (partitions === undefined) share.set(topic, [partition]);
      else partitions.push(partition);
    }
  }
  return shares;
}
