import type { Check, CheckResult, CheckSubject } from './check.ts';

export interface Report {
  /** True if no check failed: mail can be sent with every account. */
  readonly ok: boolean;
  readonly version: string;
  readonly checks: readonly Check[];
}

/** Formats the report as one JSON document. */
export function toJson(report: Report): string {
  return JSON.stringify(toResource(report), null, 2);
}

/** Maps the report to its JSON form. */
export function toResource({ ok, version, checks }: Report) {
  const rows = checks.map(({ id, name, target, status, detail, code, advice, durationMs }) => {
    return { id, name, status, target, detail, code, advice, duration_ms: Math.round(durationMs) };
  });
  return { ok, version, first: findFirstFailure(checks), checks: rows };
}

/**
 * Returns the first failed check, which is the one to fix first, since each check depends on those
 * before it.
 */
function findFirstFailure(
  checks: readonly Check[],
): (CheckSubject & { readonly advice: string | null }) | null {
  const failed = checks.find(({ status }) => status === 'fail');
  return failed
    ? { id: failed.id, name: failed.name, target: failed.target, advice: failed.advice ?? failed.detail }
    : null;
}

const MARKS = { pass: '✓', warn: '!', fail: '✗', skip: '-' } as const;
const ADVICE_WIDTH = 100;

/**
 * Formats the report as text: one line per check, with its advice below.
 *
 * @param colorize colors a mark by its status, or returns it unchanged
 */
export function toText(
  { ok, version, checks }: Report,
  colorize: (status: CheckResult['status'], text: string) => string,
): string {
  const nameWidth = Math.max(...checks.map(({ name }) => name.length));
  const targetWidth = Math.max(...checks.map(({ target }) => target.length));
  const lines = checks.flatMap(({ name, target, status, detail, advice }) => {
    const line = `${colorize(status, MARKS[status])} ${name.padEnd(nameWidth)}  ${target.padEnd(targetWidth)}  ${detail}`;
    return advice === null ? [line] : [line, ...wrap(advice).map((part) => `    ${part}`)];
  });
  return [
    `Outtray ${version}: doctor`,
    '',
    ...lines,
    '',
    summarize(ok, checks),
    ...formatFirstStep(checks),
  ].join('\n');
}

function summarize(ok: boolean, checks: readonly Check[]): string {
  const count = (status: CheckResult['status']) => checks.filter((check) => check.status === status).length;
  const failed = count('fail');
  const warned = count('warn');
  const warnings = warned > 0 ? `, with ${warned === 1 ? 'a warning' : `${warned} warnings`}` : '';
  if (ok) return `Mail can be sent with every account${warnings}.${warned > 0 ? '' : ' All checks passed.'}`;
  return `Mail cannot be sent: ${failed === 1 ? 'one check' : `${failed} checks`} failed${warnings}.`;
}

function formatFirstStep(checks: readonly Check[]): string[] {
  const first = findFirstFailure(checks);
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
