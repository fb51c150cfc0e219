'use strict';

// Plain JavaScript that any Node version runs. An old one would fail on main.ts with a stack trace.
// `engines` is the Node that the client needs; `devEngines` is the one that the service needs.
const { devEngines } = require('../package.json');
const oldest = Number.parseInt(devEngines.runtime.version.replace('>=', ''), 10);

if (Number.parseInt(process.versions.node, 10) < oldest) {
  fail(
    `Outtray needs Node ${oldest} or newer; this is ${process.version}. Run "npm ci", which installs a suitable Node for this project, then try again.`,
  );
} else {
  import('./main.ts').catch((error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    fail('The dependencies are not installed. Run "npm ci", then try again.');
  });
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exitCode = 2;
}
