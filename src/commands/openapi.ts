import { openApiDocument } from '../http/app.ts';
import { refuse } from './serve.ts';

/** Prints the OpenAPI document, which is the content of `openapi.yaml`. */
export async function openapi(args: string[], { version }: { version: string }): Promise<number> {
  if (args.length > 0) return refuse(args, 'Usage: outtray openapi\n\nPrints the OpenAPI document as YAML.');
  process.stdout.write(await openApiDocument(version));
  return 0;
}
