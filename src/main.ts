#!/usr/bin/env node
/** @module The program: hands argv to cli, turns its answer into an exit code. */

import { runCli } from "./cli/cli.ts";

process.exit(await runCli(process.argv.slice(2)));
