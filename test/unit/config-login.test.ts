import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { accountOf, configOf, credentialsOf, errorOf, fileOf, problemOf } from '../helpers/config.ts';

const OAUTH = {
  GMAIL_APP_PASSWORD: '',
  GMAIL_OAUTH_CLIENT_ID: '42-abc.apps.googleusercontent.com',
  GMAIL_OAUTH_CLIENT_SECRET: 'GOCSPX-client-secret',
  GMAIL_OAUTH_REFRESH_TOKEN: '1//refresh-token',
};
const GOOGLE = 'https://oauth2.googleapis.com/token';
const UNENCRYPTED = 'smtp://127.0.0.1:1025?tls=never';

const PEM = pemOf(generateKeyPairSync('rsa', { modulusLength: 2048 }));
const KEY = {
  type: 'service_account',
  project_id: 'acme',
  client_email: 'mailer@acme.iam.gserviceaccount.com',
  private_key: PEM,
};

function pemOf({
  privateKey,
}: {
  privateKey: { export(options: { type: 'pkcs8'; format: 'pem' }): string | Buffer };
}): string {
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

/** Returns the environment of an account with a service account key. */
function withKey(fields: object) {
  return { GMAIL_APP_PASSWORD: '', GMAIL_SERVICE_ACCOUNT: JSON.stringify({ ...KEY, ...fields }) };
}

describe('the login of an account', () => {
  test('is required unless no server requires one', () => {
    expect(accountOf({ GMAIL_APP_PASSWORD: '', SMTP_URL: UNENCRYPTED }).credentials).toBeNull();
    for (const SMTP_URL of [undefined, `${UNENCRYPTED},smtp://smtp.gmail.com`]) {
      const problem = problemOf('GMAIL_APP_PASSWORD', '', { SMTP_URL });
      expect(problem).toMatch(
        /^It is required\. Create an app password at https:\/\/myaccount\.google\.com\/apppasswords .*GMAIL_APP_PASSWORD="abcd/,
      );
      expect(problem).toMatch(
        /GMAIL_OAUTH_CLIENT_ID, GMAIL_OAUTH_CLIENT_SECRET, GMAIL_OAUTH_REFRESH_TOKEN for OAuth2, or GMAIL_SERVICE_ACCOUNT/,
      );
    }
  });

  test('is not asked for because of another error', () => {
    expect(errorOf({ GMAIL_APP_PASSWORD: '', SMTP_URL: UNENCRYPTED, PORT: 'http' }).problems).toHaveLength(1);
  });

  test('can be an OAuth2 refresh token', () => {
    expect(credentialsOf(OAUTH)).toEqual({
      kind: 'refresh_token',
      clientId: OAUTH.GMAIL_OAUTH_CLIENT_ID,
      clientSecret: OAUTH.GMAIL_OAUTH_CLIENT_SECRET,
      refreshToken: OAUTH.GMAIL_OAUTH_REFRESH_TOKEN,
      tokenUrl: GOOGLE,
    });
  });

  test('can be a service account key', () => {
    expect(credentialsOf(withKey({}))).toEqual({
      kind: 'service_account',
      clientEmail: KEY.client_email,
      privateKey: PEM,
      tokenUrl: GOOGLE,
    });
  });

  test.each([
    ['GMAIL_OAUTH_CLIENT_ID', 'GMAIL_OAUTH_CLIENT_SECRET and GMAIL_OAUTH_REFRESH_TOKEN'],
    ['GMAIL_OAUTH_CLIENT_SECRET', 'GMAIL_OAUTH_CLIENT_ID and GMAIL_OAUTH_REFRESH_TOKEN'],
    ['GMAIL_OAUTH_REFRESH_TOKEN', 'GMAIL_OAUTH_CLIENT_ID and GMAIL_OAUTH_CLIENT_SECRET'],
  ])('with OAuth2 is incomplete without %s', (missing, others) => {
    expect(problemOf(missing, '', OAUTH)).toContain(`required with ${others}:`);
  });

  test('with OAuth2 reports both missing variables', () => {
    const { problems } = errorOf({ ...OAUTH, GMAIL_OAUTH_CLIENT_ID: '', GMAIL_OAUTH_CLIENT_SECRET: '' });
    expect(problems.map(({ variable }) => variable)).toEqual([
      'GMAIL_OAUTH_CLIENT_ID',
      'GMAIL_OAUTH_CLIENT_SECRET',
    ]);
  });

  test.each([
    [
      'an app password and OAuth2',
      { ...OAUTH, GMAIL_APP_PASSWORD: 'abcdefghijklmnop' },
      'GMAIL_APP_PASSWORD',
      Object.keys(OAUTH).slice(1),
    ],
    [
      'an app password and a part of OAuth2',
      { GMAIL_OAUTH_CLIENT_ID: 'x' },
      'GMAIL_APP_PASSWORD',
      ['GMAIL_OAUTH_CLIENT_ID'],
    ],
    [
      'an app password and a service account',
      { GMAIL_SERVICE_ACCOUNT: JSON.stringify(KEY) },
      'GMAIL_APP_PASSWORD',
      ['GMAIL_SERVICE_ACCOUNT'],
    ],
    [
      'OAuth2 and a service account',
      { ...OAUTH, ...withKey({}) },
      'GMAIL_OAUTH_CLIENT_ID',
      ['GMAIL_OAUTH_CLIENT_SECRET', 'GMAIL_OAUTH_REFRESH_TOKEN', 'GMAIL_SERVICE_ACCOUNT'],
    ],
  ])('cannot be combined: refuses %s by name', (_, env, variable, others) => {
    expect(errorOf(env).problems).toEqual([
      { variable, message: expect.stringContaining(`combined with ${others.join(', ')}: `) },
    ]);
  });

  test('in a file conflicts under the name it is set by', () => {
    using file = fileOf(JSON.stringify(KEY));
    expect(
      problemOf('GMAIL_APP_PASSWORD', 'abcdefghijklmnop', { GMAIL_SERVICE_ACCOUNT_FILE: file.path }),
    ).toContain('combined with GMAIL_SERVICE_ACCOUNT_FILE:');
  });

  test.each(['GMAIL_OAUTH_CLIENT_ID', 'GMAIL_OAUTH_CLIENT_SECRET', 'GMAIL_OAUTH_REFRESH_TOKEN'])(
    '%s refuses white space and non-ASCII characters',
    (name) => {
      expect(problemOf(name, 'two words', OAUTH)).toContain('white space');
      expect(problemOf(name, 'wörd', OAUTH)).toContain('non-ASCII');
    },
  );
});

describe('GMAIL_OAUTH', () => {
  const GRANT = {
    type: 'authorized_user',
    account: 'bot@acme.com',
    client_id: OAUTH.GMAIL_OAUTH_CLIENT_ID,
    client_secret: OAUTH.GMAIL_OAUTH_CLIENT_SECRET,
    refresh_token: OAUTH.GMAIL_OAUTH_REFRESH_TOKEN,
  };
  const withGrant = (fields: object) => ({
    GMAIL_APP_PASSWORD: '',
    GMAIL_OAUTH: JSON.stringify({ ...GRANT, ...fields }),
  });

  test('holds a client and its refresh token, for the account that consented', () => {
    const expected = credentialsOf(OAUTH);
    expect(credentialsOf(withGrant({}))).toEqual(expected);
    expect(credentialsOf(withGrant({ account: 'Bot@Acme.com', universe_domain: 'x' }))).toEqual(expected);
    expect(credentialsOf(withGrant({ account: '' }))).toEqual(expected);
    expect(
      credentialsOf({ ...withGrant({ account: 'a@xn--bcher-kva.example' }), GMAIL_USER: 'a@bücher.example' }),
    ).toEqual(expected);
    const [account] = configOf({
      GMAIL_USER: '',
      GMAIL_APP_PASSWORD: '',
      GMAIL_ACCOUNTS: JSON.stringify([{ user: 'bot@acme.com', oauth: GRANT }]),
    }).accounts;
    expect(account?.credentials?.()).toEqual(expected);
  });

  test('can have an end', () => {
    const credentials = credentialsOf(withGrant({ expires_at: '2026-12-07T04:00:00.000Z' }));
    expect(credentials).toMatchObject({ endsAt: Date.UTC(2026, 11, 7, 4) });
  });

  test('names its token endpoint, which GMAIL_OAUTH_TOKEN_URL overrides', () => {
    const env = withGrant({ token_uri: 'http://127.0.0.1:8089/token' });
    expect(credentialsOf(env)).toMatchObject({ tokenUrl: 'http://127.0.0.1:8089/token' });
    expect(credentialsOf({ ...env, GMAIL_OAUTH_TOKEN_URL: GOOGLE })).toMatchObject({ tokenUrl: GOOGLE });
  });

  test.each([
    ['text that is not JSON', 'hunter2', 'run outtray login, which writes a file'],
    ['another JSON value', '[]', 'not a login that outtray login wrote'],
    ['the file of an OAuth2 client', JSON.stringify({ installed: GRANT }), 'type is authorized_user'],
    ['the key of a service account', JSON.stringify(KEY), 'type is authorized_user'],
    ['no refresh token', withGrant({ refresh_token: undefined }).GMAIL_OAUTH, 'no usable refresh_token'],
    ['a secret of two words', withGrant({ client_secret: 'hunter 2' }).GMAIL_OAUTH, 'usable client_secret'],
    ['an end that is no time', withGrant({ expires_at: 'soon' }).GMAIL_OAUTH, 'usable expires_at'],
    ['an unencrypted token_uri', withGrant({ token_uri: 'http://a.test/' }).GMAIL_OAUTH, 'usable token_uri'],
    ['the login of another account', withGrant({ account: 'ada@acme.com' }).GMAIL_OAUTH, 'another account'],
  ])('refuses %s', (_, value, reason) => {
    const problem = problemOf('GMAIL_OAUTH', value, { GMAIL_APP_PASSWORD: '' });
    expect(problem).toContain(reason);
    expect(problem).not.toMatch(/hunter|GOCSPX|1\/\/|ada@/);
  });

  test('cannot be combined with the variables that it replaces', () => {
    expect(
      problemOf('GMAIL_OAUTH_CLIENT_ID', 'x', { ...OAUTH, GMAIL_OAUTH: withGrant({}).GMAIL_OAUTH }),
    ).toContain('combined with GMAIL_OAUTH_CLIENT_SECRET, GMAIL_OAUTH_REFRESH_TOKEN, GMAIL_OAUTH: ');
  });

  test('whose file is missing names the command that writes it', () => {
    expect(problemOf('GMAIL_OAUTH_FILE', '/nowhere/gmail.json', { GMAIL_APP_PASSWORD: '' })).toMatch(
      /^\/nowhere\/gmail\.json cannot be read: .*To create it, run outtray login\.$/,
    );
  });

  test('in a file is read again, except the login of another account', () => {
    using file = fileOf(JSON.stringify(GRANT));
    const { credentials } = accountOf({ GMAIL_APP_PASSWORD: '', GMAIL_OAUTH_FILE: file.path });
    file.write(JSON.stringify({ ...GRANT, refresh_token: '1//second' }));
    expect(credentials?.()).toMatchObject({ refreshToken: '1//second' });
    file.write(JSON.stringify({ ...GRANT, refresh_token: '1//third', account: 'ada@acme.com' }));
    expect(credentials?.()).toMatchObject({ refreshToken: '1//second' });
  });
});

describe('GMAIL_SERVICE_ACCOUNT', () => {
  test.each([
    ['text that is not JSON', 'hunter2', 'not valid JSON'],
    ['a path', '/run/secrets/key.json', 'append _FILE to the name'],
    ['another JSON value', '[]', 'not the key of a service account'],
    [
      'the file of an OAuth2 client',
      JSON.stringify({ installed: { client_id: 'x' } }),
      'not the key of a service account',
    ],
    [
      'user credentials',
      JSON.stringify({ ...KEY, type: 'authorized_user' }),
      'whose type is service_account',
    ],
    [
      'a key without an address',
      JSON.stringify({ ...KEY, client_email: undefined }),
      'no usable client_email',
    ],
    [
      'a key with an invalid address',
      JSON.stringify({ ...KEY, client_email: 'mailer' }),
      'client_email of the key is not an address',
    ],
    ['a key without its private key', JSON.stringify({ ...KEY, private_key: 42 }), 'no usable private_key'],
    [
      'a truncated private key',
      JSON.stringify({ ...KEY, private_key: PEM.slice(0, 200) }),
      'not an RSA key in PEM',
    ],
    [
      'an elliptic curve key',
      JSON.stringify({ ...KEY, private_key: pemOf(generateKeyPairSync('ed25519')) }),
      'not an RSA key in PEM',
    ],
    [
      'an unencrypted token_uri',
      JSON.stringify({ ...KEY, token_uri: 'http://oauth2.googleapis.com/token' }),
      'token_uri of the key cannot be used',
    ],
  ])('refuses %s', (_, value, reason) => {
    const problem = problemOf('GMAIL_SERVICE_ACCOUNT', value, { GMAIL_APP_PASSWORD: '' });
    expect(problem).toContain(reason);
    expect(problem).not.toMatch(/PRIVATE KEY|hunter2|run.secrets/);
  });
});

describe('GMAIL_OAUTH_TOKEN_URL', () => {
  test('applies to a refresh token', () => {
    expect(credentialsOf({ ...OAUTH, GMAIL_OAUTH_TOKEN_URL: 'http://127.0.0.1:8089/token' })).toMatchObject({
      tokenUrl: 'http://127.0.0.1:8089/token',
    });
  });

  test('overrides the token_uri of a service account, which overrides the default', () => {
    const env = withKey({ token_uri: 'https://oauth2.mtls.googleapis.com/token' });
    expect(credentialsOf(env)).toMatchObject({ tokenUrl: 'https://oauth2.mtls.googleapis.com/token' });
    expect(credentialsOf({ ...env, GMAIL_OAUTH_TOKEN_URL: GOOGLE })).toMatchObject({ tokenUrl: GOOGLE });
  });

  test.each([
    'https://tokens.acme.com/t',
    'http://localhost:1/t',
    'http://127.0.0.2/t',
    'http://[::1]:8089/t',
  ])('accepts %s', (value) => {
    configOf({ GMAIL_OAUTH_TOKEN_URL: value });
  });

  test.each([
    ['oauth2.googleapis.com/token', 'must be a URL'],
    ['ftp://127.0.0.1/token', 'starts with https://'],
    ['http://oauth2.googleapis.com/token', 'loopback'],
    ['http://127.0.0.1.acme.com/token', 'loopback'],
    ['http://localhost.acme.com/token', 'loopback'],
    ['http://10.0.0.1/token', 'loopback'],
    ['https://bot:hunter2@oauth2.googleapis.com/token', 'credentials'],
  ])('refuses %s', (value, reason) => {
    const problem = problemOf('GMAIL_OAUTH_TOKEN_URL', value);
    expect(problem).toContain(reason);
    expect(problem).not.toContain('hunter2');
  });
});

describe('credentials', () => {
  test('in the environment do not change', () => {
    const { credentials } = accountOf(OAUTH);
    expect(credentials?.()).toBe(credentials?.());
  });

  test('in a file are read again each time, so a rotated secret needs no restart', () => {
    using file = fileOf('abcdefghijklmnop');
    const { credentials } = accountOf({ GMAIL_APP_PASSWORD: '', GMAIL_APP_PASSWORD_FILE: file.path });
    file.write('ponm lkji hgfe dcba\n');
    expect(credentials?.()).toEqual({ kind: 'app_password', password: 'ponmlkjihgfedcba' });
    file.write('aaaa bbbb cccc dddd\n');
    expect(credentials?.()).toEqual({ kind: 'app_password', password: 'aaaabbbbccccdddd' });
  });

  test('keep the last valid value while the file is missing, empty or invalid', () => {
    using file = fileOf('abcdefghijklmnop');
    const { credentials } = accountOf({ GMAIL_APP_PASSWORD: '', GMAIL_APP_PASSWORD_FILE: file.path });
    file.write('ponmlkjihgfedcba');
    credentials?.();
    for (const breakIt of [() => file.write(''), () => file.write('hunter2'), () => file.remove()]) {
      breakIt();
      expect(credentials?.()).toEqual({ kind: 'app_password', password: 'ponmlkjihgfedcba' });
    }
    file.write('aaaabbbbccccdddd');
    expect(credentials?.()).toEqual({ kind: 'app_password', password: 'aaaabbbbccccdddd' });
  });

  test('combine the current values of files with those of the environment', () => {
    using file = fileOf('1//first');
    const { GMAIL_OAUTH_REFRESH_TOKEN: _, ...others } = OAUTH;
    const { credentials } = accountOf({ ...others, GMAIL_OAUTH_REFRESH_TOKEN_FILE: file.path });
    file.write('1//second');
    expect(credentials?.()).toMatchObject({
      clientId: OAUTH.GMAIL_OAUTH_CLIENT_ID,
      refreshToken: '1//second',
      tokenUrl: GOOGLE,
    });
  });

  test('of a service account are read again from the file of its key', () => {
    using file = fileOf(JSON.stringify(KEY));
    const { credentials } = accountOf({ GMAIL_APP_PASSWORD: '', GMAIL_SERVICE_ACCOUNT_FILE: file.path });
    file.write(JSON.stringify({ ...KEY, client_email: 'other@acme.iam.gserviceaccount.com' }));
    expect(credentials?.()).toMatchObject({ clientEmail: 'other@acme.iam.gserviceaccount.com' });
    file.write(JSON.stringify({ ...KEY, private_key: 'cut' }));
    expect(credentials?.()).toMatchObject({
      clientEmail: 'other@acme.iam.gserviceaccount.com',
      privateKey: PEM,
    });
  });
});
