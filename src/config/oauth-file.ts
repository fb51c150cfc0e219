import { z } from 'zod';
import type { Credentials } from '../core/accounts/credentials.ts';
import { toIsoOrNull } from '../core/time.ts';
import { parseOAuthWord, parseTokenUri } from './oauth-config.ts';
import { parsed } from './setting-schema.ts';
import { InvalidValue } from './value-parsers.ts';

/** What a user granted to an OAuth client: the content of the file that GMAIL_OAUTH_FILE names. */
export interface OAuthGrant {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly refreshToken: string;
  /** The token endpoint; null for the default. */
  readonly tokenUri: string | null;
  /** The address of the account that consented; null if the file does not name it. */
  readonly account: string | null;
  /** When the refresh token ends; null if it has no fixed end. */
  readonly endsAt: number | null;
}

const word = z.string().transform(parsed(parseOAuthWord));

/** Google's format for the credentials of a user, which gcloud and its libraries also write. */
const userCredentials = z.object({
  type: z.literal('authorized_user'),
  client_id: word,
  client_secret: word,
  refresh_token: word,
  token_uri: z.string().transform(parsed(parseTokenUri)).optional(),
  account: z.string().optional(),
  expires_at: z.iso.datetime().optional(),
});

/** Parses the file that `outtray login` writes. Ignores unused fields. */
export function parseOAuthGrant(text: string): OAuthGrant {
  const { data, error } = userCredentials.safeParse(parseJson(text));
  if (error) {
    const fields = [...new Set(error.issues.map(({ path }) => path[0]))];
    throw new InvalidValue(
      fields.includes('type') || fields.includes(undefined)
        ? 'It is not a login that outtray login wrote, whose type is authorized_user: run outtray login.'
        : `It has no usable ${fields.join(', ')}: run outtray login again.`,
    );
  }
  return {
    clientId: data.client_id,
    clientSecret: data.client_secret,
    refreshToken: data.refresh_token,
    tokenUri: data.token_uri ?? null,
    account: data.account?.trim() || null,
    endsAt: data.expires_at === undefined ? null : Date.parse(data.expires_at),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidValue(
      'It is not valid JSON: run outtray login, which writes a file, and set its path by appending _FILE to the name of the setting.',
    );
  }
}

export function formatOAuthGrant(grant: OAuthGrant): string {
  const { clientId, clientSecret, refreshToken, tokenUri, account, endsAt } = grant;
  const fields = {
    type: 'authorized_user',
    account: account ?? undefined,
    client_id: clientId,
    client_secret: clientSecret,
    refresh_token: refreshToken,
    token_uri: tokenUri ?? undefined,
    expires_at: toIsoOrNull(endsAt) ?? undefined,
  };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

/** @param tokenUrl the token endpoint to use */
export function toGrantCredentials(
  { clientId, clientSecret, refreshToken, endsAt }: OAuthGrant,
  tokenUrl: string,
): Credentials {
  const end = endsAt === null ? {} : { endsAt };
  return { kind: 'refresh_token', clientId, clientSecret, refreshToken, tokenUrl, ...end };
}
