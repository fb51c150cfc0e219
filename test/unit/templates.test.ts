import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openTemplates } from '../../src/adapters/templates/templates.ts';
import type { Templates } from '../../src/core/ports/templates.ts';
import { makeTemplatesDir, openWatchedTemplates } from '../helpers/templates.ts';

const EXAMPLES = join(import.meta.dirname, '../../examples/templates');

/** An onError that must not be called. */
function failOnError(error: Error): never {
  throw error;
}

/** Returns the problems that a directory with these files is rejected with, one line for each. */
async function problemsOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<string[]> {
  await using made = await makeTemplatesDir(files);
  const opening = openTemplates({ dir: made.dir, onError: failOnError });
  const error = await opening.then(
    async (templates) => {
      await templates.close();
      throw new Error('the templates were opened');
    },
    (cause: Error) => cause,
  );
  expect(error.name).toBe('TemplatesError');
  const [title, ...lines] = error.message.split('\n');
  expect(title).toBe('The templates in TEMPLATES_DIR cannot be used.');
  return lines.map((line) => line.trim());
}

describe('a directory of templates', () => {
  test('is listed by id, with the parts and the variables of each template', async () => {
    await using made = await openWatchedTemplates({
      'b/body.txt':
        '{{name}} {{nick?}} {{user.id}} {{#items}}{{price}} {{name}} {{.}}{{/items}} {{^items}}{{empty}}{{/items}} {{> foot}}',
      'b/subject.txt': '{{name?}}',
      'B-1.x_/body.html': '{{> head}}{{#p?}}{{q}}{{/p?}}',
      'B-1.x_/body.txt': '{{head?}}',
      '_partials/foot.txt': '{{foot}}{{nick}}',
      '_partials/head.html': '{{head}}',
    });
    const variable = (name: string, required: boolean) => ({ name, required });
    expect(made.templates.list()).toEqual([
      {
        id: 'B-1.x_',
        subject: false,
        html: true,
        text: true,
        variables: [variable('head', true), variable('p', false), variable('q', false)],
      },
      {
        id: 'b',
        subject: true,
        html: false,
        text: true,
        variables: [
          variable('name', true),
          variable('nick', true),
          variable('user.id', true),
          variable('items', true),
          variable('price', false),
          variable('empty', false),
          variable('foot', true),
        ],
      },
    ]);
  });

  test('may contain other files, hidden names, and files of editors and Kubernetes', async () => {
    await using made = await openWatchedTemplates({
      'README.md': '{{',
      '.git/body.txt': '{{',
      '_drafts/body.txt': '{{',
      '_partials/.a.html.swp': '{{',
      '_partials/notes.md': '{{',
      'a/body.txt': 'x',
      'a/body.txt~': '{{',
      'a/4913': '{{',
    });
    expect(made.templates.list().map(({ id }) => id)).toEqual(['a']);
    expect(made.templates.render({ id: 'a', variables: {} }).text).toBe('x');
  });

  test('is read without the byte order marks that some editors add', async () => {
    await using made = await openWatchedTemplates({ 'a/body.txt': '\ufeffx' });
    expect(made.templates.render({ id: 'a', variables: {} }).text).toBe('x');
  });

  test('throws template_not_found for any other id', async () => {
    await using made = await openWatchedTemplates({ 'a/body.txt': 'x', '_partials/p.txt': 'x' });
    for (const id of ['b', 'A', '', '..', '../a', '_partials', '__proto__', 'constructor']) {
      expect(() => made.templates.render({ id, variables: {} })).toThrow(
        expect.objectContaining({
          code: 'template_not_found',
          message: expect.stringContaining(JSON.stringify(id)),
          errors: [
            {
              pointer: '/template/id',
              code: 'unknown_template',
              detail: expect.stringContaining('GET /templates'),
            },
          ],
        }),
      );
    }
  });

  test('is optional: without TEMPLATES_DIR there are no templates, and the error says why', async () => {
    await using templates = await openTemplates({ dir: null, onError: failOnError });
    expect(templates.list()).toEqual([]);
    expect(() => templates.render({ id: 'a', variables: {} })).toThrow(
      expect.objectContaining({
        code: 'template_not_found',
        message: expect.stringContaining('TEMPLATES_DIR is not set'),
      }),
    );
  });

  test('is in examples/, and every template there can be rendered', async () => {
    await using templates = await openTemplates({ dir: EXAMPLES, onError: failOnError });
    expect(templates.list().map(({ id }) => id)).toEqual(['invoice', 'welcome']);
    const invoice = templates.render({
      id: 'invoice',
      variables: {
        company: 'Acme & Co',
        number: 42,
        customer: { name: 'Ada' },
        items: [
          { quantity: 2, name: 'Tea', price: '8.40' },
          { quantity: 1, name: 'Cup', price: '5.00' },
        ],
        total: '13.40',
        note: 'Thank you.',
      },
    });
    expect(invoice.subject).toBe('Invoice 42 from Acme & Co');
    expect(invoice.html).toContain('Acme &amp; Co');
    expect(invoice.text).toBe(
      'Acme & Co\n--\n\nHello Ada,\n\nhere is invoice 42.\n\n  2 x Tea: 8.40\n  1 x Cup: 5.00\n\nTotal: 13.40\n\nThank you.\n',
    );
    const welcome = templates.render({
      id: 'welcome',
      variables: { company: 'Acme', name: 'Ada', url: 'https://acme.com/' },
    });
    expect(welcome).toMatchObject({ subject: 'Welcome to Acme, Ada', text: null });
  });
});

describe('a directory is rejected with all problems', () => {
  test('of syntax, by file and line', async () => {
    const files = {
      'a/body.txt': 'x\n{{#items}}\n{{/item}}',
      'b/body.html': '\n\n{{/items}}',
      'c/body.txt': '{{#items}}\nx\n',
      'd/subject.txt': '{{name',
      'd/body.txt': 'x',
      'e/body.txt': 'x\n{{name}\n{{other}}',
      'f/body.txt': '\n{{}}',
      'g/body.txt': '{{a..b}}',
    };
    expect(await problemsOf(files)).toEqual([
      'a/body.txt, line 3: the section {{#items}} is not closed here: add {{/items}}.',
      'b/body.html, line 3: {{/items}} closes a section that is not open: remove it, or open the section before it.',
      'c/body.txt, line 3: the section {{#items}} is not closed here: add {{/items}}.',
      'd/subject.txt: a tag is not closed: look for a "{{" without a "}}".',
      expect.stringMatching(/^e\/body\.txt, line 2: a tag has no valid variable name/),
      expect.stringMatching(/^f\/body\.txt, line 2: a tag has no valid variable name/),
      expect.stringMatching(/^g\/body\.txt, line 1: a tag has no valid variable name/),
    ]);
  });

  test('of partials: missing, of the other format, recursive, or invalid and never used', async () => {
    const files = {
      'a/body.html': 'x\n{{> nowhere}}',
      'b/body.html': '{{> words}}',
      'c/body.txt': '{{> ../a/body}}',
      '_partials/words.txt': 'x',
      '_partials/one.html': '{{> two}}',
      '_partials/two.html': '\n{{> one}}',
      '_partials/self.txt': '{{> self}}',
      '_partials/unused.txt': '{{/x}}',
    };
    expect(await problemsOf(files)).toEqual([
      '_partials/one.html, line 1: the partial includes itself (_partials/two.html includes _partials/one.html includes _partials/two.html): remove the tag.',
      '_partials/self.txt, line 1: the partial includes itself (_partials/self.txt includes _partials/self.txt): remove the tag.',
      '_partials/two.html, line 2: the partial includes itself (_partials/one.html includes _partials/two.html includes _partials/one.html): remove the tag.',
      '_partials/unused.txt, line 1: {{/x}} closes a section that is not open: remove it, or open the section before it.',
      'a/body.html, line 2: there is no partial _partials/nowhere.html: add it, or remove the tag {{> nowhere}}.',
      'b/body.html, line 1: there is no partial _partials/words.html: add it, or remove the tag {{> words}}.',
      'c/body.txt, line 1: there is no partial _partials/../a/body.txt: add it, or remove the tag {{> ../a/body}}.',
    ]);
  });

  test('of nesting depth, in one file and across files', async () => {
    const deep = (levels: number) => `${'{{#a}}'.repeat(levels)}${'{{/a}}'.repeat(levels)}`;
    const chain = Object.fromEntries(
      Array.from({ length: 70 }, (_, i) => [
        `_partials/p${String(i).padStart(2, '0')}.txt`,
        i === 69 ? 'x' : `{{> p${String(i + 1).padStart(2, '0')}}}`,
      ]),
    );
    expect(await problemsOf({ 'a/body.txt': deep(65) })).toEqual([
      expect.stringMatching(/^a\/body\.txt, line 1: .*deeper than 64/),
    ]);
    expect(await problemsOf({ 'a/body.txt': deep(20_000) })).toHaveLength(1);
    expect(await problemsOf({ 'a/body.txt': 'x', ...chain })).toEqual([
      expect.stringMatching(/^_partials\/p04\.txt, line 1: .*deeper than 64/),
    ]);
    await using fine = await openWatchedTemplates({ 'a/body.txt': deep(64) });
    expect(fine.templates.list()).toHaveLength(1);
  });

  test('of files: no body, too large, not UTF-8, too many, not a file', async () => {
    expect(await problemsOf({ 'a/subject.txt': 'x' })).toEqual([
      expect.stringMatching(/^a has neither body\.html nor body\.txt: add one/),
    ]);
    expect(await problemsOf({ 'a/body.txt': 'x'.repeat(256 * 1024 + 1) })).toEqual([
      expect.stringMatching(/^a\/body\.txt has 262145 bytes/),
    ]);
    expect(await problemsOf({ 'a/body.txt': Uint8Array.of(0x61, 0xff) })).toEqual([
      'a/body.txt is not UTF-8: save it as UTF-8.',
    ]);
    expect(await problemsOf({ 'my template/body.txt': 'x' })).toEqual([
      expect.stringMatching(/^my template is not a valid template id: use at most/),
    ]);
    expect(await problemsOf({ 'a/body.txt/x': 'x' })).toEqual([
      'a/body.txt is not a file: replace it by a file.',
    ]);
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`_partials/${i}.txt`, 'x']));
    expect(await problemsOf(many)).toEqual([
      expect.stringMatching(/^The directory has 1001 files, but at most 1000/),
    ]);
  });

  test('of access: a missing directory, or a broken link', async () => {
    await using made = await makeTemplatesDir({ 'a/subject.txt': 'x' });
    await symlink('nowhere', join(made.dir, 'a/body.txt'));
    await expect(openTemplates({ dir: made.dir, onError: failOnError })).rejects.toThrow(
      /a\/body\.txt cannot be read: ENOENT.*service may read it/,
    );
    await expect(openTemplates({ dir: join(made.dir, 'x'), onError: failOnError })).rejects.toThrow(
      /The directory cannot be read: ENOENT/,
    );
  });
});

describe('a change', () => {
  test('of a part, a partial or a whole template is loaded', async () => {
    await using made = await openWatchedTemplates({ 'a/body.txt': 'one {{> p}}', '_partials/p.txt': 'P' });
    const say = (id = 'a') => made.templates.render({ id, variables: {} }).text;
    expect(say()).toBe('one P');

    let changed = made.next('change');
    await made.write('a/body.txt', 'two {{> p}}');
    await changed;
    expect(say()).toBe('two P');

    changed = made.next('change');
    await writeFile(join(made.dir, '_partials/.p.new'), 'Q');
    await rename(join(made.dir, '_partials/.p.new'), join(made.dir, '_partials/p.txt'));
    await changed;
    expect(say()).toBe('two Q');

    changed = made.next('change');
    await made.write('_b/body.txt', 'new');
    await rename(join(made.dir, '_b'), join(made.dir, 'b'));
    await changed;
    expect(say('b')).toBe('new');

    changed = made.next('change');
    await rm(join(made.dir, 'b'), { recursive: true });
    await changed;
    expect(made.templates.list().map(({ id }) => id)).toEqual(['a']);

    changed = made.next('change');
    await made.write('_partials/p.txt', 'P');
    await changed;
    changed = made.next('change');
    await made.write('a/body.txt', 'one {{> p}}');
    await changed;
    expect(say()).toBe('one P');
    expect(made.errors).toEqual([]);
  });

  test('with an error keeps the previous templates and is reported once, until it is fixed', async () => {
    await using made = await openWatchedTemplates({ 'a/body.txt': 'old', 'b/body.txt': 'old' });
    const say = (id: string) => made.templates.render({ id, variables: {} }).text;

    const rejected = made.next('rejection');
    await made.write('b/body.txt', '{{#x}}');
    await rejected;
    expect(say('b')).toBe('old');
    expect(made.errors).toEqual([expect.stringContaining('b/body.txt, line 1: the section {{#x}}')]);

    // A reload with the same error is not reported again.
    await using witness = await openWatchedTemplates({ 'x/body.txt': 'x' });
    await symlink(join(made.dir, 'a'), join(witness.dir, 'a'));
    await witness.next('change');
    const seen = witness.next('change');
    await made.write('a/body.txt', 'new');
    await seen;
    const other = made.next('rejection');
    await made.write('b/subject.txt', '{{/x}}');
    await other;
    expect([say('a'), say('b')]).toEqual(['old', 'old']);
    expect(made.errors).toEqual([
      expect.stringMatching(/^.*\n.*b\/body/),
      expect.stringMatching(/b\/body.*\n.*b\/subject/),
    ]);

    const changed = made.next('change');
    await made.write('b/subject.txt', 'S');
    await made.write('b/body.txt', 'fixed');
    await changed;
    expect([say('a'), say('b')]).toEqual(['new', 'fixed']);

    // Reverting the change fixes the error too.
    const rejectedAgain = made.next('rejection');
    await made.write('b/body.txt', '{{#x}}');
    await rejectedAgain;
    const reverted = made.next('change');
    await made.write('b/body.txt', 'fixed');
    await reverted;
  });

  test('that leaves all texts the same causes no reload', async () => {
    await using made = await openWatchedTemplates({ 'a/body.txt': 'same' });
    expect(made.changes).toBe(0);
    const changed = made.next('change');
    await made.write('a/body.txt', 'same');
    await made.write('a/notes.md', 'new');
    await made.write('b/body.txt', 'new');
    await changed;
    expect(made.changes).toBe(1);
  });

  test('of a ConfigMap, where Kubernetes replaces a link, is loaded every time', async () => {
    await using made = await makeTemplatesDir({ '..1/a/body.txt': 'v1' });
    await symlink('..1', join(made.dir, '..data'));
    await symlink('..data/a', join(made.dir, 'a'));
    let changed = Promise.withResolvers<void>();
    await using templates = await openTemplates({
      dir: made.dir,
      onError: failOnError,
      onChange: () => changed.resolve(),
    });
    for (const version of [2, 3, 4]) {
      changed = Promise.withResolvers<void>();
      await mkdir(join(made.dir, `..${version}`));
      await made.write(`..${version}/a/body.txt`, `v${version}`);
      await symlink(`..${version}`, join(made.dir, '..data_tmp'));
      await rename(join(made.dir, '..data_tmp'), join(made.dir, '..data'));
      await rm(join(made.dir, `..${version - 1}`), { recursive: true });
      await changed.promise;
      expect(templates.render({ id: 'a', variables: {} }).text).toBe(`v${version}`);
    }
    expect(await readdir(made.dir)).toContain('..4');
  });

  test('behind a link out of the directory is loaded', async () => {
    await using elsewhere = await makeTemplatesDir({ 'shared/body.txt': 'one' });
    await using made = await makeTemplatesDir({});
    await symlink(join(elsewhere.dir, 'shared'), join(made.dir, 'a'));
    const changed = Promise.withResolvers<void>();
    await using templates = await openTemplates({
      dir: made.dir,
      onError: failOnError,
      onChange: changed.resolve,
    });
    await elsewhere.write('shared/body.txt', 'two');
    await changed.promise;
    expect(templates.render({ id: 'a', variables: {} }).text).toBe('two');
  });

  test('after close is not loaded', async () => {
    await using made = await openWatchedTemplates({ 'a/body.txt': 'old' });
    await made.templates.close();
    const changed = Promise.withResolvers<void>();
    await using witness = await openTemplates({
      dir: made.dir,
      onError: failOnError,
      onChange: changed.resolve,
    });
    await made.write('a/body.txt', 'new');
    await changed.promise;
    const say = ({ render }: Templates) => render({ id: 'a', variables: {} }).text;
    expect([say(made.templates), say(witness)]).toEqual(['old', 'new']);
  });
});
