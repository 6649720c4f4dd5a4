/**
 * @module Sorted lists that grow at the end and shrink at the front: what a window over event time
 * needs.
 */

/** A list in ascending order of a caller's choice. Dropping from the front is O(1) over time. */
export class SortedList<E> {
  #items: E[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  at(index: number): E | undefined {
    return this.#items[this.#head + index];
  }

  /** The item with no doubt: a bug when out of range. */
  get(index: number): E {
    if (index < 0 || index >= this.length) throw new RangeError(`no item ${index}`);
    return this.#items[this.#head + index] as E;
  }

  set(index: number, item: E): void {
    if (index < 0 || index >= this.length) throw new RangeError(`no item ${index}`);
    this.#items[this.#head + index] = item;
  }

  insert(index: number, item: E): void {
    if (index === this.length) this.#items.push(item);
    else this.#items.splice(this.#head + index, 0, item);
  }

  remove(index: number): void {
    this.#items.splice(this.#head + index, 1);
  }

  dropFront(count: number): void {
    this.#items.fill(undefined as E, this.#head, this.#head + count);
    this.#head += count;
    // Compacting only when half is waste keeps the cost per drop constant.
    if (this.#head > 32 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /**
   * First index whose item is not before what is sought; `before` must be true, then false, along
   * the list.
   */
  firstNot(before: (item: E) => boolean): number {
    let low = this.#head;
    let high = this.#items.length;
    // In-order traffic lands at the end: look there first.
    if (high > low && before(this.#items[high - 1] as E)) return high - this.#head;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (before(this.#items[middle] as E)) low = middle + 1;
      else high = middle;
    }
    return low - this.#head;
  }

  *[Symbol.iterator](): IterableIterator<E> {
    for (let index = 0; index < this.length; index += 1) yield this.get(index);
  }
}

/** A min-heap of due times: what falls due first, without looking at all of it. */
export class DueHeap<T> {
  readonly #items: { readonly at: number; readonly item: T }[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The earliest due time; undefined when empty. */
  next(): number | undefined {
    return this.#items[0]?.at;
  }

  push(at: number, item: T): void {
    const items = this.#items;
    const entry = { at, item };
    let index = items.length;
    items.push(entry);
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1;
      const parent = items[parentIndex];
      if (parent === undefined || parent.at <= at) break;
      items[index] = parent;
      index = parentIndex;
    }
    items[index] = entry;
  }

  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined) return undefined;
    if (items.length === 0) return first.item;
    let index = 0;
    for (;;) {
      const left = items[2 * index + 1];
      const right = items[2 * index + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && right.at < left.at;
      const child = isRight ? right : left;
      if (child.at >= last.at) break;
      items[index] = child;
      index = 2 * index + (isRight ? 2 : 1);
    }
    items[index] = last;
    return first.item;
  }
}
