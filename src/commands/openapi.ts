import { openApiDocument } from '../http/app.ts';
import { refuse } from './serve.ts';

/** Prints the OpenAPI document: `openapi.yaml` is exactly this. */
export async function openapi(args: string[], { version }: { version: string }): Promise<number> {
  if (args.length > 0) return refuse(args, 'Usage: outtray openapi\n\nPrints the OpenAPI document as YAML.');
  process.stdout.write(await openApiDocument(version));
  return 0;
}
