/**
 * @module Consumer groups of a bus that runs inside this process: who owns which partition, and how
 * far a group is.
 *
 * Members of a group share the partitions of a topic: partition p belongs to the p-th member,
 * counted round. A member that joins or leaves moves partitions: first every loser has seen
 * `revoked`, then the winners see `assigned`.
 */

import type { Consumer, ConsumerHandler, ConsumerSettings, Offset, Topic } from "./bus.ts";
import { type Cursor, newCursor } from "./cursor.ts";
import { Member } from "./member.ts";
import { closedError, type GroupSettings } from "./source.ts";

interface Waiter {
  readonly member: Member;
  readonly targets: ReadonlyMap<Cursor, Offset>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** One group: its members, its cursors and those who wait for it to be drained. */
class Group {
  readonly name: string;
  readonly settings: GroupSettings;
  readonly #members: Member[] = [];
  readonly #cursors = new Map<Topic, Cursor[]>();
  readonly #waiters = new Set<Waiter>();
  #balancing: Promise<void> = Promise.resolve();

  constructor(name: string, settings: GroupSettings) {
    this.name = name;
    this.settings = settings;
  }

  async join(settings: ConsumerSettings, handler: ConsumerHandler): Promise<Member> {
    const member = new Member(this, settings, handler);
    this.#members.push(member);
    await this.#balance();
    return member;
  }

  async leave(member: Member): Promise<void> {
    const at = this.#members.indexOf(member);
    if (at >= 0) this.#members.splice(at, 1);
    await this.#balance();
    const stopped = closedError(`consumer of ${this.name}`);
    for (const waiter of this.#waiters) {
      if (waiter.member === member) this.#settle(waiter, stopped);
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#members].map((member) => member.stop()));
  }

  wake(topic: Topic, partition: number): void {
    this.#cursors.get(topic)?.[partition]?.owner?.wake();
  }

  /** How far the group is; undefined while it does not consume the topic or has not begun. */
  handled(topic: Topic, partition: number): Offset | undefined {
    return this.#cursors.get(topic)?.[partition]?.next;
  }

  /** Whether it reads the topic, or has done so since the bus was opened. */
  knows(topic: Topic): boolean {
    return this.#cursors.has(topic);
  }

  consumes(topic: Topic): boolean {
    return this.#members.some((member) => member.topics.has(topic));
  }

  async drained(member: Member): Promise<void> {
    const { source } = this.settings;
    await source.settled();
    await this.#balancing;
    if (!this.#members.includes(member)) throw closedError(`consumer of ${this.name}`);
    const targets = new Map<Cursor, Offset>();
    for (const topic of member.topics) {
      for (const cursor of this.#cursorsOf(topic)) {
        targets.set(cursor, source.end(topic, cursor.partition));
      }
    }
    return new Promise((resolve, reject) => {
      this.#waiters.add({ member, targets, resolve, reject });
      this.progressed();
    });
  }

  /** A cursor has moved or broken: see who has waited for that. */
  progressed(): void {
    for (const waiter of this.#waiters) {
      let open = false;
      for (const [cursor, target] of waiter.targets) {
        if (target === 0 || (cursor.next !== undefined && cursor.next >= target)) continue;
        if (cursor.phase === "faulted") {
          this.#settle(waiter, cursor.fault);
          break;
        }
        open = true;
        break;
      }
      if (!open) this.#settle(waiter);
    }
  }

  #settle(waiter: Waiter, error?: unknown): void {
    if (!this.#waiters.delete(waiter)) return;
    if (error === undefined) waiter.resolve();
    else waiter.reject(error);
  }

  #cursorsOf(topic: Topic): readonly Cursor[] {
    const known = this.#cursors.get(topic);
    if (known !== undefined) return known;
    const count = this.settings.source.partitions(topic);
    const made = Array.from({ length: count }, (_, partition) => newCursor(topic, partition));
    this.#cursors.set(topic, made);
    return made;
  }

  #balance(): Promise<void> {
    this.#balancing = this.#balancing.then(() => this.#move());
    return this.#balancing;
  }

  async #move(): Promise<void> {
    const moves: { cursor: Cursor; winner: Member | undefined }[] = [];
    const wanted = new Set([
      ...this.#cursors.keys(),
      ...this.#members.flatMap((m) => [...m.topics]),
    ]);
    for (const topic of wanted) {
      const able = this.#members.filter((member) => member.topics.has(topic));
      for (const cursor of this.#cursorsOf(topic)) {
        const winner = able[cursor.partition % Math.max(1, able.length)];
        if (cursor.owner !== winner) moves.push({ cursor, winner });
      }
    }
    await Promise.all(moves.map(({ cursor }) => cursor.owner?.release(cursor)));
    for (const { cursor, winner } of moves) winner?.take(cursor);
  }
}

/** All groups of one bus. */
export class Groups {
  /** By name; one that shares with nobody by a symbol. */
  readonly #groups = new Map<string | symbol, Group>();
  readonly #settings: GroupSettings;

  constructor(settings: GroupSettings) {
    this.#settings = settings;
  }

  async consume(settings: ConsumerSettings, handler: ConsumerHandler): Promise<Consumer> {
    if (settings.whole === true) return this.#consumeWhole(settings, handler);
    let group = this.#groups.get(settings.group);
    if (group === undefined) {
      group = new Group(settings.group, this.#settings);
      this.#groups.set(settings.group, group);
    }
    return consumerOf(await group.join(settings, handler));
  }

  /** A group of its own, which ends with its one member: nobody else would read on for it. */
  async #consumeWhole(settings: ConsumerSettings, handler: ConsumerHandler): Promise<Consumer> {
    const group = new Group(settings.group, this.#settings);
    const key = Symbol(settings.group);
    this.#groups.set(key, group);
    const consumer = consumerOf(await group.join(settings, handler));
    const stop = async () => {
      await consumer.stop();
      this.#groups.delete(key);
    };
    return { ...consumer, stop };
  }

  /** Tells the readers of a partition that it has grown. */
  appended(topic: Topic, partition: number): void {
    for (const group of this.#groups.values()) group.wake(topic, partition);
  }

  /**
   * The offset below which no group needs a record; undefined when the topic has no consumer while
   * another topic has one.
   */
  neededFrom(topic: Topic, partition: number): Offset | undefined {
    if (this.#groups.size === 0) return 0; // consumers are still to come
    let needed: Offset | undefined;
    for (const group of this.#groups.values()) {
      if (!group.consumes(topic)) continue;
      const handled = group.handled(topic, partition) ?? 0;
      needed = needed === undefined ? handled : Math.min(needed, handled);
    }
    return needed;
  }

  /**
   * The offset up to which every group known since the opening has handled a partition, those that
   * have stopped included; undefined when other topics have groups and this one has none.
   */
  handledBy(topic: Topic, partition: number): Offset | undefined {
    if (this.#groups.size === 0) return 0; // consumers are still to come
    const known = [...this.#groups.values()].filter((group) => group.knows(topic));
    if (known.length === 0) return undefined;
    return Math.min(...known.map((group) => group.handled(topic, partition) ?? 0));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#groups.values()].map((group) => group.stop()));
  }
}

function consumerOf(member: Member): Consumer {
  return {
    stop: () => member.stop(),
    drained: () => member.drained(),
    behind: (topic, partition) => member.behind(topic, partition),
  };
}
