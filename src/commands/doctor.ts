import { parseArgs, styleText } from 'node:util';
import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import { AddressError, parseEmail } from '../core/message/address.ts';
import { runDoctor } from '../doctor/doctor.ts';
import { type Report, toJson, toText } from '../doctor/report.ts';
import { endNow } from '../service/shutdown.ts';

const USAGE = `Usage: outtray doctor [--json] [--send-to ADDRESS]

Checks everything that sending mail depends on, with the configuration of serve (the environment, and .env in the working directory), and
explains how to fix each problem. Logs in once by SMTP and once by IMAP with each account, and sends nothing.
The report ends with the problem to fix first.
  --json              print the report as JSON
  --send-to ADDRESS   also send a real message to this address, from each account; if it is the account itself, read the copy by
                      IMAP, and report who signed it and whether Gmail replaced From

Exits with code 0 only if mail can be sent with every account.`;

const COLORS = { pass: 'green', warn: 'yellow', fail: 'red', skip: 'gray' } as const;

/** Runs all checks and prints the report. Returns the exit code. */
export async function doctor(
  args: string[],
  { version, signal }: { version: string; signal: AbortSignal },
): Promise<number> {
  if (args.includes('--help')) return print(USAGE);
  let options: ReturnType<typeof parseArguments>;
  let envFile: string | null;
  try {
    options = parseArguments(args);
    envFile = loadEnvFile(process.env);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(error instanceof EnvFileError ? `${message}\n` : `${message}\n\n${USAGE}\n`);
    return 2;
  }
  // Nothing needs to be cleaned up: checks only read.
  signal.addEventListener('abort', () => endNow(1));
  const report = await runDoctor({ env: process.env, envFile, version, sendTo: options.sendTo });
  print(options.json ? toJson(report) : toColoredText(report));
  return report.ok ? 0 : 1;
}

/** Formats a report for standard output: without colors if that is no terminal, or by NO_COLOR. */
export function toColoredText(report: Report): string {
  return toText(report, (status, text) => styleText(COLORS[status], text, { stream: process.stdout }));
}

/** @throws {Error} if an argument is unknown, or the address is invalid */
function parseArguments(args: string[]): { json: boolean; sendTo: string | null } {
  const { values } = parseArgs({
    args,
    options: { json: { type: 'boolean' }, 'send-to': { type: 'string' } },
  });
  return {
    json: values.json ?? false,
    sendTo: values['send-to'] === undefined ? null : parseAddress(values['send-to']),
  };
}

function parseAddress(text: string): string {
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
