import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { Notice } from '../../src/core/ports/outbox.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const ROOMY = { maxMessages: 1000, maxBytes: 1e6 };
const MORE_THAN_FITS = 200;

/** What every outbox promises. `maxMessages` and `maxBytes` are those of the backend: how many notices that makes is its own business. */
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

  /** Notices for the endpoint until one is refused; answers those that were taken. */
  async function fill(outbox: Backend['outbox'], patch: Partial<Notice>): Promise<Notice[]> {
    const taken: Notice[] = [];
    for (let i = 0; i < MORE_THAN_FITS; i++) {
      const notice = aNotice(patch);
      if (!(await outbox.put(notice))) return taken;
      taken.push(notice);
    }
    throw new Error('there is no bound');
  }

  describe(`the outbox of ${name}`, () => {
    test(
      'gives back what was put, and what it was replaced by, until it is removed',
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
      'names all that are pending',
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
      'refuses another past its %s and keeps nothing of it, still replaces, and has room again when one is removed',
      async (_what, limits, patch) =>
        withOutbox(limits, async (outbox) => {
          const taken = await fill(outbox, patch);
          const [first] = taken;
          if (!first) throw new Error('there is no room at all');
          expect(await idsIn(outbox)).toEqual(taken.map(({ id }) => id).toSorted());
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
    ])('keeps room for others whatever one endpoint takes of its %s', async (_what, limits, patch) =>
      withOutbox(limits, async (outbox) => {
        for (const url of ['https://down.test/', 'https://down-too.test/']) {
          expect((await fill(outbox, { ...patch, url })).length).toBeGreaterThan(0);
        }
        expect(await outbox.put(aNotice({ ...patch, url: 'https://up.test/' }))).toBe(true);
      })(),
    );
  });
}
