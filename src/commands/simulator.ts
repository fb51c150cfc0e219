import { endWithin, STOP_WITHIN_MS } from '../service/shutdown.ts';
import { runSimulator, SIMULATOR_USAGE } from '../simulator/command.ts';
import { complain, print } from './output.ts';

/**
 * Runs the Gmail simulator without the service, until the signal is aborted. Returns the exit code.
 */
export async function simulator(args: string[], { signal }: { signal: AbortSignal }): Promise<number> {
  if (args.includes('--help')) {
    print(SIMULATOR_USAGE);
    return 0;
  }
  endWithin(STOP_WITHIN_MS, signal);
  return runSimulator(args, { out: print, err: (line) => complain(line, 1) }, signal);
}
