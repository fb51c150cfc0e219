// Registers the OpenTelemetry SDK, configured by the OTEL_ variables. Preload it:
//
//     node --import ./examples/tracing/instrumentation.mjs src/main.ts
import { isMainThread } from 'node:worker_threads';

// Worker threads preload this file too. They record no spans.
if (isMainThread) {
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  // Traces only: Outtray has no metrics or logs for OpenTelemetry.
  const sdk = new NodeSDK({ serviceName: 'outtray', metricReaders: [], logRecordProcessors: [] });
  sdk.start();
  // Outtray exports the last spans when it stops, so the SDK needs no signal handler.
}
