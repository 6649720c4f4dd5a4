/**
 * @module The Store contract: alerts, incidents, matched events and deliveries, for people to
 * search.
 */

import type { Alert, Incident } from "../alert/alert.ts";
import type { Event } from "../event/event.ts";
import type { DeliveryStatus } from "../sink/sink.ts";

/** One document with the revision that decides: an older revision never replaces a newer one. */
export type StoreDocument =
  | {
      readonly kind: "incident";
      readonly id: string;
      readonly revision: number;
      readonly body: Incident;
    }
  | { readonly kind: "alert"; readonly id: string; readonly revision: number; readonly body: Alert }
  | {
      readonly kind: "event";
      readonly id: string;
      readonly revision: number;
      readonly body: Event;
    }
  | {
      readonly kind: "delivery";
      readonly id: string;
      readonly revision: number;
      readonly body: DeliveryStatus;
    };

export interface Page<T> {
  readonly items: readonly T[];
  /** Opaque; pass it to get the next page. Absent at the end. */
  readonly cursor?: string;
}

export interface Store {
  /** Idempotent: the same document again, or an older revision, changes nothing. */
  write(documents: readonly StoreDocument[]): Promise<void>;
  /** By id, also by the id of an incident that was merged into another. */
  incident(id: string): Promise<Incident | undefined>;
  /** Latest first. */
  incidents(query: { readonly limit: number; readonly cursor?: string }): Promise<Page<Incident>>;
  alert(id: string): Promise<Alert | undefined>;
  event(id: string): Promise<Event | undefined>;
  /** How far each notice of these incidents has come, oldest first; at most 1,000. */
  deliveries(incidentIds: readonly string[]): Promise<readonly DeliveryStatus[]>;
  close(): Promise<void>;
}
