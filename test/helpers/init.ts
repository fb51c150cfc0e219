import { mkdtempDisposableSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { createSimulatorEnv } from './smtp/simulator-env.ts';

/** An empty working directory for `outtray init`, and the simulator's files outside it. */
export async function createInitFolder(gmail: Simulator) {
  const stack = new AsyncDisposableStack();
  const { SMTP_URL, NODE_EXTRA_CA_CERTS } = stack.use(await createSimulatorEnv(gmail)).env;
  const temporary = () => stack.use(mkdtempDisposableSync(join(tmpdir(), 'outtray-init-'))).path;
  const path = temporary();
  const files = temporary();
  const write = (name: string, content: string) => {
    writeFileSync(join(files, name), content);
    return join(files, name);
  };
  return {
    path,
    clientFile: write('client.json', gmail.oauth.clientFile),
    webClientFile: write('web.json', gmail.oauth.webClientFile),
    keyFile: write('key.json', gmail.oauth.serviceAccount),
    passwordFile: write('password', `${gmail.password}\n`),
    wrongPasswordFile: write('wrong', 'wrongwrongwrongw\n'),
    env: { SMTP_URL, NODE_EXTRA_CA_CERTS },
    /** The names in the working directory, at all depths. */
    created: () => readdirSync(path, { recursive: true }),
    read: (name: string) => readFileSync(join(path, name), 'utf8'),
    mode: (name: string) => (statSync(join(path, name)).mode & 0o777).toString(8),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
