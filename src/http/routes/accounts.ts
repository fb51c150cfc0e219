import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import type { Accounts } from '../../core/accounts/accounts.ts';
import { toAccountResource } from '../presenters/account.ts';
import { toSignal } from '../request/request-context.ts';
import { account, accountList } from '../schemas/account.ts';
import { answer, answersToKey, BODY_CODES } from '../schemas/responses.ts';

export interface AccountOptions {
  readonly accounts: Pick<Accounts, 'list' | 'verify'>;
}

/** GET /accounts, POST /accounts/{user}/verify: the state of the sending accounts. */
export const accountRoutes: FastifyPluginAsyncZod<AccountOptions> = async (app, { accounts }) => {
  app.get(
    '/accounts',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listAccounts',
        tags: ['accounts'],
        summary: 'See how each sender is',
        description:
          'Ready, or paused and why and until when; what of its quota is used, and when some of that frees.',
        response: answersToKey({ 200: answer('The accounts, the default one first.', accountList) }),
      },
    },
    async () => ({ accounts: (await accounts.list()).map(toAccountResource) }),
  );

  app.post(
    '/accounts/:user/verify',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'verifyAccount',
        tags: ['accounts'],
        summary: 'Try an account now',
        description: `Logs in once, and sends nothing. If that works, a paused account resumes, and what waits for it goes out.
Once a minute at most, and not while Gmail counts too many logins: then it is \`rate_limited\`.`,
        params: z.object({ user: z.string().meta({ description: 'A user of GET /accounts.' }) }),
        response: answersToKey(
          { 200: answer('How the account is now: also when its login was refused.', account) },
          [
            ...BODY_CODES,
            'not_found',
            'dns_failed',
            'connect_failed',
            'connect_timeout',
            'connection_lost',
            'smtp_protocol_error',
            'smtp_temporary_failure',
          ],
        ),
      },
    },
    async (request, reply) => toAccountResource(await accounts.verify(request.params.user, toSignal(reply))),
  );
};
