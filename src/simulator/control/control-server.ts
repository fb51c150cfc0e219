/**
 * The simulator's HTTP port, which Gmail does not have: shows what was received, and controls
 * faults.
 */
import type { Server } from 'node:http';
import { z } from 'zod';
import { LOGIN_FAULTS } from '../auth/authenticator.ts';
import { DAY_MS, THROTTLE_REPLIES } from '../gmail/sending-limits.ts';
import type { AcceptedMessage, MessageLog } from '../message-log.ts';
import { PORT_FAULTS } from '../smtp/smtp-server.ts';
import type { SimulatorState } from '../state.ts';
import { CERTIFICATE_KINDS } from '../tls/certificate.ts';
import { CONSENT_ROUTES } from './consent-routes.ts';
import { type Controls, PORTS } from './controls.ts';
import { createHttpServer, HttpError, PlainText, post, type Route } from './http-server.ts';
import { IMAP_ROUTES, type SimulatorImap } from './imap-routes.ts';
import { TOKEN_ROUTES } from './token-routes.ts';

/** The context of the handlers. */
interface ControlContext extends Omit<SimulatorState, 'imap'> {
  readonly imap: SimulatorImap;
  readonly controls: Controls;
}

const count = z.int().min(0).max(1_000_000);

/** To add a route, add a row: `GET /` and the introduction of the command list it automatically. */
export const CONTROL_ROUTES: readonly Route<ControlContext>[] = [
  {
    method: 'GET',
    path: '/messages',
    summary: 'the received messages, newest first',
    handle: ({ messageLog }) => ({ messages: listMessages(messageLog) }),
  },
  {
    method: 'GET',
    path: '/messages/{id}',
    summary: 'one message',
    handle: ({ messageLog }, { id }) => findMessage(messageLog, id),
  },
  {
    method: 'GET',
    path: '/messages/{id}/raw',
    summary: 'the text of a message',
    handle: ({ messageLog }, { id }) => new PlainText(findMessage(messageLog, id).raw),
  },
  {
    method: 'DELETE',
    path: '/messages',
    summary: 'deletes all messages',
    handle: ({ messageLog }) => messageLog.clearMessages(),
  },
  {
    method: 'GET',
    path: '/counters',
    summary: 'numbers of connections, logins and transactions',
    handle: ({ messageLog }) => messageLog.counters,
  },
  post(
    '/login-fault',
    '{"fault": "bad-credentials", "times": 3}: makes the next logins fail, all without times; null ends it',
    z.strictObject({ fault: z.enum(LOGIN_FAULTS).nullable(), times: count.nullable().default(null) }),
    ({ controls }, body) => {
      controls.setLoginFault(body.fault, body.times ?? undefined);
      return body;
    },
  ),
  post(
    '/password',
    '{"password": "..."}: changes the password for new logins',
    z.strictObject({ password: z.string().min(1) }),
    ({ controls }, { password }) => controls.setPassword(password),
  ),
  post(
    '/daily-limit',
    '{"messages": 3, "window_seconds": 86400}: limits each user from now on (550 5.4.5); null removes it',
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
    '{"transactions": 2, "reply": "relay-peak"}: refuses the next ones at MAIL, with 421 4.7.0 by default',
    z.strictObject({ transactions: count, reply: z.enum(THROTTLE_REPLIES).default('try-again-later') }),
    ({ controls }, body) => {
      controls.throttle(body.transactions, body.reply);
      return body;
    },
  ),
  post(
    '/port-fault',
    '{"port": "starttls", "fault": "silent"}: blocks a port; also "tls", "imap" and "refused"; null reopens it',
    z.strictObject({ port: z.enum(PORTS), fault: z.enum(PORT_FAULTS).nullable() }),
    async ({ controls }, body) => {
      await controls.blockPort(body.port, body.fault);
      return body;
    },
  ),
  post(
    '/certificate',
    `{"certificate": "intercepted"}: sets the certificate of the ports: ${CERTIFICATE_KINDS.join(', ')}`,
    z.strictObject({ certificate: z.enum(CERTIFICATE_KINDS) }),
    ({ controls }, body) => {
      controls.setCertificate(body.certificate);
      return body;
    },
  ),
  post(
    '/starttls',
    '{"offered": false}: removes STARTTLS from EHLO; true restores it',
    z.strictObject({ offered: z.boolean() }),
    ({ controls }, body) => {
      controls.offerStarttls(body.offered);
      return body;
    },
  ),
  post(
    '/relay',
    '{"domains": ["acme.com"], "allowed": false}: acts as the Workspace relay, whose allow-list lacks this client; null ends it',
    z.strictObject({ domains: z.array(z.string().min(1)).nullable(), allowed: z.boolean().default(true) }),
    ({ controls }, body) => {
      const { domains, allowed } = body;
      controls.setRelay(domains && { domains: domains.map((domain) => domain.toLowerCase()), allowed });
      return body;
    },
  ),
  ...IMAP_ROUTES,
  ...CONSENT_ROUTES,
  ...TOKEN_ROUTES,
];

export function createControlServer(state: SimulatorState, controls: Controls, imap: SimulatorImap): Server {
  return createHttpServer(CONTROL_ROUTES, { ...state, controls, imap });
}

/** Lists the messages, newest first, without their text. */
function listMessages(messageLog: MessageLog) {
  return messageLog.messages.map(({ raw: _, ...rest }) => rest).reverse();
}

function findMessage(messageLog: MessageLog, id: string): AcceptedMessage {
  const message = messageLog.messages.find((each) => each.id === id);
  if (!message) throw new HttpError(404, 'No such message');
  return message;
}
