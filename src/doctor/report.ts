import { fixOf, type TroubleshootingId } from './troubleshooting.ts';

/** What a check found. `code` names a row of ADVICE or of ERRORS; `advice` is what to do about it. */
export interface Finding {
  readonly status: 'pass' | 'warn' | 'fail' | 'skip';
  readonly detail: string;
  readonly code: string | null;
  readonly advice: string | null;
}

/** One line of the report. */
export interface Check extends Finding {
  /** Stable, such as `tcp_ipv4`; several checks of one report share it where there are several servers or accounts. */
  readonly id: string;
  readonly name: string;
  /** What was checked: a server, an account, a variable. */
  readonly target: string;
  readonly durationMs: number;
}

export interface Report {
  /** Whether mail could be sent with every account: nothing failed. */
  readonly ok: boolean;
  readonly version: string;
  readonly checks: readonly Check[];
}

export const pass = (detail: string): Finding => ({ status: 'pass', detail, code: null, advice: null });
export const skip = (detail: string): Finding => ({ status: 'skip', detail, code: null, advice: null });
export const warn = (code: TroubleshootingId, detail: string): Finding => ({
  status: 'warn',
  detail,
  code,
  advice: fixOf(code) ?? null,
});
export const fail = (code: TroubleshootingId, detail: string): Finding => ({
  status: 'fail',
  detail,
  code,
  advice: fixOf(code) ?? null,
});

/** The line for a finding. */
export function toCheck(
  about: Pick<Check, 'id' | 'name' | 'target'>,
  finding: Finding,
  durationMs = 0,
): Check {
  const { status, detail, code, advice } = finding;
  return { ...about, status, detail, code, advice, durationMs };
}

/** The report as one JSON document. */
export function toJson({ ok, version, checks }: Report): string {
  const rows = checks.map(({ id, name, target, status, detail, code, advice, durationMs }) => {
    return { id, name, status, target, detail, code, advice, duration_ms: Math.round(durationMs) };
  });
  return JSON.stringify({ ok, version, first: firstOf(checks), checks: rows }, null, 2);
}

/** The one thing to do first: each check depends on those before it. Null if nothing failed. */
function firstOf(checks: readonly Check[]): Pick<Check, 'id' | 'name' | 'target' | 'advice'> | null {
  const failed = checks.find(({ status }) => status === 'fail');
  return failed
    ? { id: failed.id, name: failed.name, target: failed.target, advice: failed.advice ?? failed.detail }
    : null;
}

const MARKS = { pass: '✓', warn: '!', fail: '✗', skip: '-' } as const;
const ADVICE_WIDTH = 100;

/**
 * The report for people: a line for each check, what to do about it below.
 *
 * @param paint colours a mark, or leaves it as it is
 */
export function toText(
  { ok, version, checks }: Report,
  paint: (status: Finding['status'], text: string) => string,
): string {
  const nameWidth = Math.max(...checks.map(({ name }) => name.length));
  const targetWidth = Math.max(...checks.map(({ target }) => target.length));
  const lines = checks.flatMap(({ name, target, status, detail, advice }) => {
    const line = `${paint(status, MARKS[status])} ${name.padEnd(nameWidth)}  ${target.padEnd(targetWidth)}  ${detail}`;
    return advice === null ? [line] : [line, ...wrap(advice).map((part) => `    ${part}`)];
  });
  return [`Outtray ${version}: doctor`, '', ...lines, '', verdict(ok, checks), ...whatFirst(checks)].join(
    '\n',
  );
}

function verdict(ok: boolean, checks: readonly Check[]): string {
  const count = (status: Finding['status']) => checks.filter((check) => check.status === status).length;
  const failed = count('fail');
  const warned = count('warn');
  const warnings = warned > 0 ? `, with ${warned === 1 ? 'a warning' : `${warned} warnings`}` : '';
  if (ok) return `Mail can be sent with every account${warnings}.${warned > 0 ? '' : ' All is well.'}`;
  return `Mail cannot be sent: ${failed === 1 ? 'one check' : `${failed} checks`} failed${warnings}.`;
}

function whatFirst(checks: readonly Check[]): string[] {
  const first = firstOf(checks);
  return first
    ? ['', ...wrap(`Do this first (${[first.name, first.target].join(' ').trim()}): ${first.advice}`)]
    : [];
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length >= ADVICE_WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
