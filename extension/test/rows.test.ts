import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type IThings, type IView, makeRows, offsets, windowOf } from '../src/panel/rows';
import type { IContainer } from '../src/shapes';

const VIEW: IView = { filter: '', folded: new Set(), grouping: 'project', ended: true, builtin: false };

function container(name: string, more: Partial<IContainer> = {}): IContainer {
  return {
    id: `id-${name}`,
    name,
    image: 'busybox',
    image_id: 'sha256:1',
    command: 'true',
    state: 'running',
    health: 'none',
    status: 'Up',
    exit_code: 0,
    created: 1,
    started: 1,
    finished: 0,
    ports: [],
    labels: {},
    networks: [],
    mounts: [],
    ...more
  };
}

function things(...containers: IContainer[]): IThings {
  const map = new Map(containers.map(one => [one.id, one]));
  return { containers: map, images: new Map(), networks: new Map(), volumes: new Map() };
}

function shown(given: IThings, view: Partial<IView> = {}): string[] {
  return makeRows(given, { ...VIEW, ...view }).map(row => row.key);
}

test('containers are under their project, those without one come last', () => {
  const keys = shown(things(container('alone'), container('db', { project: 'shop' }), container('a', { project: 'blog' })));
  assert.deepEqual(keys.slice(0, 7), [
    'container',
    'container:project:blog',
    'container/id-a',
    'container:project:shop',
    'container/id-db',
    'container:state:alone',
    'container/id-alone'
  ]);
});

test('without any project there is no heading over everything', () => {
  assert.deepEqual(shown(things(container('a'))).slice(0, 2), ['container', 'container/id-a']);
});

test('what has ended is left out when the user wants it so', () => {
  const given = things(container('on'), container('off', { state: 'exited' }));
  assert.ok(!shown(given, { ended: false }).includes('container/id-off'));
});

test('a filter finds by name, image and port, also in what is folded up', () => {
  const port = { private: 80, type: 'tcp', public: 8080 };
  const given = things(container('web', { ports: [port] }), container('db', { image: 'postgres' }));
  const folded = new Set(['container']);
  assert.deepEqual(shown(given, { filter: '8080', folded }).slice(0, 2), ['container', 'container/id-web']);
  assert.deepEqual(shown(given, { filter: 'POST db', folded }).slice(0, 2), ['container', 'container/id-db']);
  assert.ok(shown(given, { filter: 'nothing' }).includes('container:empty'));
});

test('of a thousand lines a window shows its own and a few more', () => {
  const many = Array.from({ length: 1000 }, (_, n) => container(`c${n}`));
  const tops = offsets(makeRows(things(...many), VIEW));
  const [first, last] = windowOf(tops, 20_000, 600);
  assert.ok(last - first < 30);
  assert.ok(tops[first] <= 20_000 && tops[last] >= 20_600);
  assert.deepEqual(windowOf(tops, 0, 0, 0), [0, 0]);
});
