import type { AccountConfig } from '../config/account-config.ts';
import { type AccountTransport, changeAccountTransport } from './account-transport.ts';

/** The accounts of another configuration. */
export interface ReplacedAccounts {
  /** All accounts, in the order of the configuration. */
  readonly senders: readonly AccountTransport[];
  readonly added: readonly AccountTransport[];
  readonly removed: readonly AccountTransport[];
  /** Those with another login, other addresses or limits. */
  readonly changed: readonly AccountTransport[];
}

/**
 * Prepares to replace accounts: opens and joins those that are added, or none if one of them fails.
 * Those that stay do not change before the returned function is called, which does not fail.
 */
export async function prepareReplacement(
  former: readonly AccountTransport[],
  configs: readonly AccountConfig[],
  open: (config: AccountConfig) => Promise<AccountTransport>,
): Promise<() => ReplacedAccounts> {
  const formerByUser = new Map(former.map((sender) => [sender.account.user, sender]));
  const added = await openAll(
    configs.filter(({ user }) => !formerByUser.has(user)),
    open,
  );
  const addedByUser = new Map(added.map((sender) => [sender.account.user, sender]));
  return () => {
    const changed: AccountTransport[] = [];
    const senders = configs.map((config) => {
      const known = formerByUser.get(config.user);
      if (!known) return addedByUser.get(config.user) as AccountTransport;
      const { sender, isChanged } = changeAccountTransport(known, config);
      if (isChanged) changed.push(sender);
      return sender;
    });
    const users = new Set(configs.map(({ user }) => user));
    const removed = former.filter(({ account }) => !users.has(account.user));
    return { senders, added, removed, changed };
  };
}

/** @throws {AppError} `queue_unavailable`. None of the accounts is open then. */
async function openAll(
  configs: readonly AccountConfig[],
  open: (config: AccountConfig) => Promise<AccountTransport>,
): Promise<AccountTransport[]> {
  const results = await Promise.allSettled(
    configs.map(async (config) => {
      const sender = await open(config);
      await sender.account.join();
      return sender;
    }),
  );
  const opened = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = results.find((result) => result.status === 'rejected');
  if (!failed) return opened;
  await Promise.all(opened.map(closeAccountTransport));
  throw failed.reason;
}

/** Closes an account that sends nothing any more. */
export async function closeAccountTransport({
  account,
  transport,
  mailbox,
}: AccountTransport): Promise<void> {
  await Promise.all([transport.close(), mailbox?.close()]);
  // An instance that fails to leave counts as gone once its heartbeat is missing.
  await account.leave().catch(() => {});
}
