import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parseDuration } from '../../src/config/value-parsers.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { configOf } from '../helpers/config.ts';
import { installInto } from '../helpers/packages.ts';

const EXAMPLE = new URL('../../examples/kubernetes', import.meta.url).pathname;
/** The schemas of Kubernetes and of the Prometheus operator. */
const SCHEMAS = ['kubernetes-models@5', '@kubernetes-models/prometheus-operator@6'];
const INSTALL_TIMEOUT_MS = 120_000;
/** Not a Debian package in a current version, so its test is skipped without it, also in CI. */
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;

// biome-ignore lint/suspicious/noExplicitAny: manifests of many kinds, which the schemas check.
type Manifest = any;

let workshop: string;
/** A copy of the example with the files that its README creates. */
let folder: string;
let hasSchemas = false;

beforeAll(async () => {
  workshop = mkdtempSync(join(tmpdir(), 'outtray-kubernetes-'));
  folder = join(workshop, 'example');
  cpSync(EXAMPLE, folder, { recursive: true });
  const secrets = ['base/secrets/gmail_app_password', 'base/secrets/api_keys', 'redis/secrets/queue_url'];
  for (const file of secrets) {
    mkdirSync(join(folder, file, '..'), { recursive: true });
    writeFileSync(join(folder, file), 'secret');
  }
  hasSchemas = await installInto(join(workshop, 'schemas'), SCHEMAS);
}, INSTALL_TIMEOUT_MS);

afterAll(() => rmSync(workshop, { recursive: true }));

const parseFile = (path: string): Manifest[] => parseYaml(readFileSync(path, 'utf8'));
const parseYaml = (text: string): Manifest[] => parseAllDocuments(text).map((each) => each.toJS());

/** The manifests of a kustomization and of those that it includes. */
function manifestsOf(directory: string): Manifest[] {
  const [{ resources = [] }] = parseFile(join(directory, 'kustomization.yaml'));
  return resources.flatMap((name: string) =>
    existsSync(join(directory, name, 'kustomization.yaml'))
      ? manifestsOf(join(directory, name))
      : parseFile(join(directory, name)),
  );
}

/** The names of the generated maps or secrets, each with its keys. */
function generated(
  directory: string,
  kind: 'configMapGenerator' | 'secretGenerator',
): Record<string, string[]> {
  const [{ resources = [], [kind]: own = [] }] = parseFile(join(directory, 'kustomization.yaml'));
  const included = resources
    .map((name: string) => join(directory, name))
    .filter((path: string) => existsSync(join(path, 'kustomization.yaml')))
    .map((path: string) => generated(path, kind));
  const named = own.map(({ name, files = [], envs = [] }: Manifest) => {
    for (const file of [...files, ...envs])
      expect([file, existsSync(join(directory, file))]).toEqual([file, true]);
    return { [name]: files.map((file: string) => file.split('/').at(-1)) };
  });
  return Object.assign({}, ...included, ...named);
}

const variablesOf = (file: string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split('=') as [string, string]),
  );

describe.each([
  { variant: 'sqlite', kind: 'StatefulSet' },
  { variant: 'redis', kind: 'Deployment' },
])('examples/kubernetes/$variant', ({ variant, kind }) => {
  const load = () => {
    const manifests = manifestsOf(join(folder, variant));
    const { spec } = manifests.find((each) => each.kind === kind);
    const pod = spec.template.spec;
    return { manifests, workload: spec, pod, container: pod.containers[0] };
  };

  test('is valid by the schemas of Kubernetes', async ({ skip }) => {
    skip(!hasSchemas, 'the npm registry cannot be reached');
    for (const manifest of load().manifests) {
      const name = `${manifest.apiVersion}/${manifest.kind}`;
      const [models = '', operator = ''] = SCHEMAS.map((each) => each.replace(/@\d+$/, ''));
      const from = manifest.kind === 'PodMonitor' ? operator : models;
      const file = join(workshop, 'schemas/node_modules', from, manifest.apiVersion, 'index.js');
      const { [manifest.kind]: Model } = await import(pathToFileURL(file).href);
      expect(() => new Model(manifest).validate(), name).not.toThrow();
    }
  });

  test('selects its pods, and names ports that they have', () => {
    const { manifests, workload, container } = load();
    const { labels } = workload.template.metadata;
    const selectors = manifests.flatMap(({ kind: each, spec }) =>
      each === 'Service' ? [spec.selector] : [(spec.podSelector ?? spec.selector).matchLabels],
    );
    for (const selector of selectors) expect(labels).toMatchObject(selector);
    const ports = container.ports.map(({ name }: Manifest) => name);
    const named = JSON.stringify(manifests).matchAll(/"(?:port|targetPort)":"(\w+)"/g);
    for (const [, port] of named) expect(ports).toContain(port);
  });

  test('lets its pods reach the servers of SMTP_URL and IMAP_URL', () => {
    const { manifests } = load();
    const open = manifests.flatMap(({ kind: each, spec }) =>
      each === 'NetworkPolicy'
        ? (spec.egress ?? []).flatMap(({ ports }: Manifest) => ports.map(({ port }: Manifest) => port))
        : [],
    );
    const { smtp, mailbox } = configOf({});
    const ports = [...smtp.servers, mailbox.server].map((server) => server?.port);
    expect(open).toEqual(expect.arrayContaining(ports));
  });

  test('gives each pod its secrets as files, and a valid configuration', () => {
    const { pod, container } = load();
    const secrets = generated(join(folder, variant), 'secretGenerator');
    const maps = generated(join(folder, variant), 'configMapGenerator');
    const env = variablesOf(join(folder, 'base/outtray.env'));
    for (const { name, value } of container.env) env[name] = value;
    expect(container.envFrom.map(({ configMapRef }: Manifest) => configMapRef.name)).toEqual(
      Object.keys(maps),
    );
    const files = container.volumeMounts.flatMap(({ name, mountPath }: Manifest) => {
      const volume = pod.volumes.find((each: Manifest) => each.name === name);
      return (secrets[volume?.secret?.secretName] ?? []).map((key) => `${mountPath}/${key}`);
    });
    const paths = Object.entries(env).filter(([name]) => name.endsWith('_FILE'));
    expect(paths.map(([, path]) => path).sort()).toEqual(files.sort());
    const plain = Object.fromEntries(Object.entries(env).filter(([name]) => !name.endsWith('_FILE')));
    const config = configOf(plain);
    expect(config.metrics.port).toBe(
      container.ports.find(({ name }: Manifest) => name === 'metrics').containerPort,
    );
    expect(config.queue.url.kind).toBe(variant === 'sqlite' ? 'sqlite' : 'memory');
  });

  test('runs without privileges, and has time to finish its attempts', () => {
    const { pod, container } = load();
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    const shutdownTimeout = VARIABLES.find(({ name }) => name === 'SHUTDOWN_TIMEOUT')?.default ?? '';
    const stopMs = (pod.terminationGracePeriodSeconds - container.lifecycle.preStop.sleep.seconds) * 1000;
    expect(stopMs).toBeGreaterThan(parseDuration(shutdownTimeout));
    expect([container.livenessProbe, container.readinessProbe].map(({ httpGet }) => httpGet.path)).toEqual([
      '/livez',
      '/readyz',
    ]);
  });

  test.skipIf(!hasKubectl)('is built by kubectl kustomize from the same manifests (with kubectl)', () => {
    const built = parseYaml(
      execFileSync('kubectl', ['kustomize', join(folder, variant)], { encoding: 'utf8' }),
    );
    const kinds = (manifests: Manifest[]) => manifests.map((each) => each.kind).sort();
    const secrets = Object.keys(generated(join(folder, variant), 'secretGenerator')).map(() => 'Secret');
    expect(kinds(built)).toEqual([...kinds(load().manifests), 'ConfigMap', ...secrets].sort());
  });
});
