import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { parseConfig } from '../../src/config/config.ts';
import { createEvents } from '../../src/core/events.ts';
import { createMailboxes } from '../../src/core/mailbox/mailboxes.ts';
import type { AccountResource } from '../../src/http/schemas/account.ts';
import { closeAccountTransport } from '../../src/service/account-replacement.ts';
import { changeAccountTransport, openAccountTransport } from '../../src/service/account-transport.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { REQUIRED } from '../helpers/config.ts';
import { startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const QUERY = { messageId: '<msg_01k7m4q2@acme.test>', since: Date.now() };

async function readMailbox(gmail: Simulator, env: Record<string, string>) {
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca, env });
  const { body } = await service.request('/accounts');
  const { accounts } = body as unknown as { accounts: AccountResource[] };
  return accounts[0]?.mailbox;
}

describe.concurrent('GET /accounts', () => {
  test.each([
    ['ready', 'by default, with IMAP_URL', {}, { status: 'ready', code: null }],
    ['off', 'if RECONCILE and INBOUND are off', { RECONCILE: 'off' }, { status: 'off', code: null }],
    ['off', 'without a server', { IMAP_URL: '' }, { status: 'off', code: 'no_mailbox' }],
    [
      'off',
      'without a login',
      { SMTP_URL: 'smtp://127.0.0.1:9?login=none', GMAIL_APP_PASSWORD: '' },
      { status: 'off', code: 'no_mailbox' },
    ],
  ])('shows a mailbox as %s %s, without a connection', async (_, _when, env, mailbox) => {
    await using gmail = await startSimulator();
    expect(await readMailbox(gmail, { IMAP_URL: gmail.imap.url, ...env })).toEqual(mailbox);
    expect(gmail.imap.counters.connections).toBe(0);
  });
});

/** Opens the account of the simulator as the service does, with its mailbox. */
async function openAccount(gmail: Simulator, sharedState = createMemorySharedState()) {
  const env = { ...REQUIRED, GMAIL_USER: gmail.user, SMTP_URL: gmail.url, IMAP_URL: gmail.imap.url };
  const configOf = (password: string) => parseConfig({ ...env, GMAIL_APP_PASSWORD: password }).config;
  const { accounts, smtp, mailbox } = configOf(gmail.password);
  const [config] = accounts;
  if (!config) throw new Error('no account');
  const events = createEvents();
  const reported: (string | null)[] = [];
  events.on('account.mailbox', (_user, fault) => reported.push(fault?.code ?? null));
  const options = { ...smtp, mailbox, ca: gmail.ca, events, sharedState };
  const sender = await openAccountTransport(config, options);
  onTestFinished(() => closeAccountTransport(sender));
  const change = async (password: string) => {
    changeAccountTransport(sender, configOf(password).accounts[0] ?? config);
    await sender.account.probeAfterChange();
  };
  return { sender, mailboxes: createMailboxes([sender]), change, reported };
}

describe('the mailboxes of the accounts', () => {
  test('record a refused login for all instances, and its end', async () => {
    await using gmail = await startSimulator();
    const sharedState = createMemorySharedState();
    const { mailboxes, sender } = await openAccount(gmail, sharedState);
    const other = await openAccount(gmail, sharedState);
    gmail.imap.setLoginFault('imap-off-by-admin', 1);
    const { signal } = new AbortController();
    await mailboxes.get(gmail.user)?.findSent(QUERY, signal);
    await vi.waitFor(() => expect(mailboxes.canLook(gmail.user)).toBe(false));
    expect(sender.account.isPaused).toBe(false);
    expect(await other.sender.account.readStatus()).toMatchObject({
      pause: null,
      mailbox: { status: 'refused', code: 'imap_disabled' },
    });
    await mailboxes.get(gmail.user)?.findSent(QUERY, signal);
    await vi.waitFor(() => expect(mailboxes.status(gmail.user)).toEqual({ status: 'ready', code: null }));
  });

  test('report a failure once, and its end', async () => {
    await using gmail = await startSimulator();
    const { mailboxes, reported } = await openAccount(gmail);
    const look = () => mailboxes.get(gmail.user)?.findSent(QUERY, new AbortController().signal);
    gmail.imap.setLoginFault('system-error', 2);
    await look();
    await vi.waitFor(() => expect(reported).toEqual(['imap_unavailable']));
    await look();
    await look();
    await vi.waitFor(() => expect(reported).toEqual(['imap_unavailable', null]));
  });

  test('can be looked at again after a reload with other credentials', async () => {
    await using gmail = await startSimulator();
    const { mailboxes, change } = await openAccount(gmail);
    const { signal } = new AbortController();
    await change('wrongwrongwrongw');
    expect(await mailboxes.get(gmail.user)?.findSent(QUERY, signal)).toMatchObject({
      fault: { code: 'imap_login_refused' },
    });
    await vi.waitFor(() => expect(mailboxes.canLook(gmail.user)).toBe(false));
    await change(gmail.password);
    expect(mailboxes.canLook(gmail.user)).toBe(true);
    expect(await mailboxes.get(gmail.user)?.findSent(QUERY, signal)).toEqual({ kind: 'absent' });
  });

  test('record no failure of a look that was stopped', async () => {
    await using gmail = await startSimulator();
    const { mailboxes } = await openAccount(gmail);
    const controller = new AbortController();
    controller.abort();
    expect(await mailboxes.get(gmail.user)?.findSent(QUERY, controller.signal)).toMatchObject({
      kind: 'failed',
    });
    expect(mailboxes.status(gmail.user)).toEqual({ status: 'ready', code: null });
  });

  test('are off for an account that is unknown or removed', async () => {
    await using gmail = await startSimulator();
    const { mailboxes } = await openAccount(gmail);
    mailboxes.replace([]);
    expect(mailboxes.get(gmail.user)).toBeNull();
    expect(mailboxes.canLook(gmail.user)).toBe(false);
    expect(mailboxes.status(gmail.user)).toEqual({ status: 'off', code: 'no_mailbox' });
  });
});
