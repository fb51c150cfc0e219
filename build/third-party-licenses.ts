import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'rolldown';

const NODE_MODULES = join(import.meta.dirname, '../node_modules');
const PACKAGE_ROOT = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/;

/**
 * Writes THIRD-PARTY-LICENSES: the licenses of all packages in the bundle.
 *
 * @param copied Names of the packages whose files are copied beside the bundle.
 */
export function thirdPartyLicenses(copied: readonly string[]): Plugin {
  return {
    name: 'third-party-licenses',
    generateBundle() {
      const bundled = [...this.getModuleIds()].flatMap((id) => id.match(PACKAGE_ROOT) ?? []);
      const roots = new Set([...bundled, ...copied.map((name) => join(NODE_MODULES, name))]);
      const source = [...roots].map(describeLicense).sort().join('\n\n');
      this.emitFile({ type: 'asset', fileName: 'THIRD-PARTY-LICENSES', source });
    },
  };
}

function describeLicense(root: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const files = globSync('{LICEN[CS]E,licen[cs]e,COPYING,NOTICE}*', { cwd: root }).sort();
  const texts = files.map((file) => readFileSync(join(root, file), 'utf8').trim());
  return [`${'='.repeat(80)}\n${name} ${version} (${license})`, ...texts].join('\n\n');
}
