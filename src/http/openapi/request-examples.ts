/** An example in the document; `/docs` shows the summary in a list. */
export interface RequestExample {
  readonly summary: string;
  readonly value: unknown;
}

const TEXT = { to: 'ada@example.com', subject: 'Your invoice', text: 'Here is your invoice.' };
/** A time in the past means now, so the example works at any time. */
const TIME = '2027-01-01T09:00:00Z';
/** Every variable that the templates in examples/templates require. */
const VARIABLES = {
  company: 'Acme',
  name: 'Ada',
  url: 'https://acme.com/account',
  customer: { name: 'Ada' },
  number: '2027-001',
  items: [{ quantity: 1, name: 'Tea', price: '4.20' }],
  total: '4.20',
};

/**
 * Bodies by operation. Each is accepted as it is. `/docs` puts the first into the form, so it needs
 * no template and no particular account.
 */
export const REQUEST_EXAMPLES: Readonly<Record<string, Readonly<Record<string, RequestExample>>>> = {
  send: {
    text: { summary: 'Plain text', value: TEXT },
    attachment: {
      summary: 'HTML with an attachment',
      value: {
        to: [{ email: 'ada@example.com', name: 'Ada' }],
        subject: 'Your invoice',
        html: '<p>Here is your invoice.</p>',
        attachments: [{ filename: 'invoice.pdf', content: 'JVBERi0xLjcK' }],
        tags: { flow: 'billing' },
      },
    },
    template: {
      summary: 'A template',
      value: { to: 'ada@example.com', template: { id: 'invoice', variables: VARIABLES } },
    },
    scheduled: { summary: 'A scheduled message', value: { ...TEXT, scheduled_at: TIME } },
  },
  sendBatch: {
    batch: {
      summary: 'Two messages',
      value: { messages: [TEXT, { ...TEXT, to: 'bob@example.com' }] },
    },
    defaults: {
      summary: 'Messages with the same attachment',
      value: {
        defaults: {
          subject: 'The menu of this week',
          text: 'See the attachment.',
          attachments: [{ filename: 'menu.pdf', content: 'JVBERi0xLjcK' }],
        },
        messages: [{ to: 'ada@example.com' }, { to: 'bob@example.com', subject: 'Your menu, Bob' }],
      },
    },
  },
  rescheduleMessage: { later: { summary: 'A new time', value: { scheduled_at: TIME } } },
  previewTemplate: { variables: { summary: 'Variables', value: { variables: VARIABLES } } },
  testWebhook: { only: { summary: 'The only endpoint of the key', value: {} } },
  putSuppression: { note: { summary: 'With a note', value: { note: 'Asked us to stop' } } },
  sendEmail: {
    text: { summary: 'Plain text', value: TEXT },
    tags: {
      summary: 'HTML with tags',
      value: {
        to: ['ada@example.com'],
        subject: 'Welcome',
        html: '<p>Welcome, Ada.</p>',
        tags: [{ name: 'flow', value: 'welcome' }],
      },
    },
  },
  sendEmailBatch: { batch: { summary: 'Two emails', value: [TEXT, { ...TEXT, to: 'bob@example.com' }] } },
  updateEmail: { later: { summary: 'A new time', value: { scheduled_at: TIME } } },
};
