import { RELAY_URL } from '../config/smtp-url.ts';
import { domainOf } from '../core/message/address.ts';
import { printFailures } from '../login/login.ts';
import { tryLogin } from '../login/try-login.ts';
import { confirmRetry, isUsable, type LoginContext } from './login-context.ts';
import type { Settings } from './settings.ts';

/** Checks that the relay accepts mail from this machine. Asks again while it does not. */
export async function useRelay(context: LoginContext): Promise<Settings> {
  const { user, servers, options, env, terminal, print } = context;
  for (;;) {
    print(`Asking the relay whether it accepts mail from ${user}…`);
    const trial = await tryLogin(user, null, { servers, ehloName: options.ehloName });
    if (trial.kind === 'accepted') print(`${trial.server} accepts it.`);
    else {
      print(trial.kind === 'refused' ? 'It does not.' : 'No server can be used.');
      printFailures(trial.failures, { print });
    }
    if (isUsable(trial, terminal))
      return { GMAIL_DOMAINS: domainOf(user), SMTP_URL: env.SMTP_URL?.trim() || RELAY_URL };
    await confirmRetry(terminal);
  }
}
