import { createHash, sign } from 'node:crypto';
import { keyPair } from './service-account.ts';

const LIFETIME_S = 3600;

/** Creates the OpenID Connect token that names the user to a client. */
export function createIdToken(clientId: string, user: string): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: 'https://accounts.google.com',
    azp: clientId,
    aud: clientId,
    sub: BigInt(`0x${createHash('sha256').update(user).digest('hex').slice(0, 16)}`).toString(),
    email: user,
    email_verified: true,
    iat: now,
    exp: now + LIFETIME_S,
  };
  const content = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${content}.${sign('RSA-SHA256', Buffer.from(content), keyPair().privateKey).toString('base64url')}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
