import { describe, expect, test } from 'vitest';
import { readTraceContext } from '../../src/http/request/trace-context.ts';

const TRACE_ID = '12345678901234567890123456789012';
const VALID = `00-${TRACE_ID}-1234567890123456-01`;

const read = (traceparent: string) => readTraceContext({ traceparent })?.traceparent ?? null;
const readState = (tracestate: string) => readTraceContext({ traceparent: VALID, tracestate })?.tracestate;
const members = (count: number) => Array.from({ length: count }, (_, i) => `m${i}=${i}`).join(',');

// The cases of https://github.com/w3c/trace-context/blob/main/test/test.py, and more.
describe('traceparent', () => {
  test.each([
    ['in version 00', VALID, VALID],
    ['that is not sampled', VALID.replace(/1$/, '0'), `00-${TRACE_ID}-1234567890123456-00`],
    ['with a random trace id', VALID.replace(/1$/, '3'), `00-${TRACE_ID}-1234567890123456-03`],
    ['with flags that are not defined', VALID.replace(/01$/, 'fd'), VALID],
    ['in a later version', VALID.replace('00', 'cc'), VALID],
    ['in a later version, with more fields', `${VALID.replace('00', 'cc')}-what-the-future-will-be`, VALID],
  ])('%s is kept in version 00', (_, header, kept) => {
    expect(read(header)).toBe(kept);
  });

  test.each([
    ['nothing', ''],
    ['more after the flags, in version 00', `${VALID}-more`],
    ['a character after the flags', `${VALID}.`],
    ['a character after the flags, in a later version', `${VALID.replace('00', 'cc')}.more`],
    ['version ff', VALID.replace('00', 'ff')],
    ['a version that is not hex', VALID.replace('00', '.0')],
    ['a version of three digits', `0${VALID}`],
    ['a version of one digit', VALID.slice(1)],
    ['a trace id of zeros', VALID.replace(TRACE_ID, '0'.repeat(32))],
    ['a trace id that is not hex', VALID.replace(TRACE_ID, `.${TRACE_ID.slice(1)}`)],
    ['a trace id in upper case', VALID.replace(TRACE_ID, 'ABCDEF78901234567890123456789012')],
    ['a long trace id', VALID.replace(TRACE_ID, `${TRACE_ID}3`)],
    ['a short trace id', VALID.replace(TRACE_ID, TRACE_ID.slice(1))],
    ['a span id of zeros', VALID.replace('1234567890123456-', `${'0'.repeat(16)}-`)],
    ['a span id that is not hex', VALID.replace('-1234567890123456', '-.234567890123456')],
    ['a long span id', VALID.replace('-1234567890123456', '-12345678901234567')],
    ['a short span id', VALID.replace('-1234567890123456', '-123456789012345')],
    ['flags that are not hex', VALID.replace(/1$/, '.')],
    ['long flags', `${VALID}0`],
    ['short flags', VALID.slice(0, -1)],
    ['two values', `${VALID}, ${VALID}`],
  ])('with %s is ignored, and tracestate with it', (_, header) => {
    expect(readTraceContext({ traceparent: header, tracestate: 'a=1' })).toBeNull();
  });

  test('that is missing is not replaced by tracestate', () => {
    expect(readTraceContext({ tracestate: 'a=1' })).toBeNull();
  });
});

describe('tracestate', () => {
  test.each([
    ['one member', 'foo=1', 'foo=1'],
    ['blanks around members', '\t foo=1 \t , \t bar=2,baz=3 ', 'foo=1,bar=2,baz=3'],
    ['empty members', 'foo=1,,\t,bar=2', 'foo=1,bar=2'],
    ['nothing', '', null],
    ['all characters of a key', 'az09_-*/@=1', 'az09_-*/@=1'],
    ['a key that begins with a digit', '4a@b@c=1', '4a@b@c=1'],
    [
      'all characters of a value',
      'foo=a !"#$%&\'()*+-./:;<>?@[]^_`{|}~',
      'foo=a !"#$%&\'()*+-./:;<>?@[]^_`{|}~',
    ],
    ['a key of 256 characters', `${'z'.repeat(256)}=1`, `${'z'.repeat(256)}=1`],
    ['a value of 256 characters', `a=${'z'.repeat(256)}`, `a=${'z'.repeat(256)}`],
    ['a repeated key', 'foo=1,foo=2', 'foo=1,foo=2'],
    ['32 members', members(32), members(32)],
  ])('with %s is kept', (_, header, kept) => {
    expect(readState(header)).toBe(kept);
  });

  test.each([
    ['a blank in a key', 'foo =1'],
    ['a key in upper case', 'FOO=1,bar=2'],
    ['a dot in a key', 'foo.bar=1'],
    ['a key that begins with @', '@foo=1,bar=2'],
    ['a key of 257 characters', `foo=1,${'z'.repeat(257)}=1`],
    ['two equals signs', 'foo=bar=baz'],
    ['an empty value', 'foo=,bar=3'],
    ['no value', 'foo'],
    ['a value of 257 characters', `a=${'z'.repeat(257)}`],
    ['a tab in a value', 'a=b\tc'],
    ['a character beyond ASCII', 'a=é'],
    ['33 members', members(33)],
  ])('with %s is ignored, and traceparent is kept', (_, header) => {
    expect(readTraceContext({ traceparent: VALID, tracestate: header })).toEqual({
      traceparent: VALID,
      tracestate: null,
      startedAt: expect.any(Number),
    });
  });

  test('of more than 512 characters loses its long members first, then its last ones', () => {
    const member = (name: string, length: number) => `${name}=${'x'.repeat(length - name.length - 1)}`;
    const [long, ...short] = [member('long', 129), ...['a', 'b', 'c', 'd'].map((key) => member(key, 128))];
    expect(readState([long, ...short.slice(0, 3)].join(','))).toBe(short.slice(0, 3).join(','));
    expect(readState(short.join(','))).toBe(short.slice(0, 3).join(','));
    expect(readState([...short.slice(0, 3), member('e', 125)].join(','))).toHaveLength(512);
    expect(readState([member('p', 257), member('q', 257)].join(','))).toBeNull();
  });
});
