import { distance } from 'fastest-levenshtein';

/** A path as documented, such as `/messages/{id}`, and its methods. */
export interface KnownRoute {
  readonly path: string;
  readonly methods: readonly string[];
}

/** What to call instead of paths that clients try out of habit, with the given method or with any. */
const HABITS: readonly (readonly [instead: string, method: string | null, paths: readonly string[]])[] = [
  ['GET /docs', null, ['/', '/documentation', '/api-docs', '/swagger', '/redoc', '/help']],
  ['GET /openapi.yaml', null, ['/openapi', '/openapi.json', '/swagger.json', '/api-docs.json']],
  ['GET /livez or GET /readyz', null, ['/health', '/healthz', '/healthcheck', '/status', '/ping', '/up']],
  ['GET /livez', null, ['/live', '/liveness', '/alive']],
  ['GET /readyz', null, ['/ready', '/readiness']],
  [
    'POST /send',
    'POST',
    [
      '/messages',
      '/messages/send',
      '/mail',
      '/mails',
      '/mail/send',
      '/sendmail',
      '/send-mail',
      '/send-email',
      '/send/email',
    ],
  ],
  ['POST /send/batch', 'POST', ['/batch', '/bulk', '/send/bulk', '/messages/batch']],
  ['POST /messages/{id}/cancel', 'DELETE', ['/messages/{id}']],
  ['POST /emails/{id}/cancel', 'DELETE', ['/emails/{id}']],
  ['PATCH /messages/{id}', 'PUT', ['/messages/{id}']],
];

/** Bounds the work: no longer path is a typing error. */
const MAX_PATH_LENGTH = 200;
/** Segments in front of a path that a client may have added, as in `/api/v1/send`. */
const MAX_PREFIX = 3;

interface Candidate {
  readonly instead: string;
  /** The number of typing errors between the two paths, and penalties. The lowest rank wins. */
  readonly rank: number;
}

/** What makes a candidate less likely, in typing errors. */
const OTHER_METHOD = 1.5;
const PARAMETER = 0.2;
const DROPPED = 0.1;
const HABIT = 0.02;

/**
 * Returns what the caller of an unknown path, or of a known one with another method, probably meant: `POST /send`, or several joined by
 * "or". Null if nothing is near.
 */
export function findNearestRoute(method: string, path: string, routes: readonly KnownRoute[]): string | null {
  if (path.length > MAX_PATH_LENGTH) return null;
  const asked = method === 'HEAD' ? 'GET' : method;
  const segments = toSegments(path);
  const candidates: Candidate[] = [];
  for (let dropped = 0; dropped <= MAX_PREFIX && (dropped === 0 || dropped < segments.length); dropped++) {
    const rest = segments.slice(dropped);
    for (const { path: known, methods } of routes) {
      const takes = methods.includes(asked);
      const instead = (takes ? [asked] : methods.filter((one) => one !== 'HEAD'))
        .map((one) => `${one} ${known}`)
        .join(' or ');
      candidates.push(...compare(rest, known, instead, dropped * DROPPED + (takes ? 0 : OTHER_METHOD)));
    }
    for (const [instead, only, paths] of HABITS) {
      if (only !== null && only !== asked) continue;
      candidates.push(...paths.flatMap((known) => compare(rest, known, instead, dropped * DROPPED + HABIT)));
    }
  }
  return (
    candidates.reduce<Candidate | null>(
      (best, one) => (best !== null && best.rank <= one.rank ? best : one),
      null,
    )?.instead ?? null
  );
}

/** A candidate, if the known path is near: at most half of the letters outside its parameters are wrong. */
function compare(segments: readonly string[], known: string, instead: string, penalty: number): Candidate[] {
  const wanted = known.split('/').slice(1);
  const isParameter = (segment: string) => segment.startsWith('{');
  const parameters = wanted.filter(isParameter).length;
  if (parameters > 0 && segments.length !== wanted.length) return [];
  const filled = wanted.map((segment, i) => (isParameter(segment) ? (segments[i] ?? '') : segment));
  const [asked, meant] = [segments.join('/'), filled.join('/')];
  const allowed = wanted.filter((segment) => !isParameter(segment)).join('').length / 2;
  if (Math.abs(asked.length - meant.length) > allowed) return [];
  const steps = distance(asked, meant);
  return steps <= allowed ? [{ instead, rank: steps + penalty + parameters * PARAMETER }] : [];
}

/** In lower case, without empty segments and without the extension that some frameworks add. */
function toSegments(path: string): string[] {
  const segments = path.toLowerCase().split('/').filter(Boolean);
  return segments.length === 0
    ? ['']
    : segments.map((segment) => segment.replace(/(?<=.)\.(?:json|php|html?)$/, ''));
}
