import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { CONNECTIONS, ROUNDS } from './processes.ts';
import { isMissed, type Report, TABLE_HEAD, toLine } from './report.ts';

const PAGE = new URL('../docs/benchmarks.md', import.meta.url);

/** Where and when the benches ran. Created before they run. */
export interface Environment {
  readonly startedAt: Date;
  /** Average number of running processes in the minute before. */
  readonly load: number;
}

export const readEnvironment = (): Environment => ({ startedAt: new Date(), load: loadavg()[0] ?? 0 });

/** A bench that has run. */
export interface Section {
  /** Its name on the command line. */
  readonly name: string;
  readonly title: string;
  /** What is measured, and how. */
  readonly method: string;
  readonly report: Report;
}

const METHOD = `## Method

- Both sides of a ratio are measured in the same run, in alternating rounds (${ROUNDS} unless a bench needs
  more) after a warm-up. The value is the median of the ratios of the rounds. The columns before it
  are medians of each side.
- Outtray runs as \`outtray serve\`, with its default log level. Its output is discarded.
- The SMTP server is \`bench/parts/sink.ts\`, a process of its own: TLS from the first byte, a login,
  pipelining. It accepts every message and looks only for its end.
- A message has 1 KB of text and one recipient. The account has ${CONNECTIONS} SMTP connections. All connections
  are local.
- CPU time is user and system time of the whole process, worker threads included.
- Files are on a disk. Redis appends to a file, synced once a second.`;

const NOT_MEASURED = `## Not measured

- Gmail. In production its limits and the distance to it set the rate of one account.
- Networks with latency, and disks slower than the one of this machine.
- Days of continuous use. \`history\` moves the clock of the service instead.
- Servers that are not written for Node.`;

/** Writes docs/benchmarks.md. A section "Notes" at its end is kept. */
export async function writePage(
  environment: Environment,
  sections: readonly Section[],
  omitted: readonly string[],
): Promise<void> {
  const parts = [
    INTRODUCTION,
    describeMachine(environment),
    METHOD,
    '## Results',
    summarize(sections, omitted),
    ...sections.map(toMarkdown),
    NOT_MEASURED,
  ];
  await writeFile(PAGE, `${parts.join('\n\n')}\n${await readNotes()}`);
}

/** Returns the section "Notes", which is written by hand; empty if there is none. */
async function readNotes(): Promise<string> {
  const page = existsSync(PAGE) ? await readFile(PAGE, 'utf8') : '';
  return /\n## Notes\n.*$/s.exec(page)?.[0] ?? '';
}

const INTRODUCTION = `# Benchmarks

<!-- Written by \`npm run bench -- --write\`, which keeps a section "Notes" at the end. -->

Absolute figures depend on the machine. Compare ratios: both sides of each were measured in the same
run. \`npm run bench\` repeats all of them, \`npm run bench -- NAME\` one.`;

function describeMachine({ startedAt, load }: Environment): string {
  const [first] = cpus();
  const rows = [
    ['Processor', `${cpus().length} × ${first?.model.trim() ?? 'unknown'}`],
    ['Memory', `${Math.round(totalmem() / 1024 ** 3)} GB`],
    ['System', `${type()} ${release()}`],
    ['Node', process.version],
    ['Date', startedAt.toISOString().slice(0, 10)],
    ['Load average before the run', load.toFixed(1) + (load > BUSY ? ' (other programs were running)' : '')],
  ];
  return ['| | |', '| --- | --- |', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
}

/** Load average of a machine that also does other work. */
const BUSY = 0.5;

function summarize(sections: readonly Section[], omitted: readonly string[]): string {
  const rows = sections.flatMap(({ report }) => report.rows).filter(({ aim }) => aim !== null);
  const met = rows.filter((row) => !isMissed(row)).length;
  const summary = `${met} of ${rows.length} aims were met.`;
  if (omitted.length === 0) return summary;
  return `${summary} Not run: ${omitted.map((name) => `\`${name}\``).join(', ')}.`;
}

function toMarkdown({ name, title, method, report: { rows, table } }: Section): string {
  const heading = `### ${title} (\`${name}\`)`;
  const tables = [...(table ? [table] : []), [...TABLE_HEAD, ...rows.map(toLine)]];
  return [heading, method, ...tables.map((lines) => lines.join('\n'))].join('\n\n');
}
