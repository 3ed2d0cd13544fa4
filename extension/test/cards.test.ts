/** Cards and code: outputs are hostile, names are words of a command line. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readCard } from '../src/cards/card';
import { codeFor, type IThings } from '../src/drag/code';
import { mimeTypeOf } from '../src/highlight/watch';
import type { IContainer } from '../src/shapes';

const ONE = {
  id: 'a'.repeat(64),
  name: 'web',
  image: 'nginx:1',
  ports: [
    { private: 80, type: 'tcp', public: 8080, ip: '0.0.0.0' },
    { private: 80, type: 'tcp', public: 8080, ip: '::' },
    { private: 53, type: 'udp', public: 5353 },
    { private: 443, type: 'tcp' }
  ],
  mounts: [{ type: 'bind', source: "/it's here", target: '/in', rw: false }],
  networks: ['bridge', 'mine']
} as unknown as IContainer;

test('what is no card is none', () => {
  const wrong = [null, 7, [], {}, { kind: 'container', ids: [] }, { kind: 'container', ids: [{}] }, { kind: 'x', ids: ['a'] }];
  for (const data of [...wrong, { kind: '__proto__', ids: ['a'] }, { kind: 'constructor', ids: ['a'] }]) {
    assert.equal(readCard(data), null, JSON.stringify(data));
  }
  assert.deepEqual(readCard({ kind: 'build', ids: [`sha256:${'b'.repeat(64)}`] }), {
    kind: 'image',
    single: true,
    things: [{ id: `sha256:${'b'.repeat(64)}`, name: 'b'.repeat(12) }],
    title: ''
  });
});

test('the code for a container runs one like it', () => {
  const things = { containers: new Map([[ONE.id, ONE]]), images: new Map(), networks: new Map(), volumes: new Map() };
  assert.equal(
    codeFor(things as IThings, 'container', ONE.id),
    `%container run -d --name web -p 8080:80 -p 5353:53/udp -v '/it'"'"'s here:/in:ro' --network mine nginx:1`
  );
  assert.equal(codeFor(things as IThings, 'container', 'other'), null);
});

test('a cell is what its first line says', () => {
  assert.equal(mimeTypeOf('%%dockerfile -t x\nFROM a'), 'text/x-dockerfile');
  assert.equal(mimeTypeOf('\n%%compose'), 'text/x-yaml');
  assert.equal(mimeTypeOf('%%container run busybox\nls'), 'text/x-sh');
  assert.equal(mimeTypeOf('%%container ps'), null);
  assert.equal(mimeTypeOf('x = 1\n%%dockerfile'), null);
  assert.equal(mimeTypeOf('%%dockerfiles'), null);
});
