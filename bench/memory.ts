import { BODY, environment, KEY, post, startLoad, startOuttray, startSilence } from './processes.ts';
import { atMost, type Row } from './report-row.ts';

const COUNT = 50_000;

/** Memory per queued message of 1 KB, while the server never greets. */
export async function queuedBytes(): Promise<Row[]> {
  await using silence = await startSilence();
  await using outtray = await startOuttray(
    environment(silence, { QUEUE_MAX_MESSAGES: '100000' }),
    undefined,
    ['--expose-gc'],
  );
  await using load = await startLoad();
  const shape = { path: '/send', body: BODY, connections: 16, port: outtray.hello.port, key: KEY };
  await post(load, { ...shape, requests: 2000 });
  const before = await outtray.ask<number>('memory');
  await post(load, { ...shape, requests: COUNT });
  const bytes = ((await outtray.ask<number>('memory')) - before) / COUNT;
  return [atMost('memory per queued message of 1 KB', `${Math.round(bytes)} B`, bytes, 4096)];
}
