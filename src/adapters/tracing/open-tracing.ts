import type { TracerProvider } from '@opentelemetry/api';
import type { Tracing } from './tracing.ts';

/**
 * Where each copy of `@opentelemetry/api` 1.x registers the SDK. It is read directly, because
 * `getTracerProvider` hides an SDK that was registered by a copy of an older minor version. The
 * bundle contains a copy of its own, and the calls that this adapter makes exist since 1.0.
 */
const API = Symbol.for('opentelemetry.js.api.1');

/**
 * Returns null if no OpenTelemetry SDK is registered, which must happen before: with
 * `node --import`. Loads nothing then.
 *
 * @param version Version of Outtray
 */
export async function openTracing(version: string): Promise<Tracing | null> {
  const provider = (globalThis as { [API]?: { readonly trace?: TracerProvider } })[API]?.trace;
  if (provider === undefined) return null;
  const { createTracing } = await import('./tracing.ts');
  return createTracing(provider, version);
}
