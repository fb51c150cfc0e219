/** Writes a line to standard output. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Writes a line to standard error. Returns the exit code. */
export function complain(text: string, code: number): number {
  process.stderr.write(`${text}\n`);
  return code;
}
