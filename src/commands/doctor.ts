import { parseArgs, styleText } from 'node:util';
import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import { AddressError, parseEmail } from '../core/message/address.ts';
import { runDoctor } from '../doctor/doctor.ts';
import { toJson, toText } from '../doctor/report.ts';
import { endNow } from '../service/shutdown.ts';

const USAGE = `Usage: outtray doctor [--json] [--send-to ADDRESS]

Checks all that sending mail depends on, with the configuration of serve (the environment, and .env in the working directory), and says how
to mend what is wrong. It logs in once with each account, and sends nothing.
It ends with the one thing to do first.
  --json              print the report as JSON
  --send-to ADDRESS   send a real message there, too, from each account

Exits 0 only if mail could be sent with every account.`;

const COLOURS = { pass: 'green', warn: 'yellow', fail: 'red', skip: 'gray' } as const;

/** Examines the way to Gmail and prints what it found. */
export async function doctor(
  args: string[],
  { version, signal }: { version: string; signal: AbortSignal },
): Promise<number> {
  if (args.includes('--help')) return print(USAGE);
  let options: ReturnType<typeof readArguments>;
  let envFile: string | null;
  try {
    options = readArguments(args);
    envFile = loadEnvFile(process.env);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(error instanceof EnvFileError ? `${message}\n` : `${message}\n\n${USAGE}\n`);
    return 2;
  }
  // Nothing has to be tidied up: what is open is only looked at.
  signal.addEventListener('abort', () => endNow(1));
  const report = await runDoctor({ env: process.env, envFile, version, sendTo: options.sendTo });
  // styleText leaves the colours out where standard output is no terminal, or NO_COLOR is set.
  print(
    options.json
      ? toJson(report)
      : toText(report, (status, text) => styleText(COLOURS[status], text, { stream: process.stdout })),
  );
  return report.ok ? 0 : 1;
}

/** @throws {Error} for an argument nobody knows, or an address that is none */
function readArguments(args: string[]): { json: boolean; sendTo: string | null } {
  const { values } = parseArgs({
    args,
    options: { json: { type: 'boolean' }, 'send-to': { type: 'string' } },
  });
  return {
    json: values.json ?? false,
    sendTo: values['send-to'] === undefined ? null : readAddress(values['send-to']),
  };
}

function readAddress(text: string): string {
  try {
    return parseEmail(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new Error(`--send-to: ${error.reason}`);
  }
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}
