import { z } from 'zod';
import {
  email,
  emailBatchAnswer,
  emailEntry,
  emailItem,
  emailList,
  emailRequest,
  resendError,
} from '../resend/schemas.ts';
import { account, quotaUsage } from '../schemas/account.ts';
import { attachment } from '../schemas/attachment.ts';
import { batchAnswer, batchDefaults, batchItem, batchResult } from '../schemas/batch.ts';
import { mailbox, mailboxes } from '../schemas/mailbox.ts';
import {
  address,
  attachmentInfo,
  attempt,
  bounce,
  deliveryError,
  droppedMessage,
  errorCode,
  followUp,
  messageList,
  messageResource,
  preview,
  recipient,
  sendResult,
  smtpReply,
  warning,
} from '../schemas/message.ts';
import { fieldError, problem } from '../schemas/problem.ts';
import { messageDefaults, sendRequest } from '../schemas/send.ts';
import { suppression, suppressionList } from '../schemas/suppression.ts';
import { templateUse } from '../schemas/template.ts';
import { labels } from '../schemas/text.ts';
import { references } from '../schemas/thread.ts';
import { unsubscribe } from '../schemas/unsubscribe.ts';
import { accountEvent, followUpEvent, messageEvent } from '../schemas/webhook.ts';
import { alternativeOf } from '../validation/leniency.ts';

/** Schemas with a name in the document, as clients write them. */
const REQUESTS = {
  SendRequest: sendRequest,
  MessageDefaults: messageDefaults,
  EmailRequest: emailRequest,
  Mailbox: mailbox,
  Mailboxes: mailboxes,
  Attachment: attachment,
  TemplateUse: templateUse,
  References: references,
  Unsubscribe: unsubscribe,
  Labels: labels,
};
/** Schemas with a name in the document, as clients receive them. */
const RESPONSES = {
  Message: messageResource,
  DroppedMessage: droppedMessage,
  MessageList: messageList,
  Address: address,
  Recipient: recipient,
  Attempt: attempt,
  AttachmentInfo: attachmentInfo,
  Warning: warning,
  Bounce: bounce,
  FollowUp: followUp,
  SmtpReply: smtpReply,
  DeliveryError: deliveryError,
  Account: account,
  QuotaUsage: quotaUsage,
  Preview: preview,
  SendResult: sendResult,
  BatchAnswer: batchAnswer,
  BatchResult: batchResult,
  Suppression: suppression,
  SuppressionList: suppressionList,
  Problem: problem,
  FieldError: fieldError,
  Email: email,
  EmailEntry: emailEntry,
  EmailList: emailList,
  EmailBatchAnswer: emailBatchAnswer,
  ResendError: resendError,
  ErrorCode: errorCode,
  MessageEvent: messageEvent,
  FollowUpEvent: followUpEvent,
  AccountEvent: accountEvent,
};

/** Whether a schema describes what a client writes (`input`) or what it receives (`output`). */
type Direction = 'input' | 'output';

const NAMES: Readonly<Record<Direction, ReadonlyMap<z.core.$ZodType, string>>> = {
  input: toNames(REQUESTS),
  output: toNames(RESPONSES),
};

function toNames(schemas: Readonly<Record<string, z.ZodType>>): Map<z.core.$ZodType, string> {
  return new Map(Object.entries(schemas).map(([name, schema]) => [schema, name]));
}

/** The JSON Schemas that have a name, for `components.schemas`. */
export function namedSchemas(): Record<string, object> {
  const convert = (schemas: Readonly<Record<string, z.ZodType>>, direction: Direction) =>
    Object.entries(schemas).map(([name, schema]) => [name, toJsonSchema(schema, direction)]);
  return Object.fromEntries([...convert(REQUESTS, 'input'), ...convert(RESPONSES, 'output')]);
}

/** Converts a zod schema to JSON Schema: a reference if the schema has a name. */
export function toSchema(schema: z.ZodType, direction: Direction): object {
  const name = NAMES[direction].get(schema);
  return name === undefined ? toJsonSchema(schema, direction) : { $ref: toReference(name) };
}

function toReference(name: string): string {
  return `#/components/schemas/${name}`;
}

function toJsonSchema(schema: z.ZodType, direction: Direction): object {
  const override = (conversion: Conversion) => refine(conversion, schema, direction);
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: direction, override });
  return rest;
}

/** One step of zod's conversion: `jsonSchema` is changed in place. */
interface Conversion {
  readonly zodSchema: z.core.$ZodType;
  readonly jsonSchema: z.core.JSONSchema.BaseSchema;
}

function refine(conversion: Conversion, root: z.ZodType, direction: Direction): void {
  const { zodSchema, jsonSchema } = conversion;
  if (zodSchema !== root && replaceByReference(conversion, direction)) return;
  // zod drops the examples of a schema that transforms, which describe its input.
  const examples = z.globalRegistry.get(zodSchema)?.examples;
  if (Array.isArray(examples)) jsonSchema.examples = examples;
  if (zodSchema === batchItem)
    jsonSchema.anyOf = ['SendRequest', 'MessageDefaults'].map((name) => ({ $ref: toReference(name) }));
  if (zodSchema === batchDefaults) jsonSchema.$ref = toReference('MessageDefaults');
  if (zodSchema === emailItem) jsonSchema.$ref = toReference('EmailRequest');
  const alternative = alternativeOf(zodSchema);
  if (alternative) addAlternative(jsonSchema, alternative);
  // Clients must ignore response fields that they do not know.
  if (direction === 'output' && jsonSchema.additionalProperties === false)
    delete jsonSchema.additionalProperties;
  simplify(jsonSchema);
}

/**
 * Replaces a schema that has a name by a reference to it; returns false if it has none. A schema
 * that was derived from a named one by `.meta()` keeps its own description and examples.
 */
function replaceByReference({ zodSchema, jsonSchema }: Conversion, direction: Direction): boolean {
  const own = NAMES[direction].get(zodSchema);
  const name = own ?? inheritedName(zodSchema, direction);
  if (name === undefined) return false;
  const { description, examples } = jsonSchema;
  for (const keyword of Object.keys(jsonSchema)) delete jsonSchema[keyword];
  if (own === undefined) Object.assign(jsonSchema, description && { description }, examples && { examples });
  jsonSchema.$ref = toReference(name);
  return true;
}

/** The name of the schema that a schema was derived from, by `.meta()` or `.refine()`. */
function inheritedName({ _zod: { parent } }: z.core.$ZodType, direction: Direction): string | undefined {
  return parent && (NAMES[direction].get(parent) ?? inheritedName(parent, direction));
}

/**
 * Adds another form of the value. The description and the examples apply to all forms, so they stay
 * outside.
 */
function addAlternative(jsonSchema: z.core.JSONSchema.BaseSchema, other: z.core.JSONSchema.BaseSchema): void {
  const isAnyText =
    jsonSchema.type === 'string' && !jsonSchema.pattern && !jsonSchema.format && !jsonSchema.enum;
  if (isAnyText && other.enum) {
    // Equivalent to anyOf, and shorter; generators make a plain type of it.
    Object.assign(jsonSchema, { type: ['string', 'null'] });
    if (other.enum.includes('')) delete jsonSchema.minLength;
    return;
  }
  const { description, examples, ...form } = jsonSchema;
  for (const keyword of Object.keys(form)) delete jsonSchema[keyword];
  const { anyOf, ...rest } = form;
  const forms = anyOf && Object.keys(rest).length === 0 ? anyOf : [form];
  jsonSchema.anyOf = [...forms, other];
}

/** Removes keywords that add nothing, and shortens `string or null` to a list of types. */
function simplify(jsonSchema: z.core.JSONSchema.BaseSchema): void {
  const [form, nothing, ...others] = jsonSchema.anyOf ?? [];
  if (form?.type === 'string' && !form.enum && nothing?.type === 'null' && others.length === 0) {
    delete jsonSchema.anyOf;
    Object.assign(jsonSchema, form, { type: ['string', 'null'] });
  }
  if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
  if (jsonSchema.minLength === 0) delete jsonSchema.minLength;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (Object.keys(jsonSchema.propertyNames ?? {}).join() === 'type') delete jsonSchema.propertyNames;
}
