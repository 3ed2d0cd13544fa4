import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { docker, hold, progress, refusal, text } from './table.mjs';

const context = mkdtempSync(join(tmpdir(), 'context-'));
writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nARG word=none\nLABEL of=table\nCOPY file /file\nRUN echo "built $word"\nCMD ["cat", "/file"]\n');
writeFileSync(join(context, 'Broken'), 'FROM busybox\nRUN exit 9\n');
writeFileSync(join(context, 'file'), 'from the context\n');
const src = ['Dockerfile', 'Broken', 'file'];
const said = (lines) => lines.map((line) => line.stream ?? '').join('');
const output = async (image) => String((await docker.run(image, [], null, { HostConfig: { AutoRemove: true } }))[0].StatusCode);
const registry = process.env.LABDOCK_REGISTRY;

await hold([
  ['a build says its steps', async (k) => {
    k.lines = await progress(await docker.buildImage({ context, src }, { t: 'app:1', buildargs: { word: 'here' } }));
    return said(k.lines);
  }, /^Step 1\/6 : FROM busybox\n.*built here\n.*Successfully tagged app:1\n$/s],
  ['its id is an aux line', async (k) => (await docker.getImage('app:1').inspect()).Id === k.lines.find((l) => l.aux).aux.ID, true],
  ['a second build uses the cache', async () => said(await progress(await docker.buildImage({ context, src }, { t: 'app:2', buildargs: { word: 'here' } }))), /Using cache/],
  ['a step that fails is an error with its code', async () => {
    const lines = await progress(await docker.buildImage({ context, src }, { dockerfile: 'Broken' })).catch((error) => [{ error: error.message }]);
    return lines.at(-1).error;
  }, /returned a non-zero code: 9/],
  ['a Dockerfile that is not there is a refusal', () => refusal(docker.buildImage({ context, src: ['file'] }, {})), /Cannot locate specified Dockerfile: Dockerfile|Dockerfile/],
  ['what was built runs', () => output('app:1'), '0'],
  ['its labels are there', async () => (await docker.getImage('app:1').inspect()).Config.Labels, { of: 'table' }],
  ['its names are short', async () => (await docker.getImage('app:1').inspect()).RepoTags.sort(), ['app:1', 'app:2']],
  ['its history goes back to its base', async () => (await docker.getImage('app:1').history())[0].CreatedBy, /CMD \["cat",? "\/file"\]/],
  ['it is listed by reference', async () => (await docker.listImages({ filters: { reference: ['app'] } })).length, 1],
  ['it is listed by label', async () => (await docker.listImages({ filters: { label: ['of=table'] } })).length, 1],
  ['it gets another name', async () => { await docker.getImage('app:1').tag({ repo: 'named', tag: 'x' }); return (await docker.getImage('named:x').inspect()).RepoTags.length; }, 3],
  ['one name goes', async () => docker.getImage('named:x').remove(), [{ Untagged: 'named:x' }]],
  ['an image that is not here is a 404', () => refusal(docker.getImage('nobody:x').inspect()), /^404 .*No such image: nobody:x/],
  ['it is saved and loaded', async (k) => {
    const saved = await docker.getImage('app:2').get();
    k.saved = Buffer.concat(await saved.toArray());
    await docker.getImage('app:2').remove();
    return said(await progress(await docker.loadImage((await import('node:stream')).Readable.from([k.saved]))));
  }, 'Loaded image: app:2\n'],
  ['it is pushed', async (k) => {
    await docker.getImage('app:1').tag({ repo: `${registry}/app`, tag: '1' });
    const lines = await progress(await docker.getImage(`${registry}/app:1`).push({}));
    k.digest = lines.find((line) => line.aux).aux.Digest;
    return k.digest;
  }, /^sha256:[0-9a-f]{64}$/],
  ['and with all its names gone, pulled', async (k) => {
    for (const name of [`${registry}/app:1`, 'app:1', 'app:2']) await docker.getImage(name).remove();
    return (await progress(await docker.pull(`${registry}/app:1`))).at(-1).status;
  }, /^Status: Downloaded newer image for /],
  ['with its digest', async (k) => (await docker.getImage(`${registry}/app:1`).inspect()).RepoDigests[0] === `${registry}/app@${k.digest}`, true],
  ['pulled again, it is up to date', async () => (await progress(await docker.pull(`${registry}/app:1`))).at(-1).status, /^Status: Image is up to date for /],
  ['the registry is asked without a pull', async (k) => (await docker.getImage(`${registry}/app:1`).distribution()).Descriptor.digest === k.digest, true],
  ['what the registry lacks is a 404', () => refusal(docker.pull(`${registry}/none:1`).then(progress)), /^404 .*(repository does not exist|manifest unknown)/],
  ['what was pulled runs', () => output(`${registry}/app:1`), '0'],
  ['an import is an image', async () => {
    const made = await docker.createContainer({ Image: 'busybox' });
    const tar = await made.export();
    const lines = await progress(await docker.importImage(tar, { repo: 'imported', tag: '1' }));
    await made.remove();
    return lines.at(-1).status;
  }, /^sha256:[0-9a-f]{64}$/],
  ['the disk is told of', async () => { const all = await docker.df(); return all.LayersSize > 0 && all.Images.some((i) => i.RepoTags.includes('imported:1')); }, true],
  ['what has no name is pruned', async () => {
    await docker.getImage('imported:1').remove();
    return Number.isInteger((await docker.pruneImages()).SpaceReclaimed);
  }, true],
  ['a build without names is an id in its text', async () => text(await docker.buildImage({ context, src }, { q: true })), /sha256:[0-9a-f]{64}/],
]);
