/**
 * @module What GitHub's audit log says about runs; the only feed that names the secrets a job was
 * given.
 */

import { type BuildContext, type Runner, runKey } from "../event/build.ts";
import { type Event, textOf } from "../event/event.ts";
import { isRecord, type OpenRecord, valueAt } from "../event/fields.ts";
import type { RunFact } from "./build-fact.ts";
import { countAt, idAt, known, readPayload, textAt, textFrom, textsAt, timeAt } from "./payload.ts";

/**
 * https://docs.github.com/organizations/keeping-your-organization-secure: audit log events,
 * category workflows
 */
export function auditFacts(event: Event): readonly RunFact[] {
  const action = textOf(event.fields, "event.action") ?? "";
  if (!action.startsWith("workflows.")) return [];
  const entry = entryOf(event.raw);
  if (entry === undefined) return [];
  const repository = repositoryOf(entry);
  const runId = idAt(entry, "workflow_run_id");
  if (repository === undefined || runId === undefined) return [];
  const about = { event, entry, repository, runId };
  if (action === "workflows.prepared_workflow_job") return preparedFact(about);
  if (action === "workflows.created_workflow_run") return [runFact(about, "queued")];
  return action === "workflows.completed_workflow_run" ? [runFact(about, "completed")] : [];
}

interface Entry {
  readonly event: Event;
  readonly entry: OpenRecord;
  readonly repository: string;
  readonly runId: string;
}

/** The flat entry, out of a Splunk envelope or the older export that nests extras under `data`. */
function entryOf(raw: string): OpenRecord | undefined {
  const payload = readPayload(raw);
  if (payload === undefined) return undefined;
  const inner = valueAt(payload, "event");
  const entry = isRecord(inner) ? inner : payload;
  const data = valueAt(entry, "data");
  return isRecord(data) ? { ...data, ...entry } : entry;
}

function repositoryOf(entry: OpenRecord): string | undefined {
  const repo = textAt(entry, "repo") ?? textFrom(textsAt(entry, "repo")?.[0]);
  if (repo === undefined) return undefined;
  const org = textAt(entry, "org") ?? textsAt(entry, "org")?.[0];
  const name = repo.includes("/") ? repo : `${org ?? ""}/${repo}`;
  return /^[^/\s#]+\/[^/\s#]+$/.test(name) ? name : undefined;
}

function runFact(about: Entry, status: NonNullable<RunFact["status"]>): RunFact {
  const { event, entry, repository, runId } = about;
  // Only the first attempt is "created"; later ones are re-runs, and "completed" tells the attempt.
  const runAttempt = countAt(entry, "run_attempt") ?? 1;
  const completed = status === "completed";
  const values = known<Partial<BuildContext>>({
    workflow: textAt(entry, "name"),
    runNumber: countAt(entry, "run_number"),
    sha: textAt(entry, "head_sha"),
    ref: textAt(entry, "head_branch"),
    actor: textAt(entry, "actor"),
    trigger: textAt(entry, "event"),
    startedAt: timeAt(entry, "started_at"),
    completedAt: completed ? timeAt(entry, "completed_at") : undefined,
    conclusion: completed ? textAt(entry, "conclusion") : undefined,
  });
  return {
    run: runKey({ repository, runId, runAttempt }),
    occurredAt: event.occurredAt,
    status,
    build: { ...values, repository, runId, runAttempt },
  };
}

/**
 * Names the run and the job's name, but neither attempt nor job id: attempt 0 stands for "not
 * told".
 */
function preparedFact(about: Entry): readonly RunFact[] {
  const { event, entry, repository, runId } = about;
  const job = textAt(entry, "job_name");
  if (job === undefined) return [];
  const values = known<Partial<BuildContext>>({
    job,
    runner: runnerOf(entry),
    secretsPassed: textsAt(entry, "secrets_passed"),
    environment: textAt(entry, "environment_name"),
  });
  return [
    {
      run: runKey({ repository, runId, runAttempt: 0 }),
      job: `name:${job}`,
      occurredAt: event.occurredAt,
      build: { ...values, repository, runId, runAttempt: 0 },
    },
  ];
}

function runnerOf(entry: OpenRecord): Runner | undefined {
  const name = textAt(entry, "runner_name");
  if (name === undefined) return undefined;
  const hosted = valueAt(entry, "is_hosted_runner");
  return known<Runner>({
    name,
    id: idAt(entry, "runner_id"),
    group: textAt(entry, "runner_group_name"),
    labels: textsAt(entry, "runner_labels") ?? [],
    hosted: typeof hosted === "boolean" ? hosted : undefined,
  });
}
