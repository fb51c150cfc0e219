/** The AUTH extension (RFC 4954) with Gmail's mechanisms. */
import type { SMTPServerAuthentication, SMTPServerAuthenticationResponse } from 'smtp-server';
import type { SimulatorState } from '../state.ts';

/** The mechanisms in the reply to EHLO. */
export const OFFERED_MECHANISMS = 'LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH';

/** The mechanisms that work. */
export const SUPPORTED_MECHANISMS = ['LOGIN', 'PLAIN', 'XOAUTH2'];

/** The login of a session: smtp-server's `session.user`. */
export interface Login {
  readonly username: string;
  readonly method: string;
  /** The access token, if it can expire: the session ends with it. Null otherwise. */
  readonly token: string | null;
}

/** Checks a login and counts it. An error's message is the name of the reply to send. */
export function authenticate(
  { messageLog, authenticator, tokens }: SimulatorState,
  auth: SMTPServerAuthentication,
  callback: (error: Error | null, response?: SMTPServerAuthenticationResponse) => void,
): void {
  const { method, username = '' } = auth;
  const secret = (method === 'XOAUTH2' ? auth.accessToken : auth.password) ?? '';
  const isIssuedToken = method === 'XOAUTH2' && tokens.accepts(username, secret);
  const refusal = authenticator.refusal(username, isIssuedToken ? authenticator.secret : secret);
  messageLog.count(refusal === null ? 'logins' : 'failedLogins');
  if (refusal === null) {
    const user: Login = { username, method, token: isIssuedToken ? secret : null };
    callback(null, { user });
  } else if (method === 'XOAUTH2' && refusal === 'badCredentials') {
    // A bad token is reported in a challenge. The client responds with an empty line, and then
    // receives the 535.
    callback(null, { data: { status: '400', schemes: 'Bearer', scope: 'https://mail.google.com/' } });
  } else {
    callback(new Error(refusal));
  }
}
