import { describe, expect, test } from 'vitest';
import { toBatchFingerprint, toFingerprint } from '../../src/http/submission/idempotency-key.ts';
import { aDraft } from '../helpers/delivery.ts';

const LONG = 'Hi\n"\\ 🎉'.repeat(50_000);

function withText(text: string | Uint8Array) {
  const draft = aDraft({ tags: { b: '1', 10: '2', 9: '3' } });
  const file = { filename: 'a.bin', content: Buffer.from([0, 255]), contentType: null, contentId: null };
  return { ...draft, content: { ...draft.content, text, attachments: [file] } };
}

describe('the fingerprint of a request', () => {
  test('is that of version 0.2, so that a key repeated after an update is recognized', async () => {
    expect(await toFingerprint(withText('Hi\n"\\ 🎉'))).toBe('Lq/ciZRRXOT/qg2eX/pUcI+epGH2XgB4YpwcODjxKw0=');
    expect(await toFingerprint(withText(LONG))).toBe('uB74SSX9wrhEhtnf/Ph+i8NL9RSDkXCYbCOhSvooyXs=');
    const parts = ['strict', toFingerprint(withText('x')), { b: 1, a: [null, undefined, true] }];
    expect(await toBatchFingerprint(parts)).toBe('AdmsvmceTUqgtVniEm3IEc04O9gIEFCykxcXpuU1BnM=');
  });

  test('is the same for a text as a string and as bytes, and differs with the text', async () => {
    expect(await toFingerprint(withText(Buffer.from(LONG)))).toBe(await toFingerprint(withText(LONG)));
    expect(await toFingerprint(withText(`${LONG}.`))).not.toBe(await toFingerprint(withText(LONG)));
  });
});
