import { existsSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseDuration } from '../../src/config/values.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { parseConfig } from '../../src/config.ts';
import { REQUIRED, SECRET } from '../helpers/config.ts';

const REPO = new URL('../../', import.meta.url).pathname;
const SECRETS_OF_ENV = VARIABLES.filter(({ secret }) => secret).map(({ name }): string => name);

interface Service {
  readonly extends?: { readonly file: string; readonly service: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly stop_grace_period?: string;
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

const read = (path: string): ComposeFile => parse(readFileSync(path, 'utf8'), { merge: true });

/** With what it extends, as Compose merges them: https://docs.docker.com/reference/compose-file/services/#extends */
function serviceOf(path: string, name: string): Service {
  const { extends: base, ...own } = read(path).services[name] ?? {};
  if (!base) return own;
  const from = serviceOf(join(dirname(path), base.file), base.service);
  return {
    ...from,
    ...own,
    environment: { ...from.environment, ...own.environment },
    secrets: [...(from.secrets ?? []), ...(own.secrets ?? [])],
  };
}

describe.each([
  ['docker-compose.yml', 'outtray'],
  ['docker-compose.yml', 'demo'],
  ['examples/compose/docker-compose.yml', 'outtray'],
])('%s: %s', (file, name) => {
  const service = serviceOf(join(REPO, file), name);

  test('can change nothing in its container', () => {
    expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
    const mounts = (service.volumes ?? []).map((volume) => volume.split(':').at(-1));
    expect(mounts.filter((mode) => mode !== 'ro')).toEqual([]);
  });

  test('runs the image of the Dockerfile, which is not root and reports its health', () => {
    expect(service).toMatchObject({ build: '.', image: 'outtray' });
    const dockerfile = readFileSync(join(REPO, 'Dockerfile'), 'utf8');
    expect(dockerfile).toMatch(/^USER node$/m);
    expect(dockerfile).toMatch(/^HEALTHCHECK .*"healthcheck"\]$/m);
  });

  test('has time to finish what is under way', () => {
    const shutdownTimeout = VARIABLES.find((variable) => variable.name === 'SHUTDOWN_TIMEOUT')?.default ?? '';
    expect(parseDuration(service.stop_grace_period ?? '0s')).toBeGreaterThan(parseDuration(shutdownTimeout));
  });

  test('listens for those on this machine alone', () => {
    expect(service).toMatchObject({ ports: ['127.0.0.1:3000:3000'] });
  });
});

describe.each(['docker-compose.yml', 'examples/compose/docker-compose.yml'])('the secrets of %s', (file) => {
  const path = join(REPO, file);
  const { environment = {}, secrets = [], volumes = [] } = serviceOf(path, 'outtray');
  const files = Object.entries(environment).filter(([variable]) => variable.endsWith('_FILE'));

  test('are in no variable, but in files that git and the image leave out', () => {
    expect(Object.keys(environment).filter((variable) => SECRETS_OF_ENV.includes(variable))).toEqual([]);
    for (const { file: source } of Object.values(read(path).secrets)) expect(source).toMatch(/^\.\/secrets\//);
    expect(readFileSync(join(REPO, '.gitignore'), 'utf8').split('\n')).toContain('secrets/');
    expect(readFileSync(join(REPO, '.dockerignore'), 'utf8').split('\n')[0]).toBe('*');
  });

  test('are all there that a variable names, and no others', () => {
    const named = files.map(([, inContainer]) => inContainer.replace('/run/secrets/', '')).sort();
    expect([...secrets].sort()).toEqual(named);
    expect(Object.keys(read(path).secrets).sort()).toEqual(named);
  });

  test('and its variables are a configuration that the service takes', () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-'));
    const contents: Record<string, string> = { ...REQUIRED, WEBHOOK_SECRET: `whsec_${Buffer.alloc(32).toString('base64')}` };
    const given = Object.fromEntries(
      Object.entries(environment).map(([variable, text]) => {
        if (!variable.endsWith('_FILE')) return [variable, interpolate(text)];
        const secret = join(folder.path, variable);
        writeFileSync(secret, contents[variable.replace(/_FILE$/, '')] ?? '');
        return [variable, secret];
      }),
    );
    const { config, warnings } = parseConfig(given);
    expect(warnings).toEqual([]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.com' }]);
    expect(config.apiKeys).toMatchObject([{ name: 'crm' }]);
    expect(JSON.stringify(given)).not.toContain(SECRET);
    const mounted = volumes.map((volume) => volume.split(':'));
    expect(mounted.map(([, target]) => target)).toEqual(config.templatesDir === null ? [] : [config.templatesDir]);
    for (const [source = ''] of mounted) expect(existsSync(join(dirname(path), source))).toBe(true);
  });
});

/** `${NAME:-}`, with what a user has put into .env. */
function interpolate(text: string): string {
  const dotenv: Record<string, string> = { GMAIL_USER: REQUIRED.GMAIL_USER, WEBHOOK_URL: 'https://crm.example.com/outtray-events' };
  return text.replace(/\$\{(\w+):-\}/g, (_, name: string) => dotenv[name] ?? '');
}
