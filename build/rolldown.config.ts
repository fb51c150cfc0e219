import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'rolldown';
import { LIBRARY_FILES } from '../src/http/ui-files.ts';
import { thirdPartyLicenses } from './third-party-licenses.ts';
import { findWorkers } from './worker-entries.ts';

const REPO = join(import.meta.dirname, '..');

/**
 * Gets Node's own modules without importing them. An import reads every export, and so loads what
 * Node loads on first use: streams for `node:fs`, WebSocket for `node:http`. Each start, and each
 * health check, would pay for it.
 */
const builtinsOnDemand: Plugin = {
  name: 'builtins-on-demand',
  renderChunk: (code) =>
    code.replace(/^import (.+) from "(node:.+)";$/gm, (_, names: string, module: string) =>
      declareBuiltin(names, `process.getBuiltinModule("${module}")`),
    ),
};

/** @param names As between `import` and `from`: a default, a list in braces, both, or a namespace */
function declareBuiltin(names: string, module: string): string {
  const [, single, list] = names.match(/^(?:(?:\* as )?([\w$]+))?(?:, )?({.*})?$/) ?? [];
  const targets = [single, list?.replaceAll(' as ', ': ')].filter((target) => target !== undefined);
  if (targets.length === 0) throw new Error(`Unknown form of import: ${names}`);
  return `const ${targets.map((target) => `${target} = ${module}`).join(', ')};`;
}

/** Copies the files that Swagger UI serves to where its code looks for them: beside `lib`. */
const swaggerUiFiles: Plugin = {
  name: 'swagger-ui-files',
  writeBundle({ dir = 'dist' }) {
    cpSync(join(REPO, 'node_modules/@fastify/swagger-ui/static'), join(dir, 'static'), { recursive: true });
  },
};

/** Copies the operators' page beside `lib`, with its library: both are served as they are. */
const uiFiles: Plugin = {
  name: 'ui-files',
  writeBundle({ dir = 'dist' }) {
    const isServed = (path: string) => !/\.(d\.ts|json)$/.test(path);
    cpSync(join(REPO, 'src/ui'), join(dir, 'ui'), { recursive: true, filter: isServed });
    for (const file of LIBRARY_FILES)
      cpSync(join(REPO, 'node_modules/lit-html', file), join(dir, 'ui/lit-html', file));
  },
};

/**
 * Bundles the service with its dependencies: a start loads a few files in place of 650, and the image
 * needs no node_modules. `dist/main.js` is the command line; what it imports on first use, the
 * workers and shared parts are files of `dist/lib`. The client is compiled by tsc instead.
 */
export default defineConfig({
  cwd: REPO,
  platform: 'node',
  input: {
    main: 'src/main.ts',
    ...findWorkers(join(REPO, 'src')),
    // Tinypool starts it beside its own module.
    'entry/worker': 'node_modules/tinypool/dist/entry/worker.js',
  },
  // A native addon, which is optional.
  external: ['msgpackr-extract'],
  transform: { define: { __dirname: 'import.meta.dirname', __filename: 'import.meta.filename' } },
  plugins: [builtinsOnDemand, swaggerUiFiles, uiFiles, thirdPartyLicenses(['lit-html'])],
  output: {
    dir: join(REPO, 'dist'),
    entryFileNames: ({ name }) => (name === 'main' ? 'main.js' : `lib/${name}.js`),
    chunkFileNames: 'lib/[name]-[hash].js',
  },
});
