import { distance } from 'fastest-levenshtein';
import { type Environment, isSet, type Problem, type Settings } from './environment.ts';
import { VARIABLES, type VariableName } from './variables.ts';

/**
 * A name in the environment that is not a variable of Outtray, and the variable most likely meant.
 */
export interface Misspelling {
  readonly name: string;
  /** A variable, or the `_FILE` of one. */
  readonly meant: string;
}

const KNOWN: readonly string[] = VARIABLES.flatMap(({ name, secret }) =>
  secret ? [name, `${name}_FILE`] : [name],
);

/** Prefixes that hardly any other program uses. HOST, PORT and LOG_ are too common. */
const PREFIXES = [
  'GMAIL_',
  'FROM_POLIC',
  'SMTP_',
  'QUEUE_',
  'API_KEY',
  'RATE_LIMIT',
  'RETRY_',
  'RETAIN',
  'ON_UNCERTAIN',
  'RECONCIL',
  'MAX_MESSAGE',
  'TRUST_PROX',
  'TEMPLATES_',
  'WEBHOOK_',
  'ALLOWED_RECIP',
  'REDIRECT_ALL',
  'SUPPRESS',
  'SHUTDOWN_',
];

/** Names that are common in other mail software. */
const SYNONYMS: readonly { readonly match: RegExp; readonly meant: VariableName }[] = [
  {
    match: /^(?:(?:GMAIL|GOOGLE|SMTP|E?MAIL)(?:APP)?|APP)(?:PASSWORD|PASSWD|PASS|PWD|PW|SECRET)$/,
    meant: 'GMAIL_APP_PASSWORD',
  },
  { match: /^(?:GMAIL|GOOGLE|SMTP|E?MAIL)(?:USER|USERNAME|EMAIL|ADDRESS|LOGIN)$/, meant: 'GMAIL_USER' },
  { match: /^(?:GMAIL|SMTP|E?MAIL)(?:FROM|SENDER)$/, meant: 'GMAIL_FROM' },
  { match: /^SMTP(?:HOST|SERVER|PORT|URI)$/, meant: 'SMTP_URL' },
  { match: /^IMAP(?:HOST|SERVER|PORT|URI)$/, meant: 'IMAP_URL' },
  { match: /^API(?:TOKENS?|SECRETS?)$/, meant: 'API_KEYS' },
];

/** Names that other programs may use. They count as misspelt only while the variable is not set. */
const FOREIGN = /^(?:E?MAIL(?!APP|OAUTH)|GOOGLE|APPP[AW]|API[ST])/;

/**
 * Finds every name in the environment that looks like a misspelt variable. An empty value does not
 * count.
 */
export function findMisspellings(env: Environment, settings: Settings): Misspelling[] {
  return Object.entries(env).flatMap(([name, value = '']) => {
    if (KNOWN.includes(name) || value.trim() === '' || isServiceLink(name, value)) return [];
    const meant = guess(name, settings);
    return meant === null ? [] : [{ name, meant }];
  });
}

/**
 * Kubernetes and Docker set these per service, such as SMTP_PORT=tcp://10.0.0.1:25 for one named
 * smtp.
 */
function isServiceLink(name: string, value: string): boolean {
  return /_SERVICE_(?:HOST|PORT)|_PORT_\d+_/.test(name) || /^(?:tcp|udp|sctp):\/\//.test(value);
}

function guess(name: string, settings: Settings): string | null {
  const plain = normalize(name).replace(/^OUTTRAY/, '');
  const nearest = closestTo(plain);
  const meant = isNear(plain, normalize(nearest)) ? nearest : synonymOf(plain);
  if (meant !== null) return FOREIGN.test(plain) && isSet(settings[toVariable(meant)]) ? null : meant;
  return PREFIXES.some((prefix) => name.toUpperCase().startsWith(prefix)) ? nearest : null;
}

/** Only secrets can be set by a file, so GMAIL_USER_FILE means GMAIL_USER. */
function synonymOf(plain: string): string | null {
  const base = plain.replace(/FILE$/, '');
  const meant =
    SYNONYMS.find(({ match }) => match.test(base))?.meant ??
    KNOWN.find((name) => normalize(name) === base) ??
    null;
  return base !== plain && KNOWN.includes(`${meant}_FILE`) ? `${meant}_FILE` : meant;
}

function closestTo(plain: string): string {
  return KNOWN.reduce((best, name) =>
    distance(plain, normalize(name)) < distance(plain, normalize(best)) ? name : best,
  );
}

/** Returns a name in upper case without separators: `gmail-user` and GMAILUSER become equal. */
function normalize(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9]/g, '');
}

/**
 * Whether one name is a typo of the other. Short names must be more alike: POST and HOME are not
 * HOST.
 */
function isNear(plain: string, known: string): boolean {
  const errors = distance(plain, known);
  if (errors === 0 || isSwap(plain, known)) return true;
  if (known.length < 6)
    return errors === 1 && (plain.length < known.length || plain.replace(/(.)\1/g, '$1') === known);
  return errors <= (known.length < 9 ? 1 : 2);
}

/** Whether two neighbouring letters are swapped. */
function isSwap(a: string, b: string): boolean {
  const swapped = (i: number) => `${a.slice(0, i)}${a[i + 1] ?? ''}${a[i]}${a.slice(i + 2)}`;
  return a.length === b.length && [...a].some((_, i) => swapped(i) === b);
}

/** Returns a warning for a variable that would otherwise be ignored silently. Repeats no value. */
export function describeMisspelling({ name, meant }: Misspelling): string {
  return `${printable(name)} is not a variable of this version and is ignored. The nearest name is ${meant}.`;
}

/**
 * Adds each misspelling to the problem that it causes: the problem of the variable that was meant,
 * or those that mention this variable.
 *
 * @returns The problems, and the misspellings that cause none of them.
 */
export function explainProblems(
  problems: readonly Problem[],
  misspellings: readonly Misspelling[],
  settings: Settings,
): { problems: Problem[]; others: Misspelling[] } {
  const messages = problems.map(({ message }) => message);
  const others = misspellings.filter(({ name, meant }) => {
    const variable = toVariable(meant);
    if (isSet(settings[variable])) return true;
    const own = problems.flatMap((problem, i) => (toVariable(problem.variable) === variable ? [i] : []));
    const mention = new RegExp(`\\b${variable}\\b`);
    const caused =
      own.length > 0 ? own : problems.flatMap(({ message }, i) => (mention.test(message) ? [i] : []));
    for (const i of caused)
      messages[i] = insert(messages[i] ?? '', `${printable(name)} is set: did you mean ${meant}?`);
    return caused.length === 0;
  });
  return { problems: problems.map(({ variable }, i) => ({ variable, message: messages[i] ?? '' })), others };
}

/** Inserts the hint after the first sentence, before the text on how to set the variable. */
function insert(message: string, hint: string): string {
  const end = message.search(/(?<=[^.]\.) /);
  return end === -1 ? `${message} ${hint}` : `${message.slice(0, end)} ${hint}${message.slice(end)}`;
}

function toVariable(name: string): VariableName {
  return name.replace(/_FILE$/, '') as VariableName;
}

function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?');
}
