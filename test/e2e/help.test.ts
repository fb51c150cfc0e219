import { expect, test } from 'vitest';
import { run } from '../helpers/process.ts';

test.each([['-h'], ['serve', '-h']])('-h is short for --help: %s', async (...args) => {
  await using help = run(args);
  expect(await help.ended).toBe(0);
  expect(help.output().out).toMatch(/^Usage: outtray/);
});

test('every command that the usage lists prints its own usage with --help, and exits with code 0', async () => {
  await using usage = run(['--help']);
  expect(await usage.ended).toBe(0);
  const commands = [...usage.output().out.matchAll(/^ {2}(\w+) /gm)].map(([, name = '']) => name);
  expect(commands).toEqual(expect.arrayContaining(['serve', 'init', 'demo', 'doctor', 'login']));
  for (const command of commands) {
    await using help = run([command, '--help']);
    const code = await help.ended;
    const { out, err } = help.output();
    expect({ command, code, err }).toEqual({ command, code: 0, err: '' });
    expect(out).toMatch(new RegExp(`^Usage: outtray ${command}\\b`));
  }
});
