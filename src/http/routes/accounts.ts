import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import type { Accounts } from '../../core/accounts/accounts.ts';
import { toAccountResource } from '../presenters/account.ts';
import { toSignal } from '../request/request-context.ts';
import { account, accountList } from '../schemas/account.ts';
import { BODY_CODES, keyedResponses, success } from '../schemas/responses.ts';

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
        summary: 'List accounts',
        description:
          'Returns the state of each account (ready, or paused with the reason), how much of its quota is used, and whether its mailbox can be read.',
        response: keyedResponses({ 200: success('The accounts, the default account first.', accountList) }),
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
        summary: 'Verify an account',
        description: `Logs in once, without sending anything. If the login succeeds, a paused account
resumes and its waiting mail is sent. Returns \`rate_limited\` for a second request within a minute, and
while Gmail reports too many logins.`,
        params: z.object({
          user: z.string().meta({ description: 'The `user` of an account, as in GET /accounts.' }),
        }),
        response: keyedResponses(
          { 200: success('The current state of the account, also if its login was refused.', account) },
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
