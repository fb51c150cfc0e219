import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compose } from '../../src/adapters/smtp/mime/compose.ts';
import type { Job } from '../../src/core/delivery/outcome.ts';
import type { BodyText } from '../../src/core/message/body-text.ts';
import { bytesOf } from '../helpers/bytes-of.ts';
import { aBody, aGeneratedJob } from '../helpers/generated-jobs.ts';

const MESSAGES = Number(process.env.COMPOSED_MESSAGES ?? 300);

/** A text that spans several slices of the encoders, with bytes that escape or break lines between. */
const longBody = fc
  .tuple(
    fc.array(fc.constantFrom('a', '\r', '\n', '\r\n', '.', '=', ' ', 'ä', '請', '😀', 'word '), {
      minLength: 1,
      maxLength: 6,
    }),
    fc.constantFrom(1, 50_000, 116_735, 116_736, 240_000),
    aBody,
  )
  .map(([units, length, end]) => {
    const unit = units.join('');
    return unit.repeat(Math.ceil(length / unit.length)) + end;
  });

const aLargeJob: fc.Arbitrary<Job> = fc
  .tuple(aGeneratedJob, fc.option(longBody), fc.option(longBody))
  .map(([job, text, html]) => ({
    ...job,
    content: { ...job.content, html, text: text ?? (html === null ? 'Hello.' : null) },
  }));

test.each([
  ['generated messages', aGeneratedJob, 5 * MESSAGES],
  ['messages with long texts', aLargeJob, MESSAGES],
])('the size of %s is known before they are composed', { timeout: 600_000 }, async (_, jobs, numRuns) => {
  await fc.assert(
    fc.asyncProperty(jobs, async (job) => {
      const message = await compose(job);
      const size = await message.size();
      expect(bytesOf(message.slices()).length).toBe(size);
    }),
    { numRuns },
  );
});

test('a message with its texts as bytes is composed like one with strings', {
  timeout: 600_000,
}, async () => {
  const toBytes = (text: BodyText | null) => text && Buffer.from(text);
  await fc.assert(
    fc.asyncProperty(fc.oneof(aGeneratedJob, aLargeJob), async (job) => {
      const { html, text, calendar } = job.content;
      const inBytes = {
        html: toBytes(html),
        text: toBytes(text),
        calendar: calendar && { ...calendar, content: Buffer.from(calendar.content) },
      };
      const [written, read] = await Promise.all([
        compose(job),
        compose({ ...job, content: { ...job.content, ...inBytes } }),
      ]);
      expect(bytesOf(read.slices()).equals(bytesOf(written.slices()))).toBe(true);
    }),
    { numRuns: MESSAGES },
  );
});
