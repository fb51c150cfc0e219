/**
 * A certificate authority that exists as long as the simulator, and its certificates (RFC 5280).
 * Built here because strict verifiers, such as Python's, require key identifiers in certificates.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import {
  bitString,
  booleanTrue,
  context,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  utcTime,
  utf8String,
} from './der.ts';

export interface Certificate {
  /** PEM of the CA, for clients to trust. */
  readonly ca: string;
  /** PEM of the server's certificate, followed by that of the CA. */
  readonly cert: string;
  /** PEM of the server's private key. */
  readonly key: string;
}

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const CERTIFICATE_KINDS = ['trusted', 'intercepted', 'expired', 'wrong-name'] as const;
export type CertificateKind = (typeof CERTIFICATE_KINDS)[number];

interface Authority extends KeyPair {
  readonly name: string;
  /** PEM. */
  readonly ca: string;
}

/** Epoch ms. */
interface Validity {
  readonly from: number;
  readonly until: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const ECDSA_WITH_SHA256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));

/**
 * Creates a certificate with its own CA.
 *
 * @param names host names and IP addresses of the certificate
 */
export function createCertificate(names: readonly string[]): Certificate {
  return certify(createAuthority('Outtray simulator CA'), names, fromYesterday());
}

/**
 * Creates one certificate of each kind. Clients that trust the `ca` of `trusted` reject all other
 * kinds.
 */
export function createCertificates(names: readonly string[]): Record<CertificateKind, Certificate> {
  const authority = createAuthority('Outtray simulator CA');
  const now = Date.now();
  return {
    trusted: certify(authority, names, fromYesterday()),
    intercepted: certify(createAuthority('Corporate Proxy CA'), names, fromYesterday()),
    expired: certify(authority, names, { from: now - 90 * DAY_MS, until: now - DAY_MS }),
    'wrong-name': certify(authority, ['mail.wrong-name.test'], fromYesterday()),
  };
}

/** A year from yesterday, since clocks differ. */
function fromYesterday(): Validity {
  return { from: Date.now() - DAY_MS, until: Date.now() + 365 * DAY_MS };
}

function createAuthority(name: string): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ca = issue(name, keys, { ...keys, name }, fromYesterday(), [
    extension('2.5.29.19', sequence(booleanTrue()), 'critical'), // basicConstraints: a CA
    extension('2.5.29.15', bitString(Buffer.from([0x06]), 1), 'critical'), // keyUsage: keyCertSign, cRLSign
  ]);
  return { ...keys, name, ca };
}

function certify(authority: Authority, names: readonly string[], validity: Validity): Certificate {
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = issue('smtp.gmail.com', server, authority, validity, [
    extension('2.5.29.19', sequence(), 'critical'), // basicConstraints: not a CA
    extension('2.5.29.15', bitString(Buffer.from([0x80]), 7), 'critical'), // keyUsage: digitalSignature
    extension('2.5.29.37', sequence(objectIdentifier('1.3.6.1.5.5.7.3.1'))), // extKeyUsage: serverAuth
    extension('2.5.29.17', sequence(...names.map(generalName))), // subjectAltName
  ]);
  return {
    ca: authority.ca,
    cert: cert + authority.ca,
    key: String(server.privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}

/** Issues a certificate, as PEM. */
function issue(
  subject: string,
  keys: KeyPair,
  issuer: Pick<Authority, 'name' | keyof KeyPair>,
  validity: Validity,
  extensions: readonly Buffer[],
): string {
  const subjectKey = keys.publicKey.export({ type: 'spki', format: 'der' });
  const body = sequence(
    context(0, integer(Buffer.from([2])), 'constructed'), // version 3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])), // serial number
    ECDSA_WITH_SHA256,
    commonName(issuer.name),
    sequence(utcTime(validity.from), utcTime(validity.until)),
    commonName(subject),
    subjectKey,
    context(
      3,
      sequence(
        ...extensions,
        extension('2.5.29.14', octetString(keyIdentifier(keys.publicKey))), // subjectKeyIdentifier
        extension('2.5.29.35', sequence(context(0, keyIdentifier(issuer.publicKey), 'primitive'))), // authorityKeyIdentifier
      ),
      'constructed',
    ),
  );
  const signature = sign('sha256', body, issuer.privateKey);
  const lines =
    sequence(body, ECDSA_WITH_SHA256, bitString(signature))
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function extension(id: string, value: Buffer, critical?: 'critical'): Buffer {
  return sequence(objectIdentifier(id), ...(critical ? [booleanTrue()] : []), octetString(value));
}

function commonName(name: string): Buffer {
  return sequence(set(sequence(objectIdentifier('2.5.4.3'), utf8String(name))));
}

/**
 * RFC 5280, section 4.2.1.2, method 1: SHA-1 of the key's bits, which for P-256 are the last 65
 * bytes of the SPKI.
 */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }).subarray(-65))
    .digest();
}

function generalName(name: string): Buffer {
  return isIP(name) ? context(7, ipBytes(name), 'primitive') : context(2, Buffer.from(name), 'primitive');
}

function ipBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [left = [], right = []] = canonical.split('::').map((part) => part.split(':').filter(Boolean));
  const zeros = Array<string>(8 - left.length - right.length).fill('0');
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex');
}
