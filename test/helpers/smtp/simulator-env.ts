import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Simulator } from '../../../src/simulator/simulator.ts';

/** The variables of an account that sends through the simulator. */
export function simulatorAccount(gmail: Simulator) {
  return { GMAIL_USER: gmail.user, GMAIL_APP_PASSWORD: gmail.password, SMTP_URL: gmail.url };
}

export interface SimulatorEnv extends AsyncDisposable {
  readonly env: ReturnType<typeof simulatorAccount> & { readonly NODE_EXTRA_CA_CERTS: string };
}

/**
 * Adds NODE_EXTRA_CA_CERTS, as an operator would set it: the CA of the simulator in a temporary
 * file.
 */
export async function createSimulatorEnv(gmail: Simulator): Promise<SimulatorEnv> {
  const folder = await mkdtemp(join(tmpdir(), 'outtray-'));
  const ca = join(folder, 'ca.pem');
  await writeFile(ca, gmail.ca);
  return {
    env: { ...simulatorAccount(gmail), NODE_EXTRA_CA_CERTS: ca },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
