import { describe, expect, test } from 'vitest';
import { sendMany, startWithGmail } from '../helpers/smtp/gmail.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

describe('SMTP_RATE', { timeout: 60_000 }, () => {
  test('limits all connections together to 20 messages in any second, and reaches 19 on average', async () => {
    await using app = await startWithGmail({ env: { SMTP_RATE: '20', SMTP_CONNECTIONS: '5' } });
    await sendMany(app.service, 240, HELLO);
    await app.gmail.waitFor(({ counters }) => counters.accepted >= 210);
    const times = app.gmail.transactions.map(({ at }) => at).slice(0, 210);
    const busiest = Math.max(
      ...times.map((from) => times.filter((at) => at >= from && at < from + 1000).length),
    );
    expect(busiest).toBeLessThanOrEqual(20);
    const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000;
    expect(seconds).toBeGreaterThan(10);
    expect((times.length - 1) / seconds).toBeGreaterThanOrEqual(19);
  });
});
