import type { Simulator } from '../../../src/simulator/simulator.ts';
import { createInstance, type Instance } from '../../crash/processes.ts';
import { startRedis } from '../redis.ts';
import { API_KEY, APP_PASSWORD } from '../service.ts';

export interface TwoInstancesOptions {
  readonly gmail: Simulator;
  readonly user: string;
  readonly env: Record<string, string>;
  readonly absentAfterMs: number;
  /** For their logs and compiled code. */
  readonly folder: string;
}

/** Returns two instances on one Redis, which read the mailbox of the simulator once they are started. */
export async function twoInstances(
  { use }: { readonly use: <Resource extends AsyncDisposable>(resource: Resource) => Resource },
  { gmail, user, env, absentAfterMs, folder }: TwoInstancesOptions,
): Promise<readonly [Instance, Instance]> {
  const redis = use(await startRedis());
  const common = {
    PORT: '0',
    API_KEYS: `crm:${API_KEY}`,
    GMAIL_USER: user,
    GMAIL_APP_PASSWORD: APP_PASSWORD,
    SMTP_URL: gmail.url,
    IMAP_URL: gmail.imap.url,
    QUEUE_URL: redis.url(),
  };
  const setup = { env: { ...common, ...env }, ca: gmail.ca, backoffScale: 0.002, absentAfterMs };
  return [use(createInstance('one', setup, folder)), use(createInstance('other', setup, folder))];
}
