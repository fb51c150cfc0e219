/** A system call in a trace of strace. Times are line numbers of the trace. */
export interface Call {
  readonly name: string;
  /** Path of the file, or addresses of the socket. */
  readonly target: string;
  /** The bytes written, one for each character. */
  readonly data: string;
  readonly startedAt: number;
  /** Infinity if it never returned. */
  readonly endedAt: number;
  readonly succeeded: boolean;
}

const SYNCS = ['fsync', 'fdatasync'];
const WRITES = ['write', 'writev', 'sendto', 'sendmsg', 'pwrite64', 'pwritev'];

/**
 * Returns a command that runs another under the same process id, and traces its writes and syncs to
 * a file, with complete data and targets.
 */
export function straceTo(file: string): string[] {
  const calls = ['-e', `trace=${[...SYNCS, ...WRITES].join(',')}`, '-e', 'signal=none'];
  return [
    'strace',
    '--daemonize',
    '--follow-forks',
    '--seccomp-bpf',
    '-qq',
    '-yy',
    '-s',
    '65536',
    ...calls,
    '-o',
    file,
  ];
}

/** Parses the output of `strace -f -yy`. */
export function parseTrace(text: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, number>();
  for (const [at, line] of text.split('\n').entries()) {
    const [, pid = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, name, args = ''] = /^(\w+)\((.*)$/.exec(rest) ?? [];
    const unfinished = rest.endsWith('<unfinished ...>');
    const end = { endedAt: unfinished ? Number.POSITIVE_INFINITY : at, succeeded: / = \d+$/.test(rest) };
    if (name !== undefined) {
      if (unfinished) open.set(pid, calls.length);
      calls.push({ name, target: targetOf(args), data: dataOf(args), startedAt: at, ...end });
      continue;
    }
    const index = open.get(pid);
    const call = index === undefined ? undefined : calls[index];
    if (index === undefined || call === undefined || !/^<\.\.\. \w+ resumed>/.test(rest)) continue;
    calls[index] = { ...call, ...end };
    open.delete(pid);
  }
  return calls;
}

export function isSync({ name }: Call): boolean {
  return SYNCS.includes(name);
}

/** Parses `25</data/queue.db-wal>, …` or `25<TCP:[127.0.0.1:1->127.0.0.1:2]>, …`. */
function targetOf(args: string): string {
  return /^\d+<(.+?)>(?=[,) ]|$)/.exec(args)?.[1] ?? '';
}

function dataOf(args: string): string {
  return [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => unquote(text)).join('');
}

const LETTERS: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v' };

function unquote(text: string): string {
  return text.replace(/\\([0-7]{1,3}|.)/g, (_, code: string) =>
    /^[0-7]/.test(code) ? String.fromCharCode(Number.parseInt(code, 8)) : (LETTERS[code] ?? code),
  );
}
