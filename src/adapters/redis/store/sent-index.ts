import { SENT_INDEX_MS, type SentIndex } from '../../../core/ports/sent-index.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';

/** ARGV: prefix of the keys, their lifetime in ms, ids and JSON alternately. */
const ADD: Script = {
  name: 'outtrayAddSent',
  keys: 0,
  lua: `
    for i = 3, #ARGV, 2 do redis.call('SET', ARGV[1] .. ARGV[i], ARGV[i + 1], 'PX', ARGV[2]) end
  `,
};

/** Creates the SentIndex that all instances share. Only the memory of Redis bounds it. */
export function createRedisSentIndex(connection: Connection): SentIndex {
  return {
    async add(mails) {
      const entries = mails.flatMap((mail) => [mail.id, JSON.stringify(mail)]);
      await connection.runScript(ADD, KEYS.sent(''), SENT_INDEX_MS, ...entries);
    },
    async find(id) {
      const json = await connection.execute((redis) => redis.get(KEYS.sent(id)));
      return json === null ? null : JSON.parse(json);
    },
  };
}
