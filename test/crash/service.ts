import { flushCompileCache } from 'node:module';
import { parseConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';
import { openService } from '../../src/service/service.ts';

/** Run as a process of its own: `outtray serve` with this environment, save that what is tried again is tried soon. Says its URL when it serves. */
export interface ServiceSetup {
  readonly env: Record<string, string>;
  readonly ca: string;
  readonly backoffScale: number;
  readonly absentAfterMs?: number;
}

const { env, ...options } = JSON.parse(process.argv[2] ?? '') as ServiceSetup;
const { config } = parseConfig(env);
const { url } = await openService({
  config,
  version: 'crash',
  logger: createLogger(config.logLevel),
  ...options,
});

// By itself it is written at the end of a process, and this one has no end of its own.
flushCompileCache();
// Nobody is left to be served.
process.on('disconnect', () => process.exit());
process.send?.(url);
