import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import PostalMime from 'postal-mime';
import { expect, test } from 'vitest';
import { API_KEY, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const exec = promisify(execFile);
// With CI=true the tests run without curl, and fail.
const hasCurl = Boolean(process.env.CI) || spawnSync('curl', ['--version']).status === 0;
const digest = (bytes: ArrayBuffer | Uint8Array) =>
  createHash('sha256').update(new Uint8Array(bytes)).digest('hex');

test.skipIf(!hasCurl)('curl -F sends files as they are, also large and inline ones (with curl)', async () => {
  await using gmail = await startSimulator();
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-form-'));
  const large = randomBytes(5 * 1024 * 1024);
  await writeFile(join(folder.path, 'Größe.bin'), large);
  await writeFile(join(folder.path, 'logo.png'), 'png');
  const message = { to: 'ada@example.com', subject: 'Files', html: '<img src="cid:logo">' };
  const { stdout } = await exec(
    'curl',
    [
      ...['-sS', `${service.url}/send`, '-H', `Authorization: Bearer ${API_KEY}`, '-H', 'Prefer: wait=15'],
      ...['-F', `message=${JSON.stringify(message)};type=application/json`],
      ...['-F', 'attachments=@Größe.bin', '-F', 'cid:logo=@logo.png'],
    ],
    { cwd: folder.path },
  );
  expect(JSON.parse(stdout)).toMatchObject({
    status: 'sent',
    attachments: [
      { filename: 'Größe.bin', size: large.length },
      { filename: 'logo.png', content_type: 'image/png' },
    ],
  });
  const { attachments } = await PostalMime.parse(gmail.messages[0]?.raw ?? '');
  const [file, logo] = ['Größe.bin', 'logo.png'].map((name) =>
    attachments.find((each) => each.filename === name),
  );
  expect(digest(file?.content as ArrayBuffer)).toBe(digest(large));
  expect(logo).toMatchObject({ disposition: 'inline', contentId: '<logo>' });
});
