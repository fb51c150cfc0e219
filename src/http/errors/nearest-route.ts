import { distance } from 'fastest-levenshtein';

/** A path as documented, such as `/messages/{id}`, and its methods. */
export interface KnownRoute {
  readonly path: string;
  readonly methods: readonly string[];
}

/** Routes to suggest for paths that other services use. Method null: any. */
const ALIASES: readonly (readonly [suggestion: string, method: string | null, paths: readonly string[]])[] = [
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

/** Bounds the work. A longer path is no typing error. */
const MAX_PATH_LENGTH = 200;
/** Maximum number of leading segments that a client may have added, as in `/api/v1/send`. */
const MAX_PREFIX = 3;

interface Candidate {
  readonly suggestion: string;
  /** Typing errors between the two paths, plus penalties. The lowest cost wins. */
  readonly cost: number;
}

/** Penalties for less likely candidates, in typing errors. */
const OTHER_METHOD = 1.5;
const PARAMETER = 0.2;
const DROPPED = 0.1;
const ALIAS = 0.02;

/**
 * Returns the route that the client of an unknown path or method probably meant, such as `POST
 * /send`, or several joined by "or". Null if no route is similar.
 */
export function findNearestRoute(method: string, path: string, routes: readonly KnownRoute[]): string | null {
  if (path.length > MAX_PATH_LENGTH) return null;
  const requested = method === 'HEAD' ? 'GET' : method;
  const segments = toSegments(path);
  const candidates: Candidate[] = [];
  for (let dropped = 0; dropped <= MAX_PREFIX && (dropped === 0 || dropped < segments.length); dropped++) {
    const rest = segments.slice(dropped);
    for (const { path: known, methods } of routes) {
      const hasMethod = methods.includes(requested);
      const suggestion = (hasMethod ? [requested] : methods.filter((one) => one !== 'HEAD'))
        .map((one) => `${one} ${known}`)
        .join(' or ');
      const penalty = dropped * DROPPED + (hasMethod ? 0 : OTHER_METHOD);
      candidates.push(...compare(rest, known, suggestion, penalty));
    }
    for (const [suggestion, only, paths] of ALIASES) {
      if (only !== null && only !== requested) continue;
      candidates.push(
        ...paths.flatMap((known) => compare(rest, known, suggestion, dropped * DROPPED + ALIAS)),
      );
    }
  }
  return (
    candidates.reduce<Candidate | null>(
      (best, one) => (best !== null && best.cost <= one.cost ? best : one),
      null,
    )?.suggestion ?? null
  );
}

/**
 * Returns a candidate if the known path is similar: at most half of the letters outside its
 * parameters differ.
 */
function compare(
  segments: readonly string[],
  known: string,
  suggestion: string,
  penalty: number,
): Candidate[] {
  const wanted = known.split('/').slice(1);
  const isParameter = (segment: string) => segment.startsWith('{');
  const parameters = wanted.filter(isParameter).length;
  if (parameters > 0 && segments.length !== wanted.length) return [];
  const filled = wanted.map((segment, i) => (isParameter(segment) ? (segments[i] ?? '') : segment));
  const [requested, meant] = [segments.join('/'), filled.join('/')];
  const allowed = wanted.filter((segment) => !isParameter(segment)).join('').length / 2;
  if (Math.abs(requested.length - meant.length) > allowed) return [];
  const steps = distance(requested, meant);
  return steps <= allowed ? [{ suggestion, cost: steps + penalty + parameters * PARAMETER }] : [];
}

/**
 * Splits a path: lower case, without empty segments, without the file extensions that some
 * frameworks add.
 */
function toSegments(path: string): string[] {
  const segments = path.toLowerCase().split('/').filter(Boolean);
  return segments.length === 0
    ? ['']
    : segments.map((segment) => segment.replace(/(?<=.)\.(?:json|php|html?)$/, ''));
}
