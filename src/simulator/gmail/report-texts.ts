/** The text of reports for people, which Gmail writes in the language of the account. */

export const REPORT_LANGUAGES = ['en', 'de', 'ja'] as const;
export type ReportLanguage = (typeof REPORT_LANGUAGES)[number];

interface ReportText {
  readonly title: string;
  /** `{recipient}` is the address. */
  readonly text: string;
  /** Precedes the reply of the server. */
  readonly response: string;
}

type Texts = Readonly<Record<'failed' | 'delayed', ReportText>>;

const EN = 'The response was:';
const DE = 'Antwort:';
const JA = 'リモート サーバーからの応答:';

const TEXTS: Readonly<Record<ReportLanguage, Texts>> = {
  en: {
    failed: {
      title: 'Message not delivered',
      text: 'There was a problem delivering your message to {recipient}. See the technical details below.',
      response: EN,
    },
    delayed: {
      title: 'Delivery incomplete',
      text: "There was a temporary problem delivering your message to {recipient}. Gmail will retry for 47 more hours. You'll be notified if the delivery fails permanently.",
      response: EN,
    },
  },
  de: {
    failed: {
      title: 'Nachricht nicht zugestellt',
      text: 'Beim Zustellen deiner Nachricht an {recipient} ist ein Problem aufgetreten. Weitere Informationen findest du in den technischen Details unten.',
      response: DE,
    },
    delayed: {
      title: 'Zustellung unvollständig',
      text: 'Beim Zustellen deiner Nachricht an {recipient} ist ein vorübergehendes Problem aufgetreten. Gmail versucht es noch 47 Stunden lang.',
      response: DE,
    },
  },
  ja: {
    failed: {
      title: 'メールは配信されませんでした',
      text: '{recipient} へのメールの配信中に問題が発生しました。下記の技術的な詳細をご確認ください。',
      response: JA,
    },
    delayed: {
      title: '配信未完了',
      text: '{recipient} へのメールの配信中に一時的な問題が発生しました。47 時間にわたり再送信を試みます。',
      response: JA,
    },
  },
};

export function reportText(
  language: ReportLanguage,
  action: 'failed' | 'delayed',
  recipient: string,
): ReportText {
  const { title, text, response } = TEXTS[language][action];
  return { title, text: text.replace('{recipient}', () => recipient), response };
}
