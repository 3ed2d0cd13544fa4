import { docker, hold, parts, refusal, running } from './table.mjs';

const addresses = async (c) => (await c.inspect()).NetworkSettings.Networks;
const ran = async (c, ...Cmd) => {
  const made = await c.exec({ Cmd, AttachStdout: true, AttachStderr: true });
  const { out } = await parts(await made.start({ hijack: true, stdin: false }));
  return `${(await made.inspect()).ExitCode} ${out}`;
};

/** The events of what is done: "type action". */
async function events(filters, act) {
  const since = (Date.now() / 1000).toFixed(3);
  await act();
  const stream = await docker.getEvents({ since, until: (Date.now() / 1000 + 0.001).toFixed(3), filters });
  const found = (await stream.toArray()).map(String).join('').split('\n').filter(Boolean).map(JSON.parse);
  return found.map((event) => `${event.Type} ${event.Action}`);
}

await hold([
  ['bridge, host and none are there', async () => (await docker.listNetworks()).map((n) => n.Name).sort(), ['bridge', 'host', 'none']],
  ['a network is made', async (k) => {
    k.n = await docker.createNetwork({ Name: 'front', IPAM: { Config: [{ Subnet: '10.91.0.0/24', Gateway: '10.91.0.1' }] }, Labels: { of: 'table' } });
    return k.n.id;
  }, /^[0-9a-f]{64}$/],
  ['its addresses come back', async (k) => (await k.n.inspect()).IPAM.Config, [{ Subnet: '10.91.0.0/24', Gateway: '10.91.0.1' }]],
  ['a taken name is a 409', () => refusal(docker.createNetwork({ Name: 'front' })), /^409 network with name front already exists/],
  ['taken addresses are refused', () => refusal(docker.createNetwork({ Name: 'back', IPAM: { Config: [{ Subnet: '10.91.0.0/24' }] } })), /^40[03] .*overlaps/],
  ['it is found by its label', async () => (await docker.listNetworks({ filters: { label: ['of=table'] } })).map((n) => n.Name), ['front']],
  ['a container has the address that it asked for', async (k) => {
    k.a = await running('one', { NetworkingConfig: { EndpointsConfig: { front: { IPAMConfig: { IPv4Address: '10.91.0.9' }, Aliases: ['uno'] } } }, HostConfig: { NetworkMode: 'front' } });
    return (await addresses(k.a)).front.IPAddress;
  }, '10.91.0.9'],
  ['another one comes in while it runs', async (k) => {
    k.b = await running('two');
    await k.n.connect({ Container: 'two' });
    return Object.keys(await addresses(k.b)).sort();
  }, ['bridge', 'front']],
  ['a second time is refused', (k) => refusal(k.n.connect({ Container: 'two' })), /^403 .*already exists in network front/],
  ['they know each other by name', (k) => ran(k.b, 'sh', '-c', 'ping -c 1 -W 5 one >/dev/null && ping -c 1 -W 5 uno >/dev/null'), '0 '],
  ['both are in the network', async (k) => Object.values((await k.n.inspect()).Containers).map((c) => c.Name).sort(), ['one', 'two']],
  ['one with containers stays', (k) => refusal(k.n.remove()), /^403 .*has active endpoints/],
  ['one goes out', async (k) => { await k.n.disconnect({ Container: 'two' }); return Object.keys(await addresses(k.b)); }, ['bridge']],
  ['who is not in it cannot go', (k) => refusal(k.n.disconnect({ Container: 'two' })), /^403 .*is not connected to/],
  ['a port is published', async () => {
    const made = await running('port', { ExposedPorts: { '80/tcp': {} }, HostConfig: { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] } } });
    return (await made.inspect()).NetworkSettings.Ports['80/tcp'][0].HostPort;
  }, /^\d+$/],
  ['it goes when nobody is in it', async (k) => { await k.a.remove({ force: true }); await k.n.remove(); return refusal(k.n.inspect()); }, /^404 network .* not found/],
  ['what nobody uses is pruned', async () => { await docker.createNetwork({ Name: 'lone' }); return (await docker.pruneNetworks()).NetworksDeleted; }, ['lone']],
  ['a volume is made', async () => (await docker.createVolume({ Name: 'data', Labels: { of: 'table' } })).Name ?? 'data', 'data'],
  ['its labels come back', async () => (await docker.getVolume('data').inspect()).Labels, { of: 'table' }],
  ['it is listed', async () => (await docker.listVolumes({ filters: { name: ['data'] } })).Volumes.map((v) => v.Name), ['data']],
  ['what is written in it stays', async (k) => {
    k.w = await running('writer', { HostConfig: { Binds: ['data:/data'] } });
    await ran(k.w, 'sh', '-c', 'echo kept > /data/file');
    await k.w.remove({ force: true });
    k.w = await running('reader', { HostConfig: { Mounts: [{ Type: 'volume', Source: 'data', Target: '/data', ReadOnly: true }] } });
    return ran(k.w, 'cat', '/data/file');
  }, '0 kept\n'],
  ['one in use stays: 409', () => refusal(docker.getVolume('data').remove()), /^409 .*volume is in use/],
  ['it goes', async (k) => { await k.w.remove({ force: true }); await docker.getVolume('data').remove(); return refusal(docker.getVolume('data').inspect()); }, /^404 .*no such volume/],
  ['only anonymous ones are pruned', async () => {
    await docker.createVolume({ Name: 'named' });
    const made = await docker.createVolume({});
    const gone = (await docker.pruneVolumes()).VolumesDeleted;
    await docker.getVolume('named').remove();
    return gone.length === 1 && /^[0-9a-f]{64}$/.test(gone[0]);
  }, true],
  ['a life is told as events, in order', () => events({ type: ['container'], container: ['told'] }, async () => {
    const made = await docker.createContainer({ Image: 'busybox', Cmd: ['true'], name: 'told' });
    const waiting = made.wait({ condition: 'removed' });
    await made.start();
    await made.wait();
    await made.remove();
    await waiting;
  }), ['container create', 'container start', 'container die', 'container destroy']],
  ['a network is told of too', () => events({ type: ['network'], event: ['create', 'destroy'] }, async () => {
    await (await docker.createNetwork({ Name: 'told' })).remove();
  }), ['network create', 'network destroy']],
  ['events come while they happen', async () => {
    const stream = await docker.getEvents({ filters: { type: ['volume'] } });
    const first = new Promise((resolve) => stream.once('data', resolve));
    await docker.createVolume({ Name: 'live' });
    const event = JSON.parse(await first);
    stream.destroy();
    await docker.getVolume('live').remove();
    return [event.Action, event.Actor.ID];
  }, ['create', 'live']],
]);
