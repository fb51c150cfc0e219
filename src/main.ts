#!/usr/bin/env node
import packageJson from '../package.json' with { type: 'json' };
import { abortOnSignal, endNow } from './service/shutdown.ts';

const { version, devEngines } = packageJson;
/** `engines` is the Node that the client needs; the service needs a newer one. */
const oldestNode = Number.parseInt(devEngines.runtime.version.replace('>=', ''), 10);

/** Runs a command and returns the exit code. `signal` is aborted by SIGTERM or SIGINT. */
type Command = (args: string[], context: { version: string; signal: AbortSignal }) => Promise<number>;

/**
 * Each command is loaded only when called: `healthcheck` runs every few seconds and needs little.
 */
const COMMANDS: Readonly<Record<string, { about: string; load: () => Promise<Command> }>> = {
  serve: {
    about: 'run the service (the default)',
    load: async () => (await import('./commands/serve.ts')).serve,
  },
  init: {
    about: 'set up a Gmail account: check its login, make an API key, and write .env',
    load: async () => (await import('./commands/init.ts')).init,
  },
  demo: {
    about: 'run it against the built-in Gmail simulator; --once exits after the sample',
    load: async () => (await import('./commands/demo.ts')).demo,
  },
  doctor: {
    about: 'check everything that sending mail depends on, and show fixes; --json, --send-to ADDRESS',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  backup: {
    about: 'write a copy of the SQLite queue to FILE while the service runs',
    load: async () => (await import('./commands/backup.ts')).backup,
  },
  login: {
    about: 'log in to Gmail with OAuth, and write the file for GMAIL_OAUTH_FILE',
    load: async () => (await import('./commands/login.ts')).login,
  },
  simulator: {
    about: 'run only the built-in Gmail simulator',
    load: async () => (await import('./commands/simulator.ts')).simulator,
  },
  openapi: {
    about: 'print the OpenAPI document',
    load: async () => (await import('./commands/openapi.ts')).openapi,
  },
  healthcheck: {
    about: 'exit 0 if the service on PORT is ready',
    load: async () => (await import('./commands/healthcheck.ts')).healthcheck,
  },
};

async function main(argv: readonly string[]): Promise<number> {
  const [first = 'serve', ...rest] = argv.map((argument) => (argument === '-h' ? '--help' : argument));
  if (first === '--version' || rest.includes('--version')) return print(version);
  if (first === '--help' || first === 'help') return print(usage());
  const command = COMMANDS[first];
  if (!command) return complain(`Unknown command: ${first}\n\n${usage()}`);
  const run = await command.load();
  const controller = new AbortController();
  const { signal } = controller;
  const running = run(rest, { version, signal });
  // After the command has synchronously read its files: until then a signal ends the process, even
  // while a read blocks.
  abortOnSignal(controller);
  const code = await running;
  if (signal.aborted || code !== 0) endNow(code);
  // Output may still be waiting for a slow reader: a signal ends the process without it.
  signal.addEventListener('abort', () => endNow(code));
  return code;
}

function usage(): string {
  const lines = Object.entries(COMMANDS).map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`);
  return [
    'Usage: outtray [command] [--help] [--version]',
    '',
    ...lines,
    '',
    'serve is configured by environment variables and a .env file in the working directory: see docs/reference/configuration.md.',
  ].join('\n');
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

function complain(text: string): number {
  process.stderr.write(`${text}\n`);
  return 2;
}

// Without a listener, a closed reader (EPIPE) would end the process.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

if (Number.parseInt(process.versions.node, 10) < oldestNode) {
  process.exitCode = complain(
    `Outtray needs Node ${oldestNode} or newer; this is ${process.version}. Install it from https://nodejs.org. In a checkout, "npm ci" installs its own Node, and "npm start" uses it.`,
  );
} else {
  // Caches stripped and compiled modules for the next start. Has no effect on a read-only disk.
  (await import('node:module')).enableCompileCache();
  process.exitCode = await main(process.argv.slice(2));
}
