import type { Alert } from '../../core/alerts/alert-queue.ts';

/** Characters of an alert. Discord takes 2,000, escapes included. */
const MAX_TEXT = 1500;
const MAX_DISCORD = 2000;

/**
 * Control and format characters, and words that notify everyone in a channel. Slack, Mattermost and
 * others find these words in plain text.
 */
const INTERPRETED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu;
const MENTION = /@(?=(?:everyone|here|channel|all)\b)/gi;
const ZERO_WIDTH_SPACE = '\u200b';

/** Hosts of workflows of Teams, which replaced its connectors. */
const TEAMS = /\.(?:logic\.azure|api\.powerplatform)\.(?:com|us|cn)$/;

/**
 * Returns the body of a call that delivers an alert: `text` for Slack and what is compatible with
 * it, `content` for Discord, and a card for Teams. No value can mention people, link or format.
 *
 * - https://docs.slack.dev/messaging/formatting-message-text
 * - https://docs.discord.com/developers/resources/webhook#execute-webhook
 * - https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook
 *
 * @param url The endpoint. Discord and Teams both have a field `attachments`, with different
 *   contents, so only Teams gets it.
 */
export function toAlertBody({ title, lines }: Alert, url: string): string {
  const plain = [title, ...lines].map(toPlain);
  const text = plain.join('\n').slice(0, MAX_TEXT).toWellFormed();
  return JSON.stringify({
    text: escapeForSlack(text),
    content: escapeForDiscord(text).slice(0, MAX_DISCORD),
    allowed_mentions: { parse: [] },
    ...(TEAMS.test(new URL(url).hostname) ? toTeamsCard(plain) : {}),
  });
}

function toPlain(text: string): string {
  return text.replace(INTERPRETED, ' ').replace(MENTION, `@${ZERO_WIDTH_SPACE}`);
}

function escapeForSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** An underscore inside a word, as in a code or an URL, does not format. */
function escapeForDiscord(text: string): string {
  return text.replace(/[\\*~`|<>[\]]|(?<!\w)_|_(?!\w)/g, '\\$&');
}

/** Text runs know no Markdown. */
function toTeamsCard(lines: readonly string[]) {
  const body = lines.map((text) => ({ type: 'RichTextBlock', inlines: [{ type: 'TextRun', text }] }));
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.2',
    body,
  };
  const attachment = { contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content };
  return { type: 'message', attachments: [attachment] };
}
