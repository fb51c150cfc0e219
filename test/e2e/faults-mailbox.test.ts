import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { APP_PASSWORD, startService } from '../helpers/service.ts';
import type { FaultStage, ServerFault } from '../helpers/smtp/faulty-session.ts';
import { failAt, startFaultySmtp } from '../helpers/smtp/faulty-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
const TIMEOUT_MS = 60_000;

/** Mailboxes in which nothing can be found. */
const MAILBOXES: readonly (readonly [name: string, breakIt: (gmail: Simulator) => void])[] = [
  ['is down', (gmail) => void gmail.close()],
  ['does not respond', ({ imap }) => imap.setFault({ kind: 'slow', ms: 600_000 })],
  ['refuses logins', ({ imap }) => imap.setLoginFault('bad-credentials')],
  ['sends garbage', ({ imap }) => imap.setFault({ kind: 'garbage' })],
];

/** Faults with a certain outcome: retried, and no duplicate is possible. */
const CERTAIN: readonly (readonly [FaultStage, ServerFault])[] = [
  ['greeting', 'drop'],
  ['auth', '454 4.7.0 Temporary authentication failure'],
  ['mail', 'reset'],
  ['mail', '421 4.7.0 Try again later'],
  ['rcpt', '450 4.2.1 Busy'],
  ['data', 'garble'],
  ['dot', '451 4.3.0 Mail server temporarily rejected message'],
];

async function start(
  stage: FaultStage,
  fault: ServerFault,
  breakIt: (gmail: Simulator) => void,
  env: Record<string, string> = {},
) {
  const stack = new AsyncDisposableStack();
  const gmail = stack.use(await startFaultySmtp(failAt(stage, fault), createCertificate(['localhost'])));
  const mailbox = stack.use(await startSimulator({ password: APP_PASSWORD }));
  breakIt(mailbox);
  const service = stack.use(
    await startService({
      smtp: gmail.url,
      ca: `${gmail.ca}\n${mailbox.ca}`,
      env: { IMAP_URL: mailbox.imap.url, RECONCILE_FOR: '20s', ...env },
    }),
  );
  return { gmail, mailbox, service, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe.concurrent.each(MAILBOXES)(
  'faults of sending, while the mailbox %s',
  { timeout: TIMEOUT_MS },
  (_name, breakIt) => {
    test('before the outcome is unknown are retried, and open no connection to it', async () => {
      for (const [stage, fault] of CERTAIN) {
        await using app = await start(stage, fault, breakIt);
        const { body } = await app.service.send(HELLO);
        const { status, possible_duplicate } = await app.service.settled(body.id);
        expect([stage, fault, status, possible_duplicate]).toEqual([stage, fault, 'sent', false]);
        expect(app.gmail.log.copies).toHaveLength(1);
        expect(app.mailbox.imap.counters.connections).toBe(0);
      }
    });

    test('after the dot are retried with ON_UNCERTAIN=retry, as a possible duplicate', async () => {
      await using app = await start('dot', 'drop', breakIt);
      const { body } = await app.service.send(HELLO, { wait: 30 });
      expect(body).toMatchObject({
        status: 'sent',
        possible_duplicate: true,
        confirmed_by: null,
        attempts: [{ error: { code: 'connection_lost' } }, { smtp: { code: 250 } }],
      });
      const [first, second] = app.gmail.log.copies;
      expect(second).toEqual({ ...first, answered: true });
    });

    test('after the dot are held with ON_UNCERTAIN=hold, and delay no other message', async () => {
      await using app = await start('dot', 'drop', breakIt, { ON_UNCERTAIN: 'hold' });
      const first = await app.service.send(HELLO);
      const others = await Promise.all(
        Array.from({ length: 20 }, () => app.service.send(HELLO, { wait: 20 })),
      );
      expect(others.map(({ body }) => body.status)).toEqual(Array(20).fill('sent'));
      const { status, error } = await app.service.settled(first.body.id);
      expect([status, error?.code]).toEqual(['uncertain', 'delivery_uncertain']);
      expect(app.gmail.log.copies).toHaveLength(21);
    });
  },
);
