// What is remembered of events that have gone on, for how long, and what of it a restart keeps.

import { describe, expect, it } from "vitest";
import { createInventory } from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import type { State } from "../../src/state/state.ts";
import { KeptState } from "../state/kept.ts";
import {
  at,
  auditRunEvent,
  egress,
  falco,
  fork,
  jobEvent,
  preparedEvent,
  pullEvent,
  runEvent,
} from "./fixture.ts";
import { Task, type TaskSettings } from "./task.ts";

const pod = "arc-x7-runner-abcde";
const inventory = createInventory([]);
const hour = 3_600;
const forked = { trigger: "pull_request", headRepository: fork };
/** A prepared job of another run: from it on the audit log is known to tell secrets. */
const otherPrepared = preparedEvent({ runId: 900, job: "other", runner: "r-900" });

/** A table that can be made anew from what was committed. */
class Service {
  readonly #kept = new KeptState();
  readonly #settings: Partial<TaskSettings>;
  builds: Task;

  constructor(settings: Partial<TaskSettings> = {}) {
    this.#settings = settings;
    this.builds = this.#made();
  }

  get state(): State {
    return this.#kept.state;
  }

  restart(): void {
    void this.state.commit();
    this.#kept.reopen();
    this.builds = this.#made();
  }

  tell(seconds: number, ...told: readonly Event[]): readonly Event[] {
    return told.flatMap((one) => {
      return this.builds.factsOf(one).flatMap((fact) => this.builds.learn(fact, at(seconds)));
    });
  }

  join(one: Event, seconds: number): Event | undefined {
    const result = this.builds.join(one, at(seconds));
    return result.kind === "ready" ? result.event : undefined;
  }

  kept(): number {
    return ["parked", "released", "incomplete"].reduce((sum, name) => {
      return sum + this.state.table(name).size;
    }, 0);
  }

  #made(): Task {
    return new Task({ state: this.state, inventory, ...this.#settings });
  }
}

const trust = (one: Event | undefined): unknown => one?.fields["pipewarden.run.trust"];
const ids = (events: readonly Event[]): readonly string[] => events.map(({ id }) => id);

describe("a joined event whose build is not whole", () => {
  it("goes on again when the run's trigger comes hours later, over a restart", () => {
    const service = new Service();
    service.tell(0, jobEvent());
    const first = falco(5, { pod });
    expect(trust(service.join(first, 5))).toBeUndefined();
    service.restart();
    const [again] = service.tell(5 * hour, runEvent(forked));
    expect([again?.id, trust(again)]).toEqual([first.id, "untrusted"]);
    service.restart();
    const [pulled] = service.tell(6 * hour, pullEvent(41, "a".repeat(40)));
    expect([pulled?.id, pulled?.build?.pullRequest]).toEqual([first.id, 41]);
    service.tell(6 * hour, jobEvent({ action: "completed" }));
    // Its secrets may still be told.
    expect(service.kept()).toBe(1);
  });

  it("waits for its secrets while it is not known yet who tells them, over a restart", () => {
    for (const [later, told] of [
      [23 * hour, ["falco:5"]],
      [24 * hour, []],
    ] as const) {
      const service = new Service();
      service.tell(0, jobEvent({ id: 9, runId: 900, runner: "r-900" }), runEvent(), jobEvent());
      service.join(falco(5, { pod }), later);
      service.restart();
      expect(ids(service.tell(later + 900, preparedEvent()))).toEqual(told);
    }
  });

  it("waits for its secrets where the audit log tells them, over a restart", () => {
    const service = new Service();
    service.tell(0, otherPrepared, runEvent(), jobEvent());
    const first = falco(5, { pod });
    expect(service.join(first, 5)?.build?.secretsPassed).toBeUndefined();
    service.restart();
    const [again, ...more] = service.tell(900, preparedEvent());
    expect([again?.id, again?.build?.secretsPassed, more]).toEqual([
      first.id,
      ["DEPLOY_KEY", "REGISTRY_PAT"],
      [],
    ]);
    expect(service.kept()).toBe(0);
    expect(service.tell(901, preparedEvent(), runEvent())).toEqual([]);
  });

  it("does not wait for secrets where nothing tells them, but for a moment", () => {
    const service = new Service();
    service.tell(-24 * hour, jobEvent({ id: 9, runId: 900, runner: "r-900" }));
    service.tell(0, runEvent(), jobEvent());
    service.join(falco(5, { pod }), 5);
    expect(service.kept()).toBe(0);
    service.join(falco(6, { pod }), 10);
    expect(ids(service.tell(20.001, preparedEvent()))).toEqual(["falco:6"]);
  });

  it("takes the audit log's word for a day, a restart or not", () => {
    const cases: [number, number][] = [
      [24 * hour - 1, 1],
      [24 * hour, 0],
    ];
    for (const [later, kept] of cases) {
      const service = new Service();
      service.tell(0, otherPrepared, runEvent(), jobEvent());
      service.restart();
      service.join(falco(5, { pod }), later);
      expect([later, service.kept()]).toEqual([later, kept]);
    }
  });

  it("learns the id and the whole name of a job that only the audit log told of", () => {
    const service = new Service();
    service.tell(0, jobEvent({ id: 9, runId: 900, runner: "r-900" }), runEvent());
    service.tell(0, preparedEvent({ job: "test" }));
    const first = falco(5, { pod });
    expect(service.join(first, 5)?.build?.job).toBe("test");
    service.restart();
    const [again] = service.tell(hour, jobEvent({ name: "test (a, b)" }));
    expect([again?.id, again?.build?.job, again?.build?.jobId]).toEqual([
      first.id,
      "test (a, b)",
      "5001",
    ]);
    expect(service.kept()).toBe(0);
    const auditOnly = new Service();
    auditOnly.tell(-24 * hour, otherPrepared);
    auditOnly.tell(0, runEvent(), preparedEvent());
    auditOnly.join(falco(5, { pod }), 5);
    expect(auditOnly.kept()).toBe(0);
  });

  it("takes one more sign each minute, no more", () => {
    const service = new Service();
    const told = () => service.state.table("told").get("secrets");
    service.tell(0, otherPrepared);
    service.tell(59, preparedEvent());
    expect(told()).toBe(at(0));
    service.tell(60, preparedEvent());
    expect(told()).toBe(at(60));
  });

  it("costs State nothing when its answer is whole and exact", () => {
    const service = new Service();
    service.tell(0, runEvent(), jobEvent(), preparedEvent());
    expect(service.join(falco(5, { pod }), 5)?.buildJoin?.confidence).toBe("exact");
    expect(service.kept()).toBe(0);
    expect(service.builds.counts()).toMatchObject({ recent: 1, incomplete: 0 });
  });

  it("is kept when its answer is not exact, and is told of the job that was meant", () => {
    const service = new Service();
    service.tell(0, otherPrepared, runEvent(), jobEvent({ from: 20 }), preparedEvent());
    const early = falco(5, { pod });
    expect(service.join(early, 5)?.buildJoin?.confidence).toBe("likely");
    service.restart();
    const [exact] = service.tell(hour, jobEvent({ action: "completed", from: 4 }));
    expect([exact?.id, exact?.buildJoin?.confidence]).toEqual([early.id, "exact"]);
    expect(service.kept()).toBe(0);
  });

  it("learns its run's trigger though it turned out to be after its job", () => {
    const service = new Service();
    service.tell(0, jobEvent());
    const late = falco(500, { pod });
    expect(service.join(late, 500)?.buildJoin?.confidence).toBe("exact");
    expect(service.tell(501, jobEvent({ action: "completed" }))).toEqual([]);
    const [again] = service.tell(502, runEvent(forked));
    expect([again?.id, trust(again)]).toEqual([late.id, "untrusted"]);
    expect(again?.buildJoin?.confidence).toBe("after-job");
  });

  it("names its job once several of its run no longer fit", () => {
    const service = new Service();
    service.tell(0, runEvent(), jobEvent(), jobEvent({ id: 2, name: "test", runner: "r2" }));
    const request = egress(50, { runId: "77", repository: "acme/app" });
    expect(service.join(request, 50)?.build?.job).toBeUndefined();
    service.restart();
    const [again] = service.tell(hour, jobEvent({ action: "completed", to: 10 }));
    expect([again?.id, again?.build?.job]).toEqual([request.id, "test"]);
  });

  it("is forgotten a day after it first went on, however often it went on", () => {
    const service = new Service();
    service.tell(0, otherPrepared, jobEvent());
    service.join(falco(5, { pod }), 5);
    expect(service.tell(20 * hour, runEvent())).toHaveLength(1);
    service.restart();
    expect(service.tell(5 + 24 * hour, preparedEvent())).toEqual([]);
    expect(service.kept()).toBe(0);
  });

  it("makes room for newer ones, the oldest first, a restart or not", () => {
    const service = new Service({ parkedMax: 3 });
    service.tell(0, jobEvent());
    // All at one moment, and not in the order of their ids.
    for (const n of [9, 8, 7, 6]) service.join(falco(n, { pod }), 10);
    service.restart();
    service.join(falco(5, { pod }), 10);
    expect(service.builds.counts()).toMatchObject({ incomplete: 3, incompleteEvicted: 1 });
    expect(ids(service.tell(11, runEvent()))).toEqual(["falco:5", "falco:6", "falco:7"]);
  });

  it("leaves the room of those without a build to them", () => {
    const service = new Service({ parkedMax: 2 });
    service.join(falco(1, { pod: "lost" }), 1);
    service.builds.due(at(16));
    service.tell(0, jobEvent());
    for (const n of [20, 21, 22, 23]) service.join(falco(n, { pod }), n);
    expect(service.builds.counts()).toMatchObject({ released: 1, releasedEvicted: 0 });
  });

  it("is joined again when it is delivered twice, and answered once", () => {
    const service = new Service();
    service.tell(0, jobEvent());
    const first = falco(5, { pod });
    service.join(first, 5);
    service.join(first, 6);
    expect(service.kept()).toBe(1);
    expect(service.tell(20, runEvent())).toHaveLength(1);
  });
});

describe("GitHub's own events", () => {
  it("go on again when their run is told after them", () => {
    const service = new Service();
    const job = jobEvent();
    service.tell(0, job);
    const alone = service.join(job, 0);
    expect([alone?.build?.job, trust(alone)]).toEqual(["build", undefined]);
    service.restart();
    const [again] = service.tell(600, runEvent(forked));
    expect([again?.id, trust(again)]).toEqual([job.id, "untrusted"]);
    const [pulled] = service.tell(700, pullEvent(41, "a".repeat(40)));
    expect([pulled?.id, pulled?.build?.pullRequest]).toEqual([job.id, 41]);
    expect(service.kept()).toBe(0);
  });

  it("do not go on again for what is told of their job", () => {
    const service = new Service();
    service.tell(0, otherPrepared, jobEvent());
    service.join(jobEvent(), 0);
    expect(service.tell(5, preparedEvent(), jobEvent({ action: "completed" }))).toEqual([]);
    expect(service.tell(6, runEvent())).toHaveLength(1);
  });

  it("go on without a build, and again with it", () => {
    const service = new Service();
    const prepared = preparedEvent();
    service.tell(0, prepared);
    expect(service.join(prepared, 0)?.build).toBeUndefined();
    service.restart();
    const [run] = service.tell(5, runEvent(forked));
    expect([run?.id, run?.build?.runId, run?.build?.fork]).toEqual([prepared.id, "77", true]);
  });

  it("are told of the attempt before the one that was told first", () => {
    const service = new Service();
    const prepared = preparedEvent();
    service.tell(0, runEvent({ attempt: 2, from: 100, seconds: 100 }), prepared);
    expect(service.join(prepared, 0)?.buildJoin?.confidence).toBe("likely");
    service.restart();
    const [again] = service.tell(60, runEvent());
    expect([again?.build?.runAttempt, again?.buildJoin?.confidence]).toEqual([1, "exact"]);
  });

  it("are told whose code it is when the audit log was first to tell the trigger", () => {
    const service = new Service();
    const created = auditRunEvent("created", -8);
    const raw = created.raw.replace('"push"', '"pull_request"');
    service.tell(0, { ...created, raw }, jobEvent());
    expect(trust(service.join(jobEvent(), 0))).toBe("trusted");
    const [again] = service.tell(600, runEvent(forked));
    expect([again?.id, trust(again)]).toEqual([jobEvent().id, "untrusted"]);
  });

  it("are not remembered when whole, nor when they name no run", () => {
    const service = new Service();
    service.tell(0, otherPrepared, runEvent(), jobEvent());
    service.join(jobEvent(), 0);
    service.join(pullEvent(41, "a".repeat(40)), 0);
    service.join({ ...auditRunEvent("created", 1), id: "x", join: { address: "10.0.0.1" } }, 1);
    expect(service.kept()).toBe(0);
    expect(service.builds.counts().recent).toBe(0);
  });
});

describe("a job whose end was never told", () => {
  const vm = { runner: "vm-1" };
  const six = 6 * hour;

  it("is believed to run for its time, then its runner's events wait", () => {
    const service = new Service();
    service.tell(0, runEvent(), jobEvent(vm), preparedEvent(vm));
    const sure = service.join(falco(six, { runnerName: "vm-1" }), six);
    expect(sure?.buildJoin?.confidence).toBe("exact");
    const doubtful = falco(six + 1, { runnerName: "vm-1" });
    expect(service.join(doubtful, six + 1)).toBeUndefined();
    const [after] = service.builds.due(at(six + 16));
    expect([after?.build?.jobId, after?.buildJoin?.confidence]).toEqual(["5001", "likely"]);
    service.restart();
    const [next] = service.tell(six + 60, jobEvent({ ...vm, id: 2, runId: 78, from: six - 9 }));
    expect([next?.id, next?.build?.jobId]).toEqual([doubtful.id, "2"]);
  });

  it("is sure again once its end is told", () => {
    const service = new Service({ openJobMs: hour * 1_000 });
    service.tell(0, runEvent(), jobEvent(vm));
    const doubtful = falco(hour + 5, { runnerName: "vm-1" });
    expect(service.join(doubtful, hour + 5)).toBeUndefined();
    const end = { action: "completed", to: 2 * hour };
    const [sure] = service.tell(2 * hour, jobEvent({ ...vm, ...end }));
    expect([sure?.id, sure?.buildJoin?.confidence]).toEqual([doubtful.id, "exact"]);
  });

  it("does not make a pod wait: no other job can be meant", () => {
    const service = new Service();
    service.tell(0, runEvent(), jobEvent());
    const late = service.join(falco(six + 1, { pod }), six + 1);
    expect([late?.build?.jobId, late?.buildJoin?.confidence]).toEqual(["5001", "likely"]);
  });

  it("gives way to a later job of its runner, though it registered anew", () => {
    const next = { ...vm, id: 2, runId: 78, runnerId: 32 };
    const cases: [string, number, readonly Event[], unknown][] = [
      ["running", six + 9, [jobEvent({ ...next, from: six })], ["2", "exact"]],
      ["before its time is over", six, [jobEvent({ ...next, from: six - 9 })], undefined],
      [
        "ended",
        six + 900,
        [jobEvent({ ...next, action: "completed", from: six, to: six + 60 })],
        undefined,
      ],
      ["begun after the event", six + 9, [jobEvent({ ...next, from: six + 10 })], undefined],
      [
        "of another owner",
        six + 9,
        [jobEvent({ ...next, repository: "globex/app", from: six })],
        undefined,
      ],
    ];
    for (const [name, seconds, told, expected] of cases) {
      const service = new Service();
      service.tell(0, jobEvent(vm), ...told);
      const result = service.join(falco(seconds, { runnerName: "vm-1" }), seconds);
      const found = result && [result.build?.jobId, result.buildJoin?.confidence];
      expect([name, found]).toEqual([name, expected]);
    }
    const service = new Service();
    service.tell(0, jobEvent(vm));
    service.tell(0, jobEvent({ ...next, action: "completed", from: six, to: six + 60 }));
    service.join(falco(six + 900, { runnerName: "vm-1" }), six + 900);
    const [after] = service.builds.due(at(six + 915));
    expect([after?.build?.jobId, after?.buildJoin?.confidence]).toEqual(["2", "after-job"]);
  });

  it("is the likely one of its run for an event that names the run", () => {
    const service = new Service();
    service.tell(0, runEvent(), jobEvent());
    const named = service.join(egress(six + 1, { runId: "77" }), six + 1);
    expect([named?.build?.jobId, named?.buildJoin?.confidence]).toEqual(["5001", "likely"]);
  });
});
