/**
 * Runs `run` and returns its CPU time in ms. Unlike wall-clock time, other work on the machine
 * hardly changes it.
 */
export function cpuTimeOf(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
