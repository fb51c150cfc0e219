import type { AccountResource } from '../../../src/http/schemas/account.ts';
import type { Simulator } from '../../../src/simulator/simulator.ts';
import { APP_PASSWORD, type ServiceSetup, type ServiceUnderTest, startService } from '../service.ts';
import { startSimulator } from './simulator-session.ts';

/** The service, and the simulator it sends through. */
export interface WithGmail extends AsyncDisposable {
  readonly gmail: Simulator;
  readonly service: ServiceUnderTest;
}

/**
 * Starts the service and a simulator that it sends through.
 *
 * @param options.retain number of messages that the simulator keeps
 * @param options.imap whether the service uses the IMAP server of the simulator
 */
export async function startWithGmail(
  options: Pick<ServiceSetup, 'env' | 'backoffScale'> & {
    readonly retain?: number;
    readonly imap?: boolean;
  } = {},
): Promise<WithGmail> {
  const { retain = 1000, imap = false, ...setup } = options;
  const stack = new AsyncDisposableStack();
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD, retain }));
  const env = { ...(imap && { IMAP_URL: gmail.imap.url }), ...setup.env };
  const service = stack.use(await startService({ smtp: gmail.url, ca: gmail.ca, ...setup, env }));
  return { gmail, service, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/**
 * Sends the same message `count` times at once, and returns the ids. Rejects if one is not
 * accepted.
 */
export async function sendMany(service: ServiceUnderTest, count: number, body: object): Promise<string[]> {
  const responses = await Promise.all(Array.from({ length: count }, () => service.send(body)));
  return responses.map(({ status, body: message }) => {
    if (status !== 202) throw new Error(`${status}: ${JSON.stringify(message)}`);
    return message.id;
  });
}

/** Returns the accounts of GET /accounts. */
export async function accountsOf(service: ServiceUnderTest): Promise<AccountResource[]> {
  const { body } = await service.request('/accounts');
  return (body as unknown as { accounts: AccountResource[] }).accounts;
}
