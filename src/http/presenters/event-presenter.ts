import type { Durability } from '../../core/ports/backend.ts';
import type { EventPresenter } from '../../core/ports/event-presenter.ts';
import { toAccountResource } from './account.ts';
import { toFollowUp, toMessageResource } from './message.ts';

/** Presents the data of webhook events as the resources that the API returns. */
export function createEventPresenter(durability: Durability): EventPresenter {
  return {
    message: (delivery) => toMessageResource(delivery, durability, null),
    followUp: toFollowUp,
    account: toAccountResource,
  };
}
