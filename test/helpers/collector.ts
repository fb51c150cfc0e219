import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { vi } from 'vitest';

/** A span as the collector received it: names and ids as in OTLP/JSON, attributes as an object. */
export interface CollectedSpan {
  readonly name: string;
  /** 2: SERVER, 3: CLIENT. */
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
}

export interface Collector extends AsyncDisposable {
  /** The variables of an SDK that exports to the collector. */
  readonly env: Record<string, string>;
  readonly spans: readonly CollectedSpan[];
  /** Everything received, as text. */
  received(): string;
  /** Resolves with the first span that matches. */
  span(matches: (span: CollectedSpan) => boolean): Promise<CollectedSpan>;
}

type Value = { stringValue?: string; intValue?: number | string; doubleValue?: number };
type SentSpan = Omit<CollectedSpan, 'attributes' | 'links'> & {
  links?: CollectedSpan['links'];
  attributes: { key: string; value: Value }[];
};
interface ExportRequest {
  readonly resourceSpans: { readonly scopeSpans: { readonly spans: SentSpan[] }[] }[];
}

/** Starts an HTTP server that receives spans in OTLP/JSON. */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  let text = '';
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString();
    text += body;
    const { resourceSpans } = JSON.parse(body) as ExportRequest;
    const sent = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
    spans.push(...sent.map(toCollected));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    },
    spans,
    received: () => text,
    span: (matches) =>
      vi.waitFor(
        () => {
          const found = spans.find(matches);
          if (!found) throw new Error(`no such span among ${JSON.stringify(spans, null, 2)}`);
          return found;
        },
        { timeout: 20_000, interval: 20 },
      ),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function toCollected({ links = [], attributes, ...span }: SentSpan): CollectedSpan {
  const entries = attributes.map(({ key, value: { stringValue, intValue, doubleValue } }) => [
    key,
    stringValue ?? doubleValue ?? Number(intValue),
  ]);
  return { ...span, links, attributes: Object.fromEntries(entries) };
}
