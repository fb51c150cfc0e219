import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { VARIABLES } from '../../src/config/variables.ts';
import { isSettled, mayBecome, STATUSES, type Status } from '../../src/core/delivery/delivery.ts';
import { ERRORS } from '../../src/core/errors.ts';
import { TROUBLESHOOTING } from '../../src/doctor/troubleshooting.ts';

/** The pages that have generated tables, and the names of these tables. */
export const PAGES: Readonly<Record<string, readonly string[]>> = {
  'docs/reference/api.md': ['routes'],
  'docs/reference/statuses.md': ['statuses'],
  'docs/reference/configuration.md': ['configuration'],
  'docs/reference/errors.md': ['errors'],
  'docs/reference/troubleshooting.md': ['troubleshooting'],
};

const STATUS_MEANINGS: Readonly<Record<Status, string>> = {
  scheduled: 'Waits for `scheduled_at`.',
  queued: 'Waits for a connection.',
  sending: 'An attempt is running.',
  deferred: 'Waits for `next_attempt_at`; `error` gives the reason.',
  sent: 'Gmail replied 250 for every recipient. This means accepted by Gmail, not delivered or read.',
  partially_sent:
    'Gmail accepted the message for some recipients. The others were refused permanently or are suppressed: see `recipients`.',
  failed: 'Refused permanently, or `RETRY_FOR` is over; `error` gives the reason.',
  uncertain:
    'The connection broke when Gmail may already have accepted the message, and it is not retried: `ON_UNCERTAIN=hold`, or `RETRY_FOR` is over.',
  canceled: 'Canceled by `POST /messages/{id}/cancel`.',
  expired: '`expires_at` passed before the message was sent.',
};

const TABLES: Readonly<Record<string, () => string>> = {
  routes: () => table(['route', 'tag', 'what it does'], routes()),
  statuses: () =>
    table(
      ['status', 'final', 'next', 'meaning'],
      STATUSES.map((status) => [
        `\`${status}\``,
        isSettled(status) ? 'yes' : 'no',
        STATUSES.filter((next) => mayBecome(status, next))
          .map((next) => `\`${next}\``)
          .join(', '),
        STATUS_MEANINGS[status],
      ]),
    ),
  configuration: () =>
    table(
      ['variable', 'default', 'meaning'],
      VARIABLES.map(({ name, default: value, required, meaning, secret }) => [
        `\`${name}\`${secret ? ' (secret)' : ''}`,
        value ? `\`${value}\`` : required ? 'required' : '',
        meaning,
      ]),
    ),
  errors: () =>
    table(
      ['code', 'HTTP', 'scope', 'retryable', 'who acts', 'meaning', 'what to do'],
      Object.entries(ERRORS).map(([code, { status, scope, retryable, actor, title, meaning, hint }]) => [
        `\`${code}\``,
        String(status),
        scope,
        retryable ? 'yes' : 'no',
        actor,
        `${title}. ${meaning}`,
        hint,
      ]),
    ),
  troubleshooting: () =>
    table(
      ['symptom', 'seen as', 'what to do'],
      TROUBLESHOOTING.map(({ symptom, seenAs, fix }) => [symptom, seenAs, fix]),
    ),
};

/**
 * Replaces the named tables of a page by those made from the code.
 *
 * @throws {Error} if the page has no place for one of them: `<!-- name: … -->` and `<!-- /name -->`
 */
export function withTables(page: string, names: readonly string[]): string {
  let text = page;
  for (const name of names) {
    const marked = new RegExp(`(<!-- ${name}: [^\\n]*-->\\n)[\\s\\S]*?(<!-- /${name} -->)`);
    if (!marked.test(text)) throw new Error(`the page has no place for the table "${name}"`);
    text = text.replace(
      marked,
      (_all, start: string, end: string) => `${start}\n${TABLES[name]?.()}\n\n${end}`,
    );
  }
  return text;
}

interface Operation {
  readonly summary: string;
  readonly tags: readonly string[];
}

/** The operations of openapi.yaml, which `npm run openapi:drift` compares with the code. */
function routes(): string[][] {
  const { paths } = parse(readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8')) as {
    paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  };
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations)
      .filter(([, operation]) => operation.summary !== undefined)
      .map(([method, { tags, summary }]) => [
        `\`${method.toUpperCase()} ${path}\``,
        tags.join(', '),
        summary,
      ]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
