/* Writes locale/labdock.pot: every text that plugins hand to trans.__ and its kin, and those of the settings' schemas.
 *     node messages.mjs [--check]      (--check: fails when the file is not what it would write) */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = dirname(fileURLToPath(import.meta.url));
const target = join(root, 'locale', 'labdock.pot');
/** Method → positions of context, text and plural among its arguments (@jupyterlab/translation). */
const METHODS = { __: [-1, 0, -1], gettext: [-1, 0, -1], _n: [-1, 0, 1], ngettext: [-1, 0, 1], _p: [0, 1, -1], pgettext: [0, 1, -1], _np: [0, 1, 2] };
/** Places in a schema that JupyterLab translates, each with its context (jupyterlab_server.translation_utils). */
const PLACES = [
  [/^\/(properties|definitions\/.*\/properties)\/.*\/(title|description)$/, 'settings'],
  [/^\/(title|description)$/, 'schema'],
  [/^\/jupyter\.lab\.setting-icon-label$/, 'settings'],
  [/^\/jupyter\.lab\.menus\/.*\/label$/, 'menu'],
  [/^\/jupyter\.lab\.toolbars\/.*\/label$/, 'toolbar']
];

const found = new Map();
function add(place, text, plural = '', context = '') {
  const key = `${context}\u0004${text}`;
  const one = found.get(key) ?? { context, text, plural, places: new Set() };
  one.places.add(place);
  one.plural ||= plural;
  found.set(key, one);
}

function files(folder, ends) {
  return readdirSync(join(root, folder), { recursive: true })
    .map(name => join(root, folder, name))
    .filter(name => ends.some(end => name.endsWith(end)) && !name.endsWith('.d.ts'))
    .sort();
}

let broken = 0;
for (const file of files('src', ['.ts', '.tsx'])) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022, true);
  const walk = node => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const positions = Object.hasOwn(METHODS, node.expression.name.text) ? METHODS[node.expression.name.text] : null;
      if (positions) {
        const place = `${relative(root, file)}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
        const words = positions.map(position => (position < 0 ? '' : literal(node.arguments[position])));
        if (words.includes(null)) {
          console.error(`${place}: a text that is put together can't be translated`);
          broken += 1;
        } else {
          add(place, words[1], words[2], words[0]);
        }
      }
    }
    ts.forEachChild(node, walk);
  };
  walk(source);
}

function literal(node) {
  return node && ts.isStringLiteralLike(node) ? node.text : null;
}

for (const file of files('schema', ['.json'])) {
  const walk = (value, path) => {
    if (value && typeof value === 'object') {
      Object.entries(value).forEach(([name, inner]) => walk(inner, `${path}/${name}`));
    } else if (typeof value === 'string') {
      const context = PLACES.find(([pattern]) => pattern.test(path))?.[1];
      if (context) {
        add(relative(root, file), value, '', context);
      }
    }
  };
  walk(JSON.parse(readFileSync(file, 'utf8')), '');
}

const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
const header = [
  'msgid ""',
  'msgstr ""',
  `"Project-Id-Version: labdock ${version}\\n"`,
  '"MIME-Version: 1.0\\n"',
  '"Content-Type: text/plain; charset=UTF-8\\n"',
  '"Content-Transfer-Encoding: 8bit\\n"',
  '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"'
].join('\n');
const entries = [...found.values()].map(({ context, text, plural, places }) =>
  [
    // Without the lines' numbers: a change elsewhere in the file is no change here.
    `#: ${[...new Set([...places].map(place => place.replace(/:\d+$/, '')))].join(' ')}`,
    ...(/%\d/.test(text) ? ['#, jupyterlab-format'] : []),
    ...(context ? [`msgctxt ${JSON.stringify(context)}`] : []),
    `msgid ${JSON.stringify(text)}`,
    ...(plural ? [`msgid_plural ${JSON.stringify(plural)}`, 'msgstr[0] ""', 'msgstr[1] ""'] : ['msgstr ""'])
  ].join('\n')
);
const written = `${[header, ...entries].join('\n\n')}\n`;
if (broken) {
  process.exit(1);
} else if (process.argv.includes('--check')) {
  if (!existsSync(target) || readFileSync(target, 'utf8') !== written) {
    console.error('locale/labdock.pot is not what the sources say: jlpm messages writes it');
    process.exit(1);
  }
} else {
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, written);
  console.log(`${relative(root, target)}: ${found.size} texts`);
}
