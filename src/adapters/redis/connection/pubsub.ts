import type { Redis } from 'ioredis';
import { type PubSubChannels, toPubSubChannels } from '../keys.ts';

/**
 * Messages between instances. They may be lost: a receiver must also check the data at intervals.
 */
export interface PubSub {
  /** For scripts that publish. */
  readonly channels: PubSubChannels;
  /** Returns the text of a message: this instance, and the subject. */
  encode(subject: string): string;
  /** Publishes to the other instances. Never rejects. */
  publish(topic: keyof PubSubChannels, subject: string): Promise<void>;
  /** Calls the listener with the subject of each message from another instance. */
  onMessage(topic: keyof PubSubChannels, listener: (subject: string) => void): void;
}

/** @param instance name of this instance, of the same length for all instances */
export function createPubSub(redis: Redis, subscriber: Redis, instance: string): PubSub {
  const channels = toPubSubChannels(redis.options.db ?? 0);
  const subscribe = () => subscriber.subscribe(...Object.values(channels)).catch(() => {});
  const encode = (subject: string) => `${instance} ${subject}`;

  subscriber.on('ready', subscribe);
  void subscribe();
  return {
    channels,
    encode,
    async publish(topic, subject) {
      await redis.publish(channels[topic], encode(subject)).catch(() => {});
    },
    onMessage(topic, listener) {
      subscriber.on('message', (channel: string, message: string) => {
        const sender = message.slice(0, instance.length);
        if (channel === channels[topic] && sender !== instance) listener(message.slice(instance.length + 1));
      });
    },
  };
}
