import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { hasPrometheus, type PrometheusServer, promtool, startPrometheus } from '../helpers/prometheus.ts';
import { ADMIN_KEY } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const FOLDER = new URL('../../examples/monitoring/', import.meta.url).pathname;
const GUIDE = new URL('../../docs/guides/monitoring.md', import.meta.url);
const SECRET = 'prom-secret-0123456789-abcdefghi';
const API_KEYS = JSON.stringify([
  { name: 'crm', secret: 'crm-secret-0123456789-abcdefghij' },
  { name: 'boss', secret: ADMIN_KEY, scopes: ['admin'] },
  { name: 'prometheus', secret: SECRET, scopes: ['metrics'] },
]);
const read = (file: string) => readFileSync(join(FOLDER, file), 'utf8');

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}

/** The alerts, without what they compare: their expressions return a series although none fires. */
function alertExpressions(): [name: string, expression: string][] {
  const { groups } = parse(read('outtray-rules.yml')) as Rules;
  return groups.flatMap(({ rules }) =>
    rules.map(({ alert, expr }): [string, string] => [alert, expr.replace(/ (==|>=?) [\d.]+/g, '')]),
  );
}

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

function panelExpressions(): [title: string, expression: string][] {
  const { panels } = JSON.parse(read('grafana/outtray.json')) as Dashboard;
  return panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }): [string, string] => [title, expr.replaceAll('$__rate_interval', '1m')]),
  );
}

/** The queries of the guide, without what they compare. */
function guideExpressions(): [question: string, expression: string][] {
  const [, table = ''] = readFileSync(GUIDE, 'utf8').split('## Queries');
  return [...table.matchAll(/^\| (.+?) \| `(.+)` \|$/gm)].map(([, question = '', query = '']) => [
    question,
    query.replace(' == 1', ''),
  ]);
}

describe.skipIf(!hasPrometheus)('the example of monitoring (with promtool and prometheus)', () => {
  test('has valid rules and configuration', () => {
    expect(promtool(['check', 'config', 'prometheus.yml'], FOLDER)).toMatchObject({ code: 0 });
    expect(promtool(['check', 'rules', 'outtray-rules.yml'], FOLDER)).toMatchObject({
      code: 0,
      text: expect.stringContaining('9 rules found'),
    });
  });

  test('has rules that fire, and stay silent, as their tests say', () => {
    expect(promtool(['test', 'rules', 'outtray-rules.test.yml'], FOLDER)).toMatchObject({ code: 0 });
  });

  test('has a test for each rule', () => {
    const tests = read('outtray-rules.test.yml');
    for (const [alert] of alertExpressions()) expect(tests.split(alert).length).toBeGreaterThan(2);
  });

  test('shows series in every panel, rule and query of the guide while a real Prometheus scrapes', {
    timeout: 60_000,
  }, async () => {
    await using mail = await startWithGmail({ env: { API_KEYS } });
    await using prometheus = await startPrometheus({
      global: { scrape_interval: '1s' },
      scrape_configs: [
        {
          job_name: 'outtray',
          authorization: { credentials: SECRET },
          static_configs: [{ targets: [new URL(mail.service.url).host] }],
        },
      ],
    });
    const headers = { authorization: `Bearer ${ADMIN_KEY}` };
    for (const to of ['ada@example.com', 'no-such-user@simulator.test'])
      await mail.service.send({ to, subject: 'Hello', text: 'Hello.' }, { wait: 15, headers });

    const scrape = await fetch(`${mail.service.url}/metrics`, { headers });
    expect(promtool(['check', 'metrics'], FOLDER, await scrape.text())).toEqual({ code: 0, text: '' });

    // A rate needs two scrapes.
    const expressions = [...alertExpressions(), ...panelExpressions(), ...guideExpressions()];
    expect(expressions.length).toBeGreaterThanOrEqual(40);
    for (const [name, expression] of expressions)
      await vi.waitFor(
        async () => expect([name, await prometheus.query(expression)]).not.toEqual([name, []]),
        { timeout: 15_000, interval: 200 },
      );
    expect(await numberOf(prometheus, 'outtray_messages_accepted_total{key="boss"}')).toBe(2);
    expect(await numberOf(prometheus, 'max(outtray_backend_up)')).toBe(1);
  });
});

async function numberOf(prometheus: PrometheusServer, expression: string): Promise<number> {
  const [sample] = await prometheus.query(expression);
  return Number(sample?.value[1]);
}
