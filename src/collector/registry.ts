/** @module Notifications of a container registry (CNCF Distribution) to events. */

import type { Event } from "../event/event.ts";
import { FieldSet, isRecord, listAt, numberAt, textAt, valueAt } from "../event/fields.ts";
import type { Delivery, Intake } from "./collector.ts";
import {
  collectorOf,
  type FeedCollector,
  idOf,
  lacking,
  misshapen,
  passedOver,
  type RecordText,
  recordsMax,
  refused,
  Total,
  taken,
} from "./intake.ts";
import { canonicalText } from "./json.ts";
import { authorityTarget, targetOf } from "./target.ts";
import { placeInTime } from "./time.ts";

/**
 * Reads envelopes `{"events": [{id, timestamp, action, target, request, actor, source}]}`, one or
 * many; each entry is a record of its own. The registry repeats an envelope until it is answered
 * 2xx; an entry's id stays.
 */
export const registryCollector: FeedCollector = collectorOf({
  feed: "registry",
  recognises: (record) =>
    listAt(record, "events").some(
      (entry) => textAt(entry, "action") !== undefined && isRecord(valueAt(entry, "target")),
    ),
  readValue: readEnvelope,
});

function readEnvelope(value: unknown, record: RecordText, delivery: Delivery): Intake {
  const entries = valueAt(value, "events");
  if (!isRecord(value)) return misshapen(record, "a registry notification", value);
  if (!Array.isArray(entries)) return lacking(record, "events (a list)", value);
  if (entries.length === 0) return passedOver;
  const total = new Total();
  for (const [index, entry] of entries.entries()) {
    const place = `${record.place}/events ${index + 1}`;
    if (index >= recordsMax) {
      const expected = `at most ${recordsMax} entries`;
      const found = `${entries.length}; the rest is refused as one`;
      total.add(refused({ code: "body-too-large", place, expected, found }, record.text));
      break;
    }
    total.add(readEntry(entry, { text: JSON.stringify(entry), place }, delivery));
  }
  return total.intake();
}

function readEntry(entry: unknown, record: RecordText, delivery: Delivery): Intake {
  if (!isRecord(entry)) return misshapen(record, "a registry event", entry);
  const action = textAt(entry, "action");
  if (action === undefined) return lacking(record, "action", entry);
  const fields = new FieldSet();
  const client = authorityTarget(textAt(entry, "request", "addr") ?? "");
  mapEntry(fields, action, entry);
  const placed = placeInTime(fields, { claimed: valueAt(entry, "timestamp") }, delivery.receivedAt);
  const id = textAt(entry, "id");
  const event: Event = {
    id: id === undefined ? idOf("registry", [canonicalText(entry)]) : `registry:${id}`,
    feed: "registry",
    logsource: { product: "registry", service: "notification" },
    ...placed,
    receivedAt: delivery.receivedAt,
    fields: fields.done(),
    join: client.address === undefined ? {} : { address: client.address },
    raw: record.text,
  };
  return taken([event]);
}

function mapEntry(fields: FieldSet, action: string, entry: unknown): void {
  const target = valueAt(entry, "target");
  const request = valueAt(entry, "request");
  const client = authorityTarget(textAt(request, "addr") ?? "");
  const url = textAt(target, "url");
  const named = targetOf(url ?? "");
  const registry = authorityTarget(textAt(request, "host") ?? "");
  const digest = textAt(target, "digest");
  const tag = textAt(target, "tag");
  const host = registry.host ?? named.host;
  const actor = textAt(entry, "actor", "name");
  fields
    .set("event.action", action.toLowerCase())
    .set("event.module", "registry")
    .set("event.dataset", "registry.notification")
    .set("event.outcome", "success")
    .set("user.name", actor)
    .set("source.ip", client.address)
    .set("source.port", client.port)
    .set("destination.domain", host)
    .set("destination.port", registry.port ?? named.port)
    .set("http.request.method", textAt(request, "method"))
    .set("user_agent.original", textAt(request, "useragent"))
    .set("url.full", url)
    .set("url.domain", named.host)
    .set("url.path", named.path)
    .set("container.image.name", textAt(target, "repository"))
    .set("container.image.tag", tag === undefined ? undefined : [tag])
    .set("container.image.hash.all", digest === undefined ? undefined : [digest])
    .set("artifact.hash", digest === undefined ? undefined : [digest])
    .set("pipewarden.registry.token", tokenOf(host, actor))
    .set("pipewarden.registry.media_type", textAt(target, "mediaType"))
    .set("pipewarden.registry.size", numberAt(target, "size") ?? numberAt(target, "length"))
    .set("pipewarden.registry.from_repository", textAt(target, "fromRepository"))
    .set("pipewarden.registry.request_id", textAt(request, "id"))
    .set("pipewarden.registry.instance", textAt(entry, "source", "instanceID"))
    .set("pipewarden.registry.address", textAt(entry, "source", "addr"));
}

/**
 * `registry host/actor`: the identity behind a credential. An actor's name alone may exist at two
 * registries.
 */
function tokenOf(host: string | undefined, actor: string | undefined): string | undefined {
  return actor === undefined || actor === "" ? undefined : `${host?.toLowerCase() ?? ""}/${actor}`;
}
