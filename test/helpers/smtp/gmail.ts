import type { AccountResource } from '../../../src/http/schemas/account.ts';
import type { Simulator } from '../../../src/simulator/simulator.ts';
import { APP_PASSWORD, type ServiceSetup, type ServiceUnderTest, startService } from '../service.ts';
import { startSimulator } from './simulator-session.ts';

/** The service and the Gmail it sends through. */
export interface WithGmail extends AsyncDisposable {
  readonly gmail: Simulator;
  readonly service: ServiceUnderTest;
}

/** @param options.retain how many messages the simulator keeps to look at */
export async function startWithGmail(
  options: Pick<ServiceSetup, 'env' | 'backoffScale'> & { readonly retain?: number } = {},
): Promise<WithGmail> {
  const { retain = 1000, ...setup } = options;
  const stack = new AsyncDisposableStack();
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD, retain }));
  const service = stack.use(await startService({ smtp: gmail.url, ca: gmail.ca, ...setup }));
  return { gmail, service, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Sends the same so many times at once; resolves to the ids. Rejects if one is not accepted. */
export async function sendMany(service: ServiceUnderTest, count: number, body: object): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: count }, () => service.send(body)));
  return answers.map(({ status, body: message }) => {
    if (status !== 202) throw new Error(`${status}: ${JSON.stringify(message)}`);
    return message.id;
  });
}

/** GET /accounts. */
export async function accountsOf(service: ServiceUnderTest): Promise<AccountResource[]> {
  const { body } = await service.request('/accounts');
  return (body as unknown as { accounts: AccountResource[] }).accounts;
}
