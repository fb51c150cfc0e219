import { existsSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, Scalar } from 'yaml';
import { parseConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/config/environment.ts';
import { parseDuration } from '../../src/config/value-parsers.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { parseWait } from '../../src/http/request/prefer.ts';
import { configOf, REQUIRED, SECRET } from '../helpers/config.ts';

const REPO = new URL('../../', import.meta.url).pathname;
const SECRETS_OF_ENV = VARIABLES.filter(({ secret }) => secret).map(({ name }): string => name);
const DOCKERFILE = readFileSync(join(REPO, 'Dockerfile'), 'utf8');

interface Service {
  readonly extends?: { readonly file: string; readonly service: string };
  /** Null means `!reset`. */
  readonly profiles?: readonly string[] | null;
  /** Null passes on the variable of `.env` or the environment. */
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly command?: readonly string[];
  readonly stop_grace_period?: string;
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

const RESET = { tag: '!reset', collection: 'seq', resolve: () => new Scalar(null) } as const;
const OVERRIDE = { tag: '!override', collection: 'seq', resolve: (seq: unknown) => seq } as const;
const read = (file: string): ComposeFile =>
  parse(readFileSync(join(REPO, file), 'utf8'), { merge: true, customTags: [RESET, OVERRIDE] });

/**
 * Merges a service with the one it extends, as Compose does:
 * https://docs.docker.com/reference/compose-file/services/#extends
 */
function serviceOf(file: string, name: string): Service {
  const { extends: base, ...own } = read(file).services[name] ?? {};
  if (!base) return own;
  const from = serviceOf(join(dirname(file), base.file), base.service);
  return {
    ...from,
    ...own,
    profiles: own.profiles === null ? [] : [...(from.profiles ?? []), ...(own.profiles ?? [])],
    environment: { ...from.environment, ...own.environment },
    secrets: [...(from.secrets ?? []), ...(own.secrets ?? [])],
    volumes: [...(from.volumes ?? []), ...(own.volumes ?? [])],
  };
}

const TOP = 'docker-compose.yml';
const EXAMPLE = 'examples/compose/docker-compose.yml';
const LOOPBACK_PORTS = ['127.0.0.1:3000:3000'];

test.each([TOP, EXAMPLE])('%s has only services and volumes that these tests cover', (file) => {
  const { services, volumes } = read(file);
  const known = file === TOP ? ['demo', 'memory', 'sqlite', 'instance', 'balancer', 'redis'] : ['outtray'];
  expect(Object.keys(services)).toEqual(known);
  expect(Object.keys(volumes)).toEqual(file === TOP ? ['queue', 'redis'] : ['queue']);
});

describe.each([
  [TOP, 'demo', ['demo']],
  [TOP, 'memory', ['memory']],
  // `docker compose up` starts it.
  [TOP, 'sqlite', []],
  [TOP, 'instance', ['redis']],
  [TOP, 'balancer', ['redis']],
  [TOP, 'redis', ['redis']],
  [EXAMPLE, 'outtray', []],
])('%s: %s', (file, name, profiles) => {
  const service = serviceOf(file, name);

  test('may write only to its volumes', () => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
    const writable = (service.volumes ?? [])
      .filter((volume) => !volume.endsWith(':ro'))
      .map((volume) => volume.split(':'));
    for (const [source = '', target] of writable) {
      expect(Object.keys(read(file).volumes)).toContain(source);
      expect(target).toBe('/data');
    }
  });

  test('belongs to its profile', () => {
    expect(service.profiles ?? []).toEqual(profiles);
  });
});

test('the image runs no command while it is built for another architecture, which needs an emulator', () => {
  const [buildStage = '', finalStage = ''] = DOCKERFILE.split(/^(?=FROM )/m).slice(-2);
  expect(buildStage).toMatch(/^FROM --platform=\$BUILDPLATFORM /);
  expect(finalStage).not.toMatch(/^RUN /m);
});

describe.each([
  [TOP, 'demo'],
  [TOP, 'memory'],
  [TOP, 'sqlite'],
  [TOP, 'instance'],
  [EXAMPLE, 'outtray'],
])('%s: %s', (file, name) => {
  const service = serviceOf(file, name);

  test('runs the image of the Dockerfile, as a non-root user with a health check', () => {
    expect(service).toMatchObject({ build: '.', image: 'outtray' });
    expect(DOCKERFILE).toMatch(/^USER node$/m);
    expect(DOCKERFILE).toMatch(/^HEALTHCHECK .*"healthcheck"\]$/m);
  });

  test('has more time to stop than SHUTDOWN_TIMEOUT', () => {
    const shutdownTimeout = VARIABLES.find((variable) => variable.name === 'SHUTDOWN_TIMEOUT')?.default ?? '';
    expect(parseDuration(service.stop_grace_period ?? '0s')).toBeGreaterThan(parseDuration(shutdownTimeout));
  });

  test('publishes its port on loopback only, or not at all behind the balancer', () => {
    expect(service.ports).toEqual(name === 'instance' ? undefined : LOOPBACK_PORTS);
  });
});

describe.each([
  [TOP, 'memory', 'memory'],
  [TOP, 'sqlite', 'sqlite'],
  [TOP, 'instance', 'redis'],
  [EXAMPLE, 'outtray', 'sqlite'],
])('the secrets of %s: %s', (file, name, queue) => {
  const { environment = {}, secrets = [], volumes = [] } = serviceOf(file, name);
  const files = Object.entries(environment).filter(([variable]) => variable.endsWith('_FILE'));

  test('are in files that git and the image ignore, and in no variable', () => {
    // QUEUE_URL counts as secret because it may contain a password.
    const { QUEUE_URL, ...rest } = environment;
    expect(Object.keys(rest).filter((variable) => SECRETS_OF_ENV.includes(variable))).toEqual([]);
    expect(QUEUE_URL ?? '').not.toContain('@');
    for (const { file: source } of Object.values(read(file).secrets))
      expect(source).toMatch(/^\.\/secrets\//);
    expect(readFileSync(join(REPO, '.gitignore'), 'utf8').split('\n')).toContain('secrets/');
    expect(readFileSync(join(REPO, '.dockerignore'), 'utf8').split('\n')[0]).toBe('*');
  });

  test('are exactly those that variables name', () => {
    const named = files.map(([, inContainer]) => inContainer?.replace('/run/secrets/', '')).sort();
    expect([...secrets].sort()).toEqual(named);
    expect(Object.keys(read(file).secrets).sort()).toEqual(named);
  });

  test('and its variables form a valid configuration', () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'ot5-compose-'));
    const contents: Record<string, string> = {
      ...REQUIRED,
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32).toString('base64')}`,
    };
    const resolved = Object.fromEntries(
      Object.entries(environment).map(([variable, text]) => {
        if (!variable.endsWith('_FILE')) return [variable, interpolate(text ?? `\${${variable}:-}`)];
        const secret = join(folder.path, variable);
        writeFileSync(secret, contents[variable.replace(/_FILE$/, '')] ?? '');
        return [variable, secret];
      }),
    );
    const { config, warnings } = parseConfig(resolved);
    expect(warnings).toEqual([]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.com' }]);
    expect(config.apiKeys).toMatchObject([{ name: 'crm' }]);
    expect(config.queue.url.kind).toBe(queue);
    expect(JSON.stringify(resolved)).not.toContain(SECRET);
    const { url } = config.queue;
    const folders = [url.kind === 'sqlite' ? dirname(url.file) : null, config.templatesDir].filter(
      (path) => path !== null,
    );
    expect(volumes.map((volume) => volume.split(':')[1])).toEqual(folders);
    expectMounted(file, volumes);
  });
});

describe.each([
  ['oauth.yml', { GMAIL_OAUTH_FILE: '/data/gmail-oauth.json' }, []],
  [
    'service-account.yml',
    { GMAIL_SERVICE_ACCOUNT_FILE: '/run/secrets/gmail_service_account' },
    ['gmail_service_account'],
  ],
  ['relay.yml', {}, []],
])('examples/compose/%s', (file, login, secrets) => {
  const { services } = read(join('examples/compose', file));
  const names = ['memory', 'sqlite', 'instance'];

  test('replaces the app password in every service that sends', () => {
    expect(Object.keys(services)).toEqual(names);
    for (const name of names)
      expect(services[name]).toEqual({
        environment: { GMAIL_APP_PASSWORD_FILE: '', ...login },
        secrets: [...secrets, 'api_keys'],
        ...(file === 'oauth.yml' && { volumes: ['queue:/data'] }),
      });
  });
});

test('examples/compose/simulator.yml connects the service to the simulator', () => {
  const { simulator, outtray } = read('examples/compose/simulator.yml').services;
  const environment = outtray?.environment ?? {};
  expect(parseConfig({ ...environment, API_KEYS: `ci:${SECRET}` } as Environment).warnings).toEqual([]);
  // The certificate has the name of the container.
  expect(environment).toMatchObject({
    SMTP_URL: 'smtp://simulator:2587',
    IMAP_URL: 'imaps://simulator:2993',
    NODE_EXTRA_CA_CERTS: '/ca/ca.pem',
  });
  expect(simulator).toMatchObject({
    hostname: 'simulator',
    command: ['simulator', '--host', '0.0.0.0', '--ca-file', '/data/ca.pem'],
    volumes: ['ca:/data'],
  });
  expect(outtray?.volumes).toEqual(['ca:/ca:ro']);
  expect(outtray?.ports).toEqual(LOOPBACK_PORTS);
});

test('docker-compose.yml passes on every variable but secrets and those of the container', () => {
  // Paths and the port in the container, and variables that need a secret.
  const own = ['HOST', 'PORT', 'TEMPLATES_DIR', 'SHUTDOWN_TIMEOUT', 'WEBHOOK_URL', 'GMAIL_OAUTH_CLIENT_ID'];
  const passedOn = VARIABLES.filter(({ name, secret }) => !secret && !own.includes(name));
  const { environment = {} } = serviceOf(TOP, 'memory');
  expect(Object.keys(environment).filter((name) => !name.endsWith('_FILE'))).toEqual(
    passedOn.map(({ name }) => name),
  );
});

/** Expects that every mounted file of this machine exists. */
function expectMounted(file: string, volumes: readonly string[]): void {
  for (const source of volumes
    .map((volume) => volume.split(':')[0] ?? '')
    .filter((path) => path.startsWith('.'))) {
    expect(existsSync(join(REPO, dirname(file), source)), source).toBe(true);
  }
}

test('npm start and the image run the service with the same options of Node', () => {
  const { scripts } = JSON.parse(readFileSync(join(REPO, 'package.json'), 'utf8'));
  const [, entrypoint = ''] = DOCKERFILE.match(/^ENTRYPOINT (.+)$/m) ?? [];
  const optionsOf = (command: readonly string[]) => command.filter((word) => word.startsWith('--'));
  expect(optionsOf(scripts.start.split(' '))).toEqual(optionsOf(JSON.parse(entrypoint)));
});

test('the image has the labels of the OCI, and is built for any architecture on that of the builder', () => {
  const { description, license } = JSON.parse(readFileSync(join(REPO, 'package.json'), 'utf8'));
  const labels = Object.fromEntries(
    [...DOCKERFILE.matchAll(/org\.opencontainers\.image\.(\w+)="([^"]*)"/g)].map(([, name, text]) => [
      name,
      text,
    ]),
  );
  expect(labels).toEqual({ title: 'Outtray', description, licenses: license });
  const stages = [...DOCKERFILE.matchAll(/^FROM (.+)$/gm)].map(([, image]) => image);
  expect(stages).toEqual(['--platform=$BUILDPLATFORM node:26-slim AS build', 'node:26-slim']);
});

test('the volume of sqlite belongs to the user of the container', () => {
  expect(serviceOf(TOP, 'sqlite').volumes).toEqual(['queue:/data']);
  expect(DOCKERFILE).toMatch(/^COPY --from=build --chown=node:node \/data \/data$/m);
  expect(DOCKERFILE.indexOf('/data\n')).toBeLessThan(DOCKERFILE.indexOf('USER node'));
});

describe('the profile redis', () => {
  const { instance, balancer, redis } = {
    instance: serviceOf(TOP, 'instance'),
    balancer: serviceOf(TOP, 'balancer'),
    redis: serviceOf(TOP, 'redis'),
  };
  const conf = readFileSync(join(REPO, 'examples/compose/balancer.conf'), 'utf8');

  test('starts two instances once Redis is healthy, and the balancer once they are', () => {
    const whenHealthy = (name: string) => ({ depends_on: { [name]: { condition: 'service_healthy' } } });
    expect(instance).toMatchObject({ deploy: { replicas: 2 }, ...whenHealthy('redis') });
    expect(balancer).toMatchObject(whenHealthy('instance'));
    expect(redis).toMatchObject({ healthcheck: { test: ['CMD-SHELL', 'redis-cli ping | grep -q PONG'] } });
  });

  test('publishes only the port of its balancer, which does not run as root', () => {
    expect([instance.ports, redis.ports, balancer.ports]).toEqual([undefined, undefined, LOOPBACK_PORTS]);
    expect([balancer, redis]).toMatchObject([{ user: 'nginx', tmpfs: ['/tmp'] }, { user: 'redis' }]);
  });

  test('distributes requests among the current instances', () => {
    expect(balancer.volumes).toEqual(['./examples/compose/balancer.conf:/etc/outtray/balancer.conf:ro']);
    expectMounted(TOP, balancer.volumes ?? []);
    expect(balancer.command).toEqual(['nginx', '-c', '/etc/outtray/balancer.conf', '-g', 'daemon off;']);
    expect(directivesOf(conf)).toMatchObject({
      listen: '3000',
      resolver: expect.stringMatching(/^127\.0\.0\.11 /),
      set: '$instances instance',
      proxy_pass: 'http://$instances:3000',
    });
  });

  test('allows the longest Prefer: wait, and bodies of any size', () => {
    const {
      proxy_read_timeout: timeout = '',
      client_max_body_size: maxBodySize,
      proxy_request_buffering: buffering,
    } = directivesOf(conf);
    const seconds = parseDuration(timeout) / 1000;
    expect(parseWait(`wait=${seconds}`)).toBeLessThan(seconds);
    expect([maxBodySize, buffering]).toEqual(['0', 'off']);
  });

  test('trusts the client address from the balancer, which trusts no header of the client', () => {
    expect(conf).toMatch(/^ *proxy_set_header X-Forwarded-For \$remote_addr;$/m);
    const { trustProxy } = configOf({ TRUST_PROXY: instance.environment?.TRUST_PROXY ?? undefined });
    expect(trustProxy).toEqual(['172.16.0.0/12', '192.168.0.0/16']);
  });

  test('stores messages in an append-only file on a volume, and never evicts them', () => {
    expect(instance.environment?.QUEUE_URL).toBe('redis://redis:6379');
    expect(redis.volumes).toEqual(['redis:/data']);
    const [program, ...options] = redis.command ?? [];
    expect(program).toBe('redis-server');
    const pairs = Array.from({ length: options.length / 2 }, (_, index) =>
      options.slice(2 * index, 2 * index + 2),
    );
    expect(Object.fromEntries(pairs)).toEqual({
      '--appendonly': 'yes',
      '--maxmemory-policy': 'noeviction',
      '--dir': '/data',
    });
  });
});

/** Returns the last directive of each name. */
function directivesOf(conf: string): Record<string, string> {
  return Object.fromEntries(
    [...conf.matchAll(/^ *(\w+) ([^;{}#]+);$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
}

/** Replaces `${NAME:-}` by the value in the user's .env file. */
function interpolate(text: string): string {
  const envFile: Record<string, string> = {
    GMAIL_USER: REQUIRED.GMAIL_USER,
    WEBHOOK_URL: 'https://crm.example.com/outtray-events',
  };
  return text.replace(/\$\{(\w+):-\}/g, (_, name: string) => envFile[name] ?? '');
}

describe('examples/monitoring', () => {
  const folder = 'examples/monitoring';
  const file = join(folder, 'docker-compose.yml');
  const { services } = read(file);

  test('shows metrics only to its own network, at the port that Prometheus scrapes', () => {
    const { environment = {}, ports, profiles } = serviceOf(file, 'outtray');
    const env = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, String(value)]));
    const { metrics } = configOf(env);
    expect(metrics).toEqual({ access: 'open', port: 9464 });
    expect([ports, profiles]).toEqual([LOOPBACK_PORTS, []]);
    const prometheus = readFileSync(join(REPO, folder, 'prometheus.yml'), 'utf8');
    expect(prometheus).toContain(`outtray:${metrics.port}`);
  });

  test.each(['prometheus', 'grafana'])('%s mounts files that exist, and listens on this machine', (name) => {
    const { volumes = [], ports = [] } = services[name] ?? {};
    const files = volumes.map((volume) => volume.split(':')[0] ?? '').filter((path) => path.startsWith('.'));
    expect(files.length).toBeGreaterThan(1);
    for (const path of files) expect([path, existsSync(join(REPO, folder, path))]).toEqual([path, true]);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });
});
