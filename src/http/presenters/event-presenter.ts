import type { Accounts } from '../../core/accounts/accounts.ts';
import type { Durability } from '../../core/ports/backend.ts';
import type { EventPresenter } from '../../core/ports/event-presenter.ts';
import { toAccountResource } from './account.ts';
import { toMessageResource } from './message.ts';

/** Presents the data of webhook events as the resources that the API returns. */
export function createEventPresenter(
  accountStatus: Accounts['status'],
  durability: Durability,
): EventPresenter {
  return {
    message: (delivery) => toMessageResource(delivery, durability, null),
    account: (user) => toAccountResource(accountStatus(user)),
  };
}
