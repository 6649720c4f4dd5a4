/** @module GitHub webhook deliveries to events. */

import type { Problem } from "../error.ts";
import { shown } from "../error.ts";
import type { Event, JoinKeys } from "../event/event.ts";
import {
  booleanAt,
  FieldSet,
  isRecord,
  numberAt,
  type OpenRecord,
  textAt,
  valueAt,
} from "../event/fields.ts";
import type { Delivery, Intake } from "./collector.ts";
import { eventNameOf } from "./github-event-name.ts";
import { mapPayload } from "./github-payload.ts";
import { claimedTimeOf } from "./github-time.ts";
import {
  collectorOf,
  type FeedCollector,
  idOf,
  lacking,
  misshapen,
  type RecordText,
  refused,
  taken,
} from "./intake.ts";
import { canonicalText } from "./json.ts";
import { placeInTime } from "./time.ts";

/**
 * Reads one payload per delivery, as JSON or form-encoded. The event's name comes from
 * `x-github-event`, in files from the payload's keys; its id from `x-github-delivery`, which a
 * redelivery repeats. The door has checked the signature.
 */
export const githubWebhookCollector: FeedCollector = collectorOf({
  feed: "github-webhook",
  recognises: (record) => eventNameOf(record) !== undefined,
  readValue: readPayload,
  unwrap: unwrapForm,
});

/**
 * Hooks may be set to `application/x-www-form-urlencoded`: the JSON is then the value of `payload`.
 */
function unwrapForm(text: string, delivery: Delivery): string | Problem {
  const form = headerOf(delivery, "content-type")?.startsWith("application/x-www-form-urlencoded");
  if (form !== true && !text.startsWith("payload=")) return text;
  const payload = new URLSearchParams(text).get("payload");
  if (payload !== null) return payload;
  const expected = "a form field payload";
  return { code: "field-missing", place: delivery.place, expected, found: "a form without it" };
}

function headerOf(delivery: Delivery, name: string): string | undefined {
  return Object.hasOwn(delivery.headers, name) ? delivery.headers[name] : undefined;
}

function readPayload(value: unknown, record: RecordText, delivery: Delivery): Intake {
  if (!isRecord(value)) return misshapen(record, "a GitHub webhook payload", value);
  const header = headerOf(delivery, "x-github-event");
  if (header !== undefined && !/^[a-z0-9_]{1,64}$/.test(header)) {
    const expected = "an event name in x-github-event";
    const problem: Problem = {
      code: "shape-unexpected",
      place: record.place,
      expected,
      found: shown(header),
    };
    return refused(problem, record.text);
  }
  const name = header ?? eventNameOf(value);
  if (name === undefined) return lacking(record, "x-github-event (a header)", value);
  return taken([eventOf({ name, payload: value }, record, delivery)]);
}

function eventOf(
  { name, payload }: { name: string; payload: OpenRecord },
  record: RecordText,
  delivery: Delivery,
): Event {
  const action = textAt(payload, "action");
  const guid = headerOf(delivery, "x-github-delivery");
  const fields = new FieldSet();
  fields
    .set("event.action", action === undefined ? name : `${name}.${action}`)
    .set("event.module", "github")
    .set("event.dataset", "github.webhook")
    .set("pipewarden.webhook.event", name)
    .set("pipewarden.webhook.action", action)
    .set("pipewarden.webhook.delivery", guid)
    .set("pipewarden.webhook.hook_id", headerOf(delivery, "x-github-hook-id"))
    .set("pipewarden.webhook.installation_id", textAt(payload, "installation", "id"));
  mapEnvelope(fields, payload);
  mapPayload(fields, name, payload);
  const claimed = claimedTimeOf(name, payload);
  const placed = placeInTime(fields, { claimed }, delivery.receivedAt);
  return {
    id: guid === undefined ? idOf("github-webhook", [name, canonicalText(payload)]) : guidId(guid),
    feed: "github-webhook",
    logsource: { product: "github", service: "webhook" },
    ...placed,
    receivedAt: delivery.receivedAt,
    fields: fields.done(),
    join: joinKeys(name, payload),
    raw: record.text,
  };
}

function guidId(guid: string): string {
  return `github-webhook:${guid.toLowerCase()}`;
}

/** The keys that nearly all payloads share. */
function mapEnvelope(fields: FieldSet, payload: OpenRecord): void {
  const changes = valueAt(payload, "changes");
  fields
    .set("user.name", textAt(payload, "sender", "login"))
    .set("user.id", textAt(payload, "sender", "id"))
    .set("pipewarden.webhook.sender_type", textAt(payload, "sender", "type"))
    .set("organization.name", textAt(payload, "organization", "login"))
    .set("organization.id", textAt(payload, "organization", "id"))
    .set("vcs.provider.name", "github")
    .set("vcs.repository.name", textAt(payload, "repository", "full_name"))
    .set("vcs.repository.url.full", textAt(payload, "repository", "html_url"))
    .set("vcs.owner.name", ownerOf(payload))
    .set("pipewarden.repository.id", textAt(payload, "repository", "id"))
    .set("pipewarden.repository.private", booleanAt(payload, "repository", "private"))
    .set("pipewarden.repository.fork", booleanAt(payload, "repository", "fork"))
    .set("pipewarden.repository.visibility", textAt(payload, "repository", "visibility"))
    .set("pipewarden.repository.default_branch", textAt(payload, "repository", "default_branch"));
  if (!isRecord(changes)) return;
  fields.set("pipewarden.webhook.changes", Object.keys(changes));
  fields.flatten("pipewarden.webhook.changed", changes);
}

function ownerOf(payload: OpenRecord): string | undefined {
  return (
    // Push payloads name the owner once more under `name`, old ones only there.
    textAt(payload, "repository", "owner", "login") ??
    textAt(payload, "repository", "owner", "name") ??
    textAt(payload, "organization", "login")
  );
}

function joinKeys(name: string, payload: OpenRecord): JoinKeys {
  const job = valueAt(payload, "workflow_job");
  const check = valueAt(payload, "check_run");
  const run = valueAt(payload, "workflow_run");
  // A check run that Actions made has the job's id, and the run's in its link.
  const checkJob =
    textAt(check, "app", "slug") === "github-actions" ? textAt(check, "id") : undefined;
  const checkRun = /\/actions\/runs\/(\d{1,20})/.exec(textAt(check, "details_url") ?? "")?.[1];
  const repository = textAt(payload, "repository", "full_name");
  const runnerName = textAt(job, "runner_name");
  const runId = textAt(job, "run_id") ?? textAt(run, "id") ?? checkRun;
  const runAttempt = numberAt(job, "run_attempt") ?? numberAt(run, "run_attempt");
  const jobId = textAt(job, "id") ?? (name === "check_run" ? checkJob : undefined);
  return {
    ...(repository === undefined ? {} : { repository }),
    ...(runnerName === undefined ? {} : { runnerName }),
    ...(runId === undefined ? {} : { runId }),
    ...(runAttempt === undefined ? {} : { runAttempt }),
    ...(jobId === undefined ? {} : { jobId }),
  };
}
