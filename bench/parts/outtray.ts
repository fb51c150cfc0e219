import { parseConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';
import { openService } from '../../src/service/service.ts';
import { answerQuestions, readSetup } from './children.ts';

export interface OuttraySetup {
  readonly env: Record<string, string>;
  readonly ca?: string;
}

/** Resources that the process has used since its start. */
export interface Usage {
  readonly cpuMs: number;
  /** Resident memory now. */
  readonly rssBytes: number;
  /** Peak resident memory so far. */
  readonly peakBytes: number;
}

const monotonicNow = performance.now.bind(performance);
let passedMs = 0;
performance.now = () => monotonicNow() + passedMs;

/** The real service with its default log level. Its standard output is the null device. */
const { env, ca } = readSetup<OuttraySetup>();
const { config } = parseConfig({ PORT: '0', ...env });
const logger = createLogger(config.logLevel);
const service = await openService({ config, version: 'bench', logger, ...(ca ? { ca } : {}) });

answerQuestions(
  { port: service.port },
  {
    /** Bytes in use after a full collection, on and off the heap. */
    memory() {
      globalThis.gc?.();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    },
    /**
     * Moves the monotonic clock of the process on, and so all that is counted by it. Timers stay.
     */
    passTime(ms: number) {
      passedMs += ms;
    },
    usage(): Usage {
      const { user, system } = process.cpuUsage();
      return {
        cpuMs: (user + system) / 1000,
        rssBytes: process.memoryUsage.rss(),
        peakBytes: process.resourceUsage().maxRSS * 1024,
      };
    },
  },
);
