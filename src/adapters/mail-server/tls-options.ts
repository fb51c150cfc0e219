import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';

/**
 * Sets certificate checks and the TLS version explicitly, because Node's defaults follow
 * NODE_TLS_REJECT_UNAUTHORIZED and `--tls-min-v1.0`.
 *
 * @param ca PEM of a CA to trust in addition to Node's
 */
export function toTlsOptions(ca: string | null) {
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca ? { secureContext: contextWith(ca) } : {}),
  } as const;
}

/** The last context made. Parsing all root certificates for each connection takes some 13 ms. */
let context: { readonly ca: string; readonly value: SecureContext } | undefined;

function contextWith(ca: string): SecureContext {
  if (context?.ca !== ca) {
    const value = createSecureContext({ ca: [...rootCertificates, ca], minVersion: 'TLSv1.2' });
    context = { ca, value };
  }
  return context.value;
}
