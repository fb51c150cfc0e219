import type { ErrorCode } from '../../src/core/errors.ts';
import type { AppOptions } from '../../src/http/app.ts';
import { MAIL } from '../helpers/app.ts';
import {
  type Answer,
  type Contract,
  type Operation,
  type Outcome,
  outcomesOf,
} from '../helpers/openapi-contract.ts';
import {
  type Call,
  openAppStage,
  openServiceStage,
  type ServiceStage,
  type Stage,
} from '../helpers/openapi-stage.ts';
import { API_KEY } from '../helpers/service.ts';
import { makeTemplatesDir } from '../helpers/templates.ts';

/** How an outcome of an operation is brought about. */
export interface Row {
  readonly operation: string;
  readonly gives: Outcome;
  provoke(stages: Stages): Promise<Answer>;
}

/** Stages that rows share. */
export interface Stages extends AsyncDisposable {
  readonly contract: Contract;
  readonly usual: ServiceStage;
  /** One without the real parts; the same for the same parts. */
  withParts(parts: Partial<AppOptions>): Promise<Stage>;
}

/** What to ask, once what must happen first has happened. */
type Ask<On> = Call | ((stage: On) => Promise<Call>);

/** On the stage that all share. */
export function usually(operation: string, gives: Outcome, ask: Ask<ServiceStage> = {}): Row {
  return { operation, gives, provoke: ({ usual }) => answer(usual, operation, ask) };
}

/** On a service of its own, with this environment. */
export function within(
  env: Readonly<Record<string, string>>,
  operation: string,
  gives: Outcome,
  ask: Ask<ServiceStage> = {},
): Row {
  return {
    operation,
    gives,
    async provoke({ contract }) {
      await using stage = await openServiceStage(contract, env);
      return await answer(stage, operation, ask);
    },
  };
}

/** On a service that waits for an attempt to end before it ends itself. */
export function whileDraining(operation: string): Row {
  return within({}, operation, 'shutting_down', async ({ ask, gmail, drain }) => {
    await ask('send', { body: { ...MAIL, to: 'slow+5s@simulator.test' } });
    await gmail.waitFor(({ transactions }) => transactions.length > 0);
    drain();
    return {};
  });
}

/** Over parts that fail as the real ones cannot be made to from outside. */
export function withParts(
  parts: Partial<AppOptions>,
  operation: string,
  gives: Outcome,
  ask: Ask<Stage> = {},
): Row {
  return {
    operation,
    gives,
    provoke: async (stages) => answer(await stages.withParts(parts), operation, ask),
  };
}

/** On a service of its own that talks to this in place of Gmail, in the clear. */
export function against(
  open: () => Promise<AsyncDisposable & { readonly port: number }>,
  operation: string,
  gives: Outcome,
  ask: Ask<ServiceStage> = {},
): Row {
  return {
    operation,
    gives,
    async provoke(stages) {
      await using server = await open();
      return await within(
        { SMTP_URL: `smtp://127.0.0.1:${server.port}?tls=never` },
        operation,
        gives,
        ask,
      ).provoke(stages);
    },
  };
}

/** While the first request of its kind is being answered: for ever, since those that wait for nothing are answered too soon. */
export function whileInProgress(operation: string): Row {
  return {
    operation,
    gives: 'idempotency_in_progress',
    async provoke({ contract }) {
      const begun = Promise.withResolvers<void>();
      const hang = () => {
        begun.resolve();
        return new Promise<never>(() => {});
      };
      await using stage = await openAppStage(contract, {
        intake: { accept: hang, preview: hang, check: hang },
      });
      const asked = { headers: { 'idempotency-key': '1' } };
      stage.call(operation, asked).catch(() => {});
      await begun.promise;
      return await stage.call(operation, asked);
    },
  };
}

async function answer<On extends Stage>(stage: On, operation: string, ask: Ask<On>): Promise<Answer> {
  return stage.call(operation, typeof ask === 'function' ? await ask(stage) : ask);
}

export const SMALL_QUEUE = { QUEUE_MAX_MESSAGES: '1' };

export const SENDER = 'send-secret-0123456789-abcdefghi';
export const READER = 'read-secret-0123456789-abcdefghi';
export const ADMIN = 'boss-secret-0123456789-abcdefghi';

/** The key that may be used for one request an hour, and that only this operation is asked with. */
export function limitedKey({ operationId }: Operation): string {
  return `once-secret-0123456789-${operationId}`;
}

export async function openStages(contract: Contract): Promise<Stages> {
  const stack = new AsyncDisposableStack();
  const templates = stack.use(
    await makeTemplatesDir({
      'invoice/subject.txt': 'Your invoice',
      'invoice/body.html': '<p>{{name}}, pay.</p>',
    }),
  );
  const keys = [
    { name: 'crm', secret: API_KEY },
    { name: 'sender', secret: SENDER, scopes: ['send'] },
    { name: 'reader', secret: READER, scopes: ['read'] },
    { name: 'boss', secret: ADMIN, scopes: ['admin'] },
    ...contract.operations.map((one) => ({
      name: `once-${one.operationId}`,
      secret: limitedKey(one),
      rate_limit: '1/1h',
    })),
  ];
  const env = { API_KEYS: JSON.stringify(keys), TEMPLATES_DIR: templates.dir, MAX_MESSAGE_BYTES: '64kb' };
  const usual = stack.use(await openServiceStage(contract, env));
  const open = new Map<Partial<AppOptions>, Promise<Stage>>();

  return {
    contract,
    usual,
    withParts(parts) {
      const stage = open.get(parts) ?? openAppStage(contract, parts).then((opened) => stack.use(opened));
      open.set(parts, stage);
      return stage;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A row for each operation that promises this error, under whatever status. */
export function forEach(
  { operations }: Contract,
  code: ErrorCode,
  toRow: (operation: Operation, gives: Outcome) => Row,
): Row[] {
  return operations.flatMap((operation) =>
    outcomesOf(operation)
      .filter((outcome) => String(outcome).split(' ').at(-1) === code)
      .map((outcome) => toRow(operation, outcome)),
  );
}
