/**
 * A certificate authority that lives as long as the simulator, and a certificate from it (RFC 5280). Written out here because
 * the certificates need the key identifiers that strict verifiers such as Python's ask for.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import { bitString, context, integer, objectIdentifier, octetString, sequence, set, truth, utcTime, utf8String } from './der.ts';

export interface Certificate {
  /** PEM of the authority, for clients to trust. */
  readonly ca: string;
  /** PEM of the server's certificate, followed by the authority's. */
  readonly cert: string;
  /** PEM of the server's private key. */
  readonly key: string;
}

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const ECDSA_WITH_SHA256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));

/** @param names host names and IP addresses the certificate is for */
export function createCertificate(names: readonly string[]): Certificate {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const authorityName = 'Outtray simulator CA';
  const ca = issue(authorityName, authority, authorityName, authority, [
    extension('2.5.29.19', sequence(truth()), 'critical'), // basicConstraints: a CA
    extension('2.5.29.15', bitString(Buffer.from([0x06]), 1), 'critical'), // keyUsage: keyCertSign, cRLSign
  ]);
  const cert = issue('smtp.gmail.com', server, authorityName, authority, [
    extension('2.5.29.19', sequence(), 'critical'), // basicConstraints: not a CA
    extension('2.5.29.15', bitString(Buffer.from([0x80]), 7), 'critical'), // keyUsage: digitalSignature
    extension('2.5.29.37', sequence(objectIdentifier('1.3.6.1.5.5.7.3.1'))), // extKeyUsage: serverAuth
    extension('2.5.29.17', sequence(...names.map(generalName))), // subjectAltName
  ]);
  return { ca, cert: cert + ca, key: String(server.privateKey.export({ type: 'pkcs8', format: 'pem' })) };
}

/** The certificate as PEM, valid from yesterday (clocks differ) for a year. */
function issue(subject: string, keys: KeyPair, issuer: string, issuerKeys: KeyPair, extensions: readonly Buffer[]): string {
  const now = Date.now();
  const subjectKey = keys.publicKey.export({ type: 'spki', format: 'der' });
  const body = sequence(
    context(0, integer(Buffer.from([2])), 'constructed'), // version 3
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])), // serial number
    ECDSA_WITH_SHA256,
    commonName(issuer),
    sequence(utcTime(now - DAY_MS), utcTime(now + 365 * DAY_MS)),
    commonName(subject),
    subjectKey,
    context(
      3,
      sequence(
        ...extensions,
        extension('2.5.29.14', octetString(keyIdentifier(keys.publicKey))), // subjectKeyIdentifier
        extension('2.5.29.35', sequence(context(0, keyIdentifier(issuerKeys.publicKey), 'primitive'))), // authorityKeyIdentifier
      ),
      'constructed',
    ),
  );
  const signature = sign('sha256', body, issuerKeys.privateKey);
  const lines =
    sequence(body, ECDSA_WITH_SHA256, bitString(signature))
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function extension(id: string, value: Buffer, critical?: 'critical'): Buffer {
  return sequence(objectIdentifier(id), ...(critical ? [truth()] : []), octetString(value));
}

function commonName(name: string): Buffer {
  return sequence(set(sequence(objectIdentifier('2.5.4.3'), utf8String(name))));
}

/** RFC 5280, section 4.2.1.2, method 1: SHA-1 of the key's bits, which for P-256 are the last 65 bytes of the SPKI. */
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
