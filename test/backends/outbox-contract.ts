import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { Notice } from '../../src/core/ports/outbox.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const ROOMY = { maxMessages: 1000, maxBytes: 1e6 };
const MORE_THAN_FITS = 200;

/**
 * Tests of the Outbox contract. `maxMessages` and `maxBytes` are the limits of the backend, which
 * derives those of the outbox from them.
 */
export function outboxContract(
  name: string,
  open: (limits: typeof ROOMY) => Promise<Pick<Backend, 'outbox' | 'close'>>,
): void {
  const withOutbox =
    (limits: Partial<typeof ROOMY>, run: (outbox: Backend['outbox']) => Promise<void>) => async () => {
      const { outbox, close } = await open({ ...ROOMY, ...limits });
      try {
        await run(outbox);
      } finally {
        await close();
      }
    };

  async function idsIn(outbox: Backend['outbox']): Promise<string[]> {
    const ids: string[] = [];
    for await (const { id } of outbox.pending()) ids.push(id);
    return ids.toSorted();
  }

  /** Puts notices for an endpoint until one is refused. Returns the accepted ones. */
  async function fill(outbox: Backend['outbox'], patch: Partial<Notice>): Promise<Notice[]> {
    const accepted: Notice[] = [];
    for (let i = 0; i < MORE_THAN_FITS; i++) {
      const notice = aNotice(patch);
      if (!(await outbox.put(notice))) return accepted;
      accepted.push(notice);
    }
    throw new Error('the outbox is not bounded');
  }

  describe(`the outbox of ${name}`, () => {
    test(
      'returns a notice as it was put or replaced, until it is removed',
      withOutbox({}, async (outbox) => {
        const notice = aNotice();
        expect(await outbox.put(notice)).toBe(true);
        expect(await outbox.get(notice.id)).toEqual(notice);
        const again = { ...notice, failures: 1, retriedForMs: 5000 };
        expect(await outbox.put(again)).toBe(true);
        expect(await outbox.get(notice.id)).toEqual(again);
        await outbox.remove(notice.id);
        await outbox.remove(notice.id);
        expect(await outbox.get(notice.id)).toBeNull();
      }),
    );

    test(
      'iterates over all pending notices',
      withOutbox({}, async (outbox) => {
        const [first, second, third] = [aNotice(), aNotice({ url: 'https://b.test/' }), aNotice()];
        for (const notice of [first, second, third]) await outbox.put(notice);
        await outbox.remove(second.id);
        expect(await idsIn(outbox)).toEqual([first.id, third.id].toSorted());
      }),
    );

    test.each([
      ['number', { maxMessages: 4 }, {}],
      ['bytes', { maxBytes: 20_000 }, { body: 'x'.repeat(1000) }],
    ])(
      'refuses another notice beyond its maximum %s, still replaces one, and accepts another after a removal',
      async (_what, limits, patch) =>
        withOutbox(limits, async (outbox) => {
          const accepted = await fill(outbox, patch);
          const [first] = accepted;
          if (!first) throw new Error('the outbox accepted no notice');
          expect(await idsIn(outbox)).toEqual(accepted.map(({ id }) => id).toSorted());
          expect(await outbox.put({ ...first, failures: 1 })).toBe(true);
          expect(await outbox.put(aNotice(patch))).toBe(false);
          await outbox.remove(first.id);
          expect(await outbox.put(aNotice(patch))).toBe(true);
          expect(await outbox.put(aNotice(patch))).toBe(false);
        })(),
    );

    test.each([
      ['number', { maxMessages: 8 }, {}],
      ['bytes', { maxBytes: 40_000 }, { body: 'x'.repeat(1000) }],
    ])(
      'leaves capacity for other endpoints when two use all they can of its %s',
      async (_what, limits, patch) =>
        withOutbox(limits, async (outbox) => {
          for (const url of ['https://down.test/', 'https://down-too.test/']) {
            expect((await fill(outbox, { ...patch, url })).length).toBeGreaterThan(0);
          }
          expect(await outbox.put(aNotice({ ...patch, url: 'https://up.test/' }))).toBe(true);
        })(),
    );
  });
}
