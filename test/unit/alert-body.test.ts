import { describe, expect, test } from 'vitest';
import { toAlertBody } from '../../src/adapters/webhook/alert-body.ts';

const SLACK = 'https://hooks.slack.com/services/T/B/secret';
const TEAMS = [
  'https://prod-23.westeurope.logic.azure.com/workflows/x/triggers/manual/paths/invoke?sig=secret',
  'https://default00.0.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/x',
];

const bodyFor = (title: string, lines: string[] = [], url = SLACK) =>
  JSON.parse(toAlertBody({ title, lines }, url));

describe('the body of an alert', () => {
  test('has the text for Slack, the content for Discord without mentions, and no attachments', () => {
    expect(bodyFor('Account a_b@acme.com is paused.', ['Fix it.'])).toEqual({
      text: 'Account a_b@acme.com is paused.\nFix it.',
      content: 'Account a_b@acme.com is paused.\nFix it.',
      allowed_mentions: { parse: [] },
    });
  });

  test.each(TEAMS)('also has a card for Teams at %s', (url) => {
    const { type, attachments, text } = bodyFor('Paused.', ['<at>all</at> [x](http://evil.test) **b**'], url);
    expect(type).toBe('message');
    expect(attachments).toMatchObject([
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        content: {
          type: 'AdaptiveCard',
          body: [
            { type: 'RichTextBlock', inlines: [{ type: 'TextRun', text: 'Paused.' }] },
            {
              type: 'RichTextBlock',
              inlines: [{ type: 'TextRun', text: '<at>all</at> [x](http://evil.test) **b**' }],
            },
          ],
        },
      },
    ]);
    expect(text).toContain('Paused.');
  });

  test('mentions nobody and contains no markup, whatever its values are', () => {
    const hostile =
      '<!channel> <!everyone> <@U123> <@&1> <#C1> @everyone @HERE @channel @all [x](http://evil.test) <http://evil.test|x> **b** `c` ~~d~~ || e || \\';
    const { text, content } = bodyFor(hostile, [hostile]);
    for (const shown of [text, content]) expect(shown).not.toMatch(/@(?:everyone|here|channel|all)\b/i);
    expect(text).not.toMatch(/[<>]|&(?!(?:amp|lt|gt);)/);
    expect(content).not.toMatch(/(?<!\\)(?:\\\\)*[<>[\]*`~|]/);
    expect(text).toContain('&lt;!channel&gt;');
    expect(bodyFor('tls_failed _x_ a_b').content).toBe('tls_failed \\_x\\_ a_b');
  });

  test('has one line for each line of the alert, without control characters', () => {
    const { text } = bodyFor('a\r\nb\u0007\u202e', ['c\u2028d\u001b[2J']);
    expect(text).toBe('a b \nc d [2J');
  });

  test('fits into the 2,000 characters of Discord', () => {
    const { text, content } = bodyFor('*'.repeat(5000), ['x'.repeat(5000)]);
    expect(text).toHaveLength(1500);
    expect(content.length).toBeLessThanOrEqual(2000);
  });
});
