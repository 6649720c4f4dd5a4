/**
 * @module The table of commands; each answers with an exit code: 0 done, 1 found something, 2
 * usage, 3 settings.
 */

import { Command, CommanderError } from "commander";
import { processEnvironment, readConfig } from "../config/config.ts";
import { problemLine, ServiceError } from "../error.ts";
import { demo } from "./demo.ts";
import { addDlqCommands } from "./dlq.ts";
import { replayCommand } from "./replay.ts";
import { rulesTest } from "./rules.ts";
import { type ServeOptions, serve } from "./serve.ts";
import { type CliStreams, shownLines } from "./terminal.ts";
import { addTopicsCommand } from "./topics.ts";

const processStreams: CliStreams = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
};

/** Runs one command. Never throws: what goes wrong is told on stderr and in the exit code. */
export async function runCli(
  args: readonly string[],
  streams: CliStreams = processStreams,
): Promise<number> {
  let code = 0;
  const program = commands(streams, (answer) => {
    code = answer;
  });
  try {
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof ServiceError) {
      streams.stderr.write(`${shownLines(problemLine(error.problem))}\n`);
      return error.problem.code === "input-unreadable" ? 2 : 3;
    }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    streams.stderr.write(`${shownLines(text)}\n`);
    return 1;
  }
}

function commands(streams: CliStreams, answer: (code: number) => void): Command {
  const program = new Command("pipewarden")
    .description("Joins runtime and CI events to the build that caused them, and pages once.")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      // It repeats what was typed, or pasted.
      writeErr: (text) => streams.stderr.write(shownLines(text)),
    });
  const configOf = ({ config }: { config?: string }) => {
    const environment = processEnvironment();
    return readConfig(config === undefined ? { environment } : { path: config, environment });
  };
  program
    .command("serve")
    .description("run the service until a signal")
    .option("--config <file>", "settings file (YAML)")
    .option("--roles <list>", "what this process does, as collect,detect,correlate,notify,api")
    .action(async (options: ServeOptions) => answer(await serve(options, streams)));
  program
    .command("replay")
    .description("run the same journey over recorded input (files, or - for stdin); pages nobody")
    .argument("[files...]", "files of any feed, recognised by their content")
    .option("--config <file>", "settings file (YAML)")
    .option("--json", "one alert a line; the summary goes to stderr")
    .action(async (files: string[], options: { config?: string; json?: boolean }) => {
      const { json = false } = options;
      answer(await replayCommand({ files, json, config: configOf(options) }, streams));
    });
  program
    .command("demo")
    .description("start a service on a free port and play the Midnight Commit through its doors")
    .option("--without-rule <id...>", "leave out rules, to see what they are for")
    .action(async ({ withoutRule = [] }: { withoutRule?: string[] }) => {
      answer(await demo({ withoutRules: withoutRule }, streams));
    });
  addDlqCommands(program, { streams, answer, configOf });
  addTopicsCommand(program, { streams, answer, configOf });
  const rules = program.command("rules").description("work on rules");
  rules
    .command("test")
    .description("run the tests beside the rules")
    .argument("[directory]", "rules directory", "rules")
    .option("--json", "one result a line")
    .action(async (directory: string, { json = false }: { json?: boolean }) => {
      answer(await rulesTest({ directory, json }, streams));
    });
  return program;
}
