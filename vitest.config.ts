import { defineConfig } from 'vitest/config';

// Each folder of test/ is a Vitest project of the same name:
//
//   unit      one module at a time, in memory, with injected clock, delay and randomness
//   http      the HTTP layer over core in memory
//   backends  one contract suite, run against memory, SQLite and Redis
//   openapi   every documented response of openapi.yaml, checked against the running service
//   e2e       the whole service, often as a process, against the simulator or a faulty SMTP server
//   crash     processes killed at random moments (CRASH_SEEDS sets the number of seeds)
//
//   npm test                      unit, http, backends in memory and SQLite, and the main path of e2e
//   npm run test:all              everything; CI and `npm run check` use it
//   npm run crash                 the crash project with 20 seeds
//   npx vitest run --project e2e  one project
//   npx vitest run e2e/clock      files whose path contains this text
//
// `npm test` names its files on the command line, see package.json. Tests that need Redis, Chromium, curl, Python,
// strace, fiu-run or faketime are skipped where the program is missing, and fail there if CI=true.
const PROJECTS = ['unit', 'http', 'backends', 'openapi', 'e2e', 'crash'];

export default defineConfig({
  test: {
    projects: PROJECTS.map((name) => ({
      extends: true,
      test: { name, include: [`test/${name}/**/*.test.ts`] },
    })),
    testTimeout: 20_000,
    // Tests wait more than they compute, so use every core. Vitest leaves one free by default.
    maxWorkers: '100%',
    restoreMocks: true,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
  },
});
