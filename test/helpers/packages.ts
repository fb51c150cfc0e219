import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';

const exec = promisify(execFile);

const REPO = new URL('../../', import.meta.url).pathname;
const PACKED_FROM = [
  'src',
  'build',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'openapi.yaml',
  'README.md',
  'docs',
  'examples',
  'LICENSE',
];
/** What a developer's checkout can have besides, and git ignores. */
const IGNORED = [
  'examples/compose/.env',
  'examples/compose/secrets/api_keys',
  'examples/kubernetes/base/secrets/api_keys',
];
const NO_NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT/;
/** The address that the release workflow gets from its environment. */
const REPOSITORY = { GITHUB_SERVER_URL: 'https://git.example.com', GITHUB_REPOSITORY: 'acme/outtray' };

export interface Packages {
  /** Tarball of `outtray`. */
  readonly service: string;
  /** Tarball of `outtray-client`. */
  readonly client: string;
}

/**
 * Packs both packages as the release workflow does, in a copy of the repository, because another
 * run may build at the same time.
 */
export async function makePackages(copy: string): Promise<Packages> {
  await mkdir(copy);
  for (const name of PACKED_FROM) await cp(join(REPO, name), join(copy, name), { recursive: true });
  for (const name of IGNORED) {
    await mkdir(dirname(join(copy, name)), { recursive: true });
    await writeFile(join(copy, name), 'secret');
  }
  await symlink(join(REPO, 'node_modules'), join(copy, 'node_modules'));
  await exec('bash', ['-e', '-c', await releaseStep('Pack')], {
    cwd: copy,
    env: { ...process.env, ...REPOSITORY },
  });
  const tarballs = (await readdir(copy)).filter((name) => name.endsWith('.tgz'));
  const find = (pattern: RegExp) => join(copy, tarballs.find((name) => pattern.test(name)) ?? 'missing');
  return { service: find(/^outtray-\d/), client: find(/^outtray-client-/) };
}

/** Returns the shell commands of a step of the workflow's job `npm`. */
async function releaseStep(name: string): Promise<string> {
  const { jobs } = parse(await readFile(join(REPO, '.github/workflows/release.yml'), 'utf8'));
  const steps: { readonly name?: string; readonly run?: string }[] = jobs.npm.steps;
  const run = steps.find((step) => step.name === name)?.run;
  if (!run) throw new Error(`release.yml has no step ${name}`);
  return run;
}

/**
 * Creates a folder in which only these packages are installed.
 *
 * @returns False if the registry is unreachable. With CI=true that is an error.
 */
export async function installInto(home: string, packages: readonly string[]): Promise<boolean> {
  await mkdir(home);
  await writeFile(join(home, 'package.json'), '{ "private": true }');
  try {
    await exec('npm', ['install', '--prefer-offline', '--fetch-retries=0', ...packages], { cwd: home });
    return true;
  } catch (error) {
    if (process.env.CI || !NO_NETWORK.test(String(error))) throw error;
    return false;
  }
}

/**
 * Type-checks a file strictly, as a user's project does.
 *
 * @param compiler `tsc`, which is TypeScript 7, or `tsc6`
 */
export async function typeCheck(home: string, file: string, compiler: string, module: string): Promise<void> {
  const options = {
    target: 'es2024',
    lib: 'es2024,dom',
    module,
    moduleResolution: module === 'esnext' ? 'bundler' : module,
  };
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const program = join(REPO, 'node_modules/.bin', compiler);
  await exec(process.execPath, [program, '--ignoreConfig', '--noEmit', '--strict', ...flags, file], {
    cwd: home,
  }).catch(({ stdout }) => {
    throw new Error(stdout);
  });
}
