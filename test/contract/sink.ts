/**
 * @module What every sink must do, whatever service it speaks to. Each sink's own test file runs
 * this suite on it.
 */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Sink } from "../../src/sink/sink.ts";
import { noticeOf } from "../sink/fakes.ts";

/** A sink with its service, as the suite needs to see and steer it. */
export interface SinkUnderTest {
  readonly sink: Sink;
  /** What the service holds, oldest first: one text for each notice a person there would see. */
  held(): Promise<readonly string[]>;
  /** Makes the service refuse what comes, or take it again. */
  refuse(how: "temporarily" | "permanently" | "no more"): void | Promise<void>;
  /** Makes the service accept what comes and never answer. */
  hang(): void;
  cleanUp(): Promise<void>;
}

type ContractTest = "refuses permanently" | "refuses temporarily" | "ends a hanging attempt";

export interface SinkContract {
  readonly name: string;
  readonly make: () => Promise<SinkUnderTest>;
  /** Tests that mean nothing for this service, each with its reason. */
  readonly skip?: Readonly<Partial<Record<ContractTest, string>>>;
}

/**
 * Texts that did harm elsewhere: terminal control, line breaks, markup, lone surrogates, prototype
 * names.
 */
export const hostileTexts: readonly string[] = [
  "\u001b[2J\u001b]0;owned\u0007",
  "line one\r\nline two\u2028line three\u0085",
  '"}],"type":"incident.updated',
  "\ud800 alone",
  "\u202etxt.exe",
  "<!channel> <https://evil.example|Ack>",
  "__proto__",
  "\u0000nul",
  "x".repeat(100_000),
];

export function sinkContract({ name, make, skip = {} }: SinkContract): void {
  const unless = (test: ContractTest) => (skip[test] === undefined ? it : it.skip);
  const titled = (test: ContractTest) =>
    skip[test] === undefined ? test : `${test} (${skip[test]})`;
  const never = new AbortController().signal;

  describe(`${name} as a sink`, () => {
    let it_: SinkUnderTest;
    beforeEach(async () => {
      it_ = await make();
    });
    afterEach(async () => {
      await it_.sink.close();
      await it_.cleanUp();
    });

    it("delivers pages and updates, in order", async () => {
      const page = noticeOf({ incident: "inc_a" });
      const update = noticeOf({ incident: "inc_a", kind: "update" });
      expect(it_.sink.wants(page)).toBe(true);
      expect(await it_.sink.send(page, never)).toMatchObject({ kind: "delivered" });
      expect(await it_.sink.send(update, never)).toMatchObject({ kind: "delivered" });
      const held = await it_.held();
      expect(held).toHaveLength(2);
    });

    it("shows the same key once", async () => {
      const notice = noticeOf();
      expect(await it_.sink.send(notice, never)).toMatchObject({ kind: "delivered" });
      expect(await it_.sink.send(notice, never)).toMatchObject({ kind: "delivered" });
      expect(await it_.held()).toHaveLength(1);
      await it_.sink.send(noticeOf({ incident: "inc_2" }), never);
      expect(await it_.held()).toHaveLength(2);
    });

    it("takes several at a time", async () => {
      const notices = Array.from({ length: 20 }, (_, n) => noticeOf({ incident: `inc_${n}` }));
      const all = await Promise.all(notices.map((notice) => it_.sink.send(notice, never)));
      expect(all.map(({ kind }) => kind)).toEqual(notices.map(() => "delivered"));
      expect(await it_.held()).toHaveLength(20);
    });

    unless("refuses temporarily")(titled("refuses temporarily"), async () => {
      await it_.refuse("temporarily");
      const refused = await it_.sink.send(noticeOf(), never);
      expect(refused).toMatchObject({ kind: "retry", reason: expect.stringMatching(/\S/) });
      await it_.refuse("no more");
      expect(await it_.sink.send(noticeOf(), never)).toMatchObject({ kind: "delivered" });
      expect(await it_.held()).toHaveLength(1);
    });

    unless("refuses permanently")(titled("refuses permanently"), async () => {
      await it_.refuse("permanently");
      const refused = await it_.sink.send(noticeOf(), never);
      expect(refused).toMatchObject({ kind: "rejected", reason: expect.stringMatching(/\S/) });
      expect(await it_.held()).toEqual([]);
    });

    it.each(hostileTexts.map((text) => [JSON.stringify(text).slice(0, 40), text]))(
      "takes hostile text: %s",
      async (_name, text) => {
        const fields = Object.fromEntries([
          ["process.command_line", text],
          ["__proto__", text],
          [text.slice(0, 200), "value"],
        ]);
        const notice = noticeOf({ text, fields, raw: text });
        expect(await it_.sink.send(notice, never)).toMatchObject({ kind: "delivered" });
        const held = await it_.held();
        expect(held).toHaveLength(1);
        // Neither the service nor a terminal that shows what it holds gets a control character out
        // of it.
        expect(held[0]?.trim()).not.toMatch(/[\p{Cc}--\n]/v);
        expect(({} as Record<string, unknown>)["process.command_line"]).toBeUndefined();
      },
    );

    it("does nothing once its signal is aborted", async () => {
      expect(await it_.sink.send(noticeOf(), AbortSignal.abort())).toMatchObject({ kind: "retry" });
      expect(await it_.held()).toEqual([]);
    });

    unless("ends a hanging attempt")(titled("ends a hanging attempt"), async () => {
      it_.hang();
      const attempt = new AbortController();
      const sent = it_.sink.send(noticeOf(), attempt.signal);
      await new Promise((resolve) => setImmediate(resolve));
      attempt.abort();
      expect(await sent).toMatchObject({ kind: "retry" });
    });

    it("closes twice without complaint", async () => {
      await it_.sink.send(noticeOf(), never);
      await it_.sink.close();
      await it_.sink.close();
    });
  });
}
