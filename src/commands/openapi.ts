import { openApiDocument } from '../http/app.ts';
import { refuse } from './serve.ts';

/** Prints the OpenAPI document: `openapi.yaml` is exactly this. */
export async function openapi(args: string[]): Promise<number> {
  if (args.length > 0) return refuse(args, 'Usage: outtray openapi\n\nPrints the OpenAPI document as YAML.');
  process.stdout.write(await openApiDocument());
  return 0;
}
