/**
 * HTTP methods that the semantic conventions of OpenTelemetry know. Clients choose the method, so
 * others are not recorded by name.
 * https://opentelemetry.io/docs/specs/semconv/registry/attributes/http/#http-request-method
 */
export const KNOWN_METHODS: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'TRACE',
]);
