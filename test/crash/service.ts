import { flushCompileCache } from 'node:module';
import { createServiceDoctor } from '../../src/commands/service-doctor.ts';
import { parseConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';
import { openService } from '../../src/service/service.ts';

/**
 * Argument of this program, which runs `outtray serve` with short back-offs and sends its URL to
 * its parent.
 */
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
  doctor: createServiceDoctor({ env: () => env, version: 'crash' }),
  logger: createLogger(config.logLevel, 'json'),
  ...options,
});

// Node writes the compile cache when a process exits, but this process gets killed.
flushCompileCache();
// Exits when its parent is gone.
process.on('disconnect', () => process.exit());
process.send?.(url);
