import { z } from 'zod';

const id = z.string().meta({
  description:
    'Stable. With several servers, accounts or domains, several checks share it and differ in `target`.',
  examples: ['spf'],
});
const name = z.string().meta({ examples: ['SPF'] });
const target = z.string().meta({
  description: 'What was checked: a server, an account, a domain or a variable.',
  examples: ['acme.com'],
});
const advice = z.string().nullable().meta({ description: 'How to fix the problem.' });

const check = z.object({
  id,
  name,
  status: z.enum(['pass', 'warn', 'fail', 'skip']).meta({
    description:
      'A `warn` does not prevent sending. `skip`: it was not tried, or its result is unknown: see `detail`.',
  }),
  target,
  detail: z.string().meta({ examples: ['acme.com has no SPF record'] }),
  code: z
    .string()
    .nullable()
    .meta({ description: 'The id of the problem; null if there is none.', examples: ['spf_missing'] }),
  advice,
  duration_ms: z.int(),
});

export const doctorReport = z.object({
  made_at: z.iso.datetime(),
  ok: z.boolean().meta({ description: 'Whether mail can be sent with every account: no check failed.' }),
  version: z.string().meta({ description: 'The version of Outtray.', examples: ['0.2.0'] }),
  first: z
    .object({ id, name, target, advice })
    .nullable()
    .meta({ description: 'The failed check to fix first. Null if no check failed.' }),
  checks: z.array(check),
});

export type DoctorResource = z.output<typeof doctorReport>;
