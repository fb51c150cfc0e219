/** The simulator's own small HTTP port: what it took, and its switches. Not a thing that Gmail has. */
import type { Server } from 'node:http';
import { z } from 'zod';
import { LOGIN_FAULTS } from '../auth/authenticator.ts';
import { TOKEN_ROUTES } from '../auth/token-issuer.ts';
import type { AcceptedMessage, MessageLog } from '../message-log.ts';
import { DAY_MS, THROTTLE_REPLIES } from '../smtp/sending-limits.ts';
import { PORT_FAULTS } from '../smtp/smtp-server.ts';
import type { SimulatorState } from '../state.ts';
import { CERTIFICATE_KINDS } from '../tls/certificate.ts';
import { type Controls, PORTS } from './controls.ts';
import { createHttpServer, HttpError, PlainText, post, type Route } from './http-server.ts';

/** What the handlers are given. */
interface Inspected extends SimulatorState {
  readonly controls: Controls;
}

const count = z.int().min(0).max(1_000_000);

/** To add a route, add a row: `GET /` and the command's introduction show it by themselves. */
export const ROUTES: readonly Route<Inspected>[] = [
  {
    method: 'GET',
    path: '/messages',
    summary: 'what it took, newest first',
    handle: ({ journal }) => ({ messages: listed(journal) }),
  },
  {
    method: 'GET',
    path: '/messages/{id}',
    summary: 'one of them',
    handle: ({ journal }, { id }) => messageOf(journal, id),
  },
  {
    method: 'GET',
    path: '/messages/{id}/raw',
    summary: 'its text',
    handle: ({ journal }, { id }) => new PlainText(messageOf(journal, id).raw),
  },
  {
    method: 'DELETE',
    path: '/messages',
    summary: 'forgets them',
    handle: ({ journal }) => journal.forgetMessages(),
  },
  {
    method: 'GET',
    path: '/counters',
    summary: 'connections, logins, transactions',
    handle: ({ journal }) => journal.counters,
  },
  post(
    '/login-fault',
    '{"fault": "bad-credentials", "times": 3}: so many logins fail so, all without times; null heals',
    z.strictObject({ fault: z.enum(LOGIN_FAULTS).nullable(), times: count.nullable().default(null) }),
    ({ controls }, body) => {
      controls.setLoginFault(body.fault, body.times ?? undefined);
      return body;
    },
  ),
  post(
    '/password',
    '{"password": "..."}: the password from now on',
    z.strictObject({ password: z.string().min(1) }),
    ({ controls }, { password }) => controls.setPassword(password),
  ),
  post(
    '/daily-limit',
    '{"messages": 3, "window_seconds": 86400}: so many of each user from now on, then 550 5.4.5; null lifts it',
    z.strictObject({
      messages: count.nullable(),
      window_seconds: z
        .number()
        .positive()
        .default(DAY_MS / 1000),
    }),
    ({ controls }, body) => {
      const { messages, window_seconds } = body;
      controls.setDailyLimit(messages === null ? null : { messages, windowMs: window_seconds * 1000 });
      return body;
    },
  ),
  post(
    '/throttle',
    '{"transactions": 2, "reply": "relay-peak"}: so many are turned away at MAIL, with 421 4.7.0 without reply',
    z.strictObject({ transactions: count, reply: z.enum(THROTTLE_REPLIES).default('try-again-later') }),
    ({ controls }, body) => {
      controls.throttle(body.transactions, body.reply);
      return body;
    },
  ),
  post(
    '/port-fault',
    '{"port": "starttls", "fault": "silent"}: blocks that port, or "tls", so or by "refused"; null opens it',
    z.strictObject({ port: z.enum(PORTS), fault: z.enum(PORT_FAULTS).nullable() }),
    async ({ controls }, body) => {
      await controls.blockPort(body.port, body.fault);
      return body;
    },
  ),
  post(
    '/certificate',
    `{"certificate": "intercepted"}: what both ports present: ${CERTIFICATE_KINDS.join(', ')}`,
    z.strictObject({ certificate: z.enum(CERTIFICATE_KINDS) }),
    ({ controls }, body) => {
      controls.setCertificate(body.certificate);
      return body;
    },
  ),
  post(
    '/starttls',
    '{"offered": false}: EHLO does not offer STARTTLS; true brings it back',
    z.strictObject({ offered: z.boolean() }),
    ({ controls }, body) => {
      controls.offerStarttls(body.offered);
      return body;
    },
  ),
  ...TOKEN_ROUTES,
];

export function createInspection(state: SimulatorState, controls: Controls): Server {
  return createHttpServer(ROUTES, { ...state, controls });
}

/** Newest first, without their text. */
function listed(journal: MessageLog) {
  return journal.messages.map(({ raw: _, ...rest }) => rest).reverse();
}

function messageOf(journal: MessageLog, id: string): AcceptedMessage {
  const message = journal.messages.find((each) => each.id === id);
  if (!message) throw new HttpError(404, 'No such message');
  return message;
}
