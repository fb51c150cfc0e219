import fc from 'fast-check';
import mustache from 'mustache';
import { describe, expect, test } from 'vitest';
import { parseTemplates } from '../../src/adapters/templates/catalogue.ts';
import { render } from '../../src/adapters/templates/render.ts';
import { AppError } from '../../src/core/errors.ts';
import type { Rendered } from '../../src/core/ports/templates.ts';
import { cpuTimeOf } from '../helpers/cpu-time.ts';

type Files = Readonly<Record<string, string>>;
type Variables = Readonly<Record<string, unknown>>;

/** Renders the template `t`. `files` are its parts, and partials by their path. */
function renderFiles(files: Files, variables: Variables = {}): Rendered {
  const texts = new Map(
    Object.entries(files).map(([path, text]) => [path.startsWith('_') ? path : `t/${path}`, text]),
  );
  const template = parseTemplates({ ids: ['t'], texts }).get('t');
  if (template === undefined) throw new Error('there is no template');
  return render(template.parts, variables);
}

function text(body: string, variables?: Variables): string | null {
  return renderFiles({ 'body.txt': body }, variables).text;
}

/** Returns the errors of rendering: pointers below the variables, and codes. */
function errorsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.code).toBe('template_failed');
    for (const { pointer, detail } of error.errors)
      expect([pointer, detail]).toEqual([
        expect.stringMatching(/^\/template\/variables/),
        expect.stringMatching(/: .+\.$|\.$/),
      ]);
    return error.errors.map(({ pointer, code }) => `${pointer.slice('/template/variables'.length)} ${code}`);
  }
  throw new Error('the template was rendered');
}

describe('a template', () => {
  test('escapes variables in HTML, and not in the text and subject', () => {
    const variables = { name: `<b> & "Co" 'x'` };
    expect(
      renderFiles(
        { 'subject.txt': 'For {{name}}\n', 'body.html': '<p>{{name}}</p>', 'body.txt': '{{name}}' },
        variables,
      ),
    ).toEqual({
      subject: `For <b> & "Co" 'x'`,
      html: '<p>&lt;b&gt; &amp; &quot;Co&quot; &#39;x&#39;</p>',
      text: `<b> & "Co" 'x'`,
    });
    expect(renderFiles({ 'body.html': '{{{name}}} {{&name}}' }, variables).html).toBe(
      `<b> & "Co" 'x' <b> & "Co" 'x'`,
    );
  });

  test('renders null for parts that it does not have', () => {
    expect(renderFiles({ 'body.txt': 'x' })).toEqual({ subject: null, html: null, text: 'x' });
  });

  test('supports sections, inverted sections, dotted names, items and comments', () => {
    const variables = {
      user: { name: 'Ada', tags: ['a', 'b'] },
      orders: [{ id: 1 }, { id: 2, user: { name: 'Bob' } }],
      none: [],
      off: false,
    };
    expect(text('{{#user}}{{name}}: {{#tags}}[{{.}}]{{/tags}}{{/user}}', variables)).toBe('Ada: [a][b]');
    expect(text('{{#orders}}{{id}} {{user.name}};{{/orders}}', variables)).toBe('1 Ada;2 Bob;');
    expect(
      text('{{^none}}none{{/none}} {{^off}}off{{/off}} {{#off}}on{{/off}}{{! not seen }}', variables),
    ).toBe('none off ');
    expect(text('{{#user.tags.length}}has {{user.tags.length}}{{/user.tags.length}}', variables)).toBe(
      'has 2',
    );
    expect(text('{{#user.tags}}{{#on}}{{.}}{{/on}}{{/user.tags}}', { ...variables, on: true })).toBe('ab');
    expect(text('{{=<% %>=}}<%user.name%> {{x}}', variables)).toBe('Ada {{x}}');
  });

  test('renders numbers and booleans as JavaScript does, and null as nothing', () => {
    expect(text('{{a}} {{b}} {{c}} {{d}} [{{e}}]', { a: 1.5, b: 1e21, c: true, d: false, e: null })).toBe(
      '1.5 1e+21 true false []',
    );
    expect(text('{{#e}}some{{/e}}{{^e}}none{{/e}}', { e: null })).toBe('none');
  });

  test('includes partials of its format, and indents them if their tag is alone on a line', () => {
    const partials = { '_partials/p.html': '<i>{{x}}</i>\n<b></b>\n', '_partials/p.txt': '{{x}}\n' };
    const filled = renderFiles(
      { 'subject.txt': 'S', 'body.html': '<p>\n  {{> p}}\n</p>', 'body.txt': 'A\n\t{{>p}}\nZ', ...partials },
      { x: '<' },
    );
    expect(filled).toEqual({ subject: 'S', html: '<p>\n  <i>&lt;</i>\n  <b></b>\n</p>', text: 'A\n\t<\nZ' });
  });

  test('renders the same as the package mustache if no variable is missing', () => {
    const word = fc.constantFrom('a', '<', ' ', '  ', '\n', '\t', '\n\n', 'b c', '}');
    const tag = fc.constantFrom('{{s}}', '{{{s}}}', '{{& n }}', '{{o.s}}', '{{! note }}', '{{ t }}');
    const name = fc.constantFrom('s', 't', 'n', 'o', 'l', 'w', 'z', 'y', 'o.l');
    const include = fc.constantFrom('{{> p}}', '{{>p}}\n', '\n  {{> p }}\n', ' {{>p}} ');
    const { block } = fc.letrec<{ block: string; piece: string }>((tie) => ({
      block: fc.array(tie('piece'), { maxLength: 6 }).map((pieces) => pieces.join('')),
      piece: fc.oneof(
        { maxDepth: 4 },
        word,
        tag,
        include,
        fc
          .tuple(fc.constantFrom('#', '^'), name, tie('block'), fc.constantFrom('', '\n'))
          .map(([sign, of, inner, end]) => `{{${sign}${of}}}${end}${inner}{{/${of}}}${end}`),
      ),
    }));
    const plain = block.map((body) => body.replaceAll(/\{\{>\s*p\s*\}\}/g, 'p'));
    const some = fc.string({ unit: fc.constantFrom('a', '<', '&', "'", '\n', '{{s}}'), maxLength: 4 });
    const record = fc.record({ s: some, n: fc.integer() }, { requiredKeys: [] });
    const variables = fc.record({
      s: some,
      t: fc.oneof(some, fc.boolean(), fc.double({ noNaN: true })),
      n: fc.integer({ min: -1, max: 1 }),
      o: fc.record({ s: some, l: fc.array(some, { maxLength: 2 }) }),
      l: fc.array(record, { maxLength: 3 }),
      w: fc.array(fc.oneof(some, fc.integer()), { maxLength: 3 }),
      z: fc.constantFrom(null, false, 0, '', []),
      y: fc.constant(true),
    });
    fc.assert(
      fc.property(block, plain, variables, (body, partial, given) => {
        const filled = renderFiles(
          { 'body.html': body, 'body.txt': body, '_partials/p.html': partial, '_partials/p.txt': partial },
          given,
        );
        expect(filled.html).toBe(mustache.render(body, given, { p: partial }));
        expect(filled.text).toBe(mustache.render(body, given, { p: partial }, { escape: String }));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a missing variable', () => {
  test('is reported with all others and its pointer, in every kind of tag', () => {
    const files = {
      'subject.txt': '{{a}}',
      'body.html': '{{a}} {{&b.c}} {{#d}}{{/d}}',
      'body.txt': '{{^e}}{{f}}{{/e}}{{#items}}{{g}}{{/items}}{{#text}}{{h/~}}{{/text}}',
    };
    expect(errorsOf(() => renderFiles(files, { b: { x: 1 }, items: [{ g: 1 }, {}], text: 'x' }))).toEqual(
      ['/a', '/b/c', '/d', '/e', '/f', '/items/1/g', '/h~1~0'].map(
        (pointer) => `${pointer} missing_variable`,
      ),
    );
  });

  test('renders as nothing if the template marks it with a question mark', () => {
    expect(text('[{{a?}}][{{b.c?}}]{{#d?}}some{{/d?}}{{^d?}}none{{/d?}}')).toBe('[][]none');
    expect(text('[{{a?}}]{{#d?}}some {{.}}{{/d?}}', { a: 'A', d: 'D' })).toBe('[A]some D');
  });

  test('is missing even if JavaScript has an inherited property of that name', () => {
    const names = [
      'constructor',
      '__proto__',
      'toString',
      'hasOwnProperty',
      'a.length',
      'a.constructor',
      'list.map',
      'n.toFixed',
    ];
    for (const name of names) {
      const variables = { a: 'text', list: ['x'], n: 1 };
      expect(errorsOf(() => text(`{{${name}}}`, variables))).toEqual([
        `/${name.replace('.', '/')} missing_variable`,
      ]);
      expect(text(`{{#${name}?}}x{{/${name}?}}`, variables)).toBe('');
    }
    expect(text('{{constructor}} {{a.length}}', { constructor: 'own', a: { length: 3 } })).toBe('own 3');
    expect(text('{{__proto__.x}}', JSON.parse('{"__proto__": {"x": "own"}}'))).toBe('own');
  });

  test('is reported for at most a hundred pointers', () => {
    expect(errorsOf(() => text('{{#l}}{{x}}{{/l}}', { l: Array(1000).fill({}) }))).toHaveLength(100);
  });
});

describe('rejects', () => {
  test('a list or an object where a text is expected', () => {
    const body = '{{o}} {{l}} {{#l}}{{.}}{{/l}} {{.}}';
    expect(errorsOf(() => text(body, { o: {}, l: [1, [2]] }))).toEqual([
      '/o not_a_text',
      '/l not_a_text',
      '/l/1 not_a_text',
      ' not_a_text',
    ]);
  });

  test('a NUL character', () => {
    expect(errorsOf(() => text('{{a}}', { a: 'x\0' }))).toEqual(['/a control_character']);
  });

  test('half of a surrogate pair', () => {
    expect(errorsOf(() => text('{{a}}', { a: 'x\ud800' }))).toEqual(['/a invalid_unicode']);
  });

  test('a line break in a variable of the subject, but not of other parts', () => {
    const files = { 'subject.txt': 'To {{a}}', 'body.txt': '{{a}}' };
    for (const a of ['x\r\nBcc: eve@example.com', 'x\u2028', 'x\u0000'])
      expect(errorsOf(() => renderFiles(files, { a }))).toEqual(['/a control_character']);
    expect(text('{{a}}', { a: 'x\ny' })).toBe('x\ny');
  });

  test('a subject that has several lines, is empty or too long', () => {
    const subject = (content: string, variables?: Variables) =>
      renderFiles({ 'subject.txt': content, 'body.txt': 'x' }, variables).subject;
    expect(subject('Hello\r\n\n')).toBe('Hello');
    expect(errorsOf(() => subject('a\nb\n'))).toEqual([' control_character']);
    expect(errorsOf(() => subject('{{a}} \n', { a: '' }))).toEqual([' too_short']);
    expect(subject('{{a}}\n', { a: 'x'.repeat(998) })).toHaveLength(998);
    expect(errorsOf(() => subject('{{a}}', { a: 'x'.repeat(999) }))).toEqual([' too_long']);
  });

  test('a result that is too long, before it is rendered', () => {
    const long = 'x'.repeat(1000);
    expect(text('{{#l}}{{t}}{{/l}}', { l: Array(1000).fill(1), t: long })).toHaveLength(1_000_000);
    expect(errorsOf(() => text('{{#l}}{{t}}{{/l}}', { l: Array(1001).fill(1), t: long }))).toEqual([
      ' too_long',
    ]);
    expect(errorsOf(() => renderFiles({ 'body.html': '{{t}}' }, { t: '<'.repeat(300_000) }))).toEqual([
      ' too_long',
    ]);
    expect(
      errorsOf(() => renderFiles({ 'body.html': '{{t}}', 'body.txt': '{{t}}' }, { t: 'x'.repeat(600_000) })),
    ).toEqual([' too_long']);
  });

  test('nested lists and partials that would never end, within a short time', () => {
    const l = Array.from({ length: 20_000 }, (_, index) => index);
    const tookMs = cpuTimeOf(() => {
      for (const inner of ['', '{{x?}}', '{{#x?}}{{/x?}}', '{{^l}}{{/l}}', '{{#l}}{{/l}}']) {
        expect(errorsOf(() => text(`{{#l}}{{#l}}{{#l}}${inner}{{/l}}{{/l}}{{/l}}`, { l }))).toEqual([
          ' too_many',
        ]);
      }
      const doubling = Array.from({ length: 40 }, (_, i) => [
        `_partials/p${i}.txt`,
        `{{> p${i + 1}}}{{> p${i + 1}}}`,
      ]);
      expect(
        errorsOf(() =>
          renderFiles({
            'body.txt': '{{> p0}}',
            ...Object.fromEntries(doubling),
            '_partials/p40.txt': '{{x?}}',
          }),
        ),
      ).toEqual([' too_many']);
    });
    expect(tookMs).toBeLessThan(5000);
  });
});
