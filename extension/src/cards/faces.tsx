/** How cards look: names and labels are text, whatever is in them. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import React from 'react';

import type { IContainer, IPort } from '../shapes';
import type { UsageFeed } from '../stats/feed';
import type { ILiveModel } from '../tokens';
import { bytes, healthWord, percent, stateWord } from '../words';
import { type ICardOf, shortId, type Thing, verbsFor } from './card';

export interface ITools {
  model: ILiveModel;
  commands: CommandRegistry;
  feed: UsageFeed;
  trans: TranslationBundle;
}

export function find(model: ILiveModel, kind: Thing['kind'], id: string): Thing | null {
  const maps = { container: model.containers, image: model.images, network: model.networks, volume: model.volumes };
  const value = maps[kind].get(id);
  return value ? ({ kind, value } as Thing) : null;
}

export function CardFace({ card, tools }: { card: ICardOf; tools: ITools }): JSX.Element {
  const { model, trans } = tools;
  const stale = !model.current;
  return (
    <div
      role="group"
      className={`jp-labdock-card${stale ? ' jp-labdock-mod-stale' : ''}`}
      aria-label={card.title || card.things.map(one => one.name).slice(0, 3).join(', ')}
    >
      {card.title && <h4>{card.title}</h4>}
      {card.single && card.things.length === 1 ? (
        <Single thing={find(model, card.kind, card.things[0].id)} name={card.things[0].name} tools={tools} />
      ) : (
        <Many card={card} tools={tools} />
      )}
      {stale && (
        <p role="status" className="jp-labdock-card-note">
          {trans.__('The connection is lost: this is how it was')}
        </p>
      )}
    </div>
  );
}

function Gone({ name, trans }: { name: string; trans: TranslationBundle }): JSX.Element {
  return (
    <p className="jp-labdock-card-gone">
      <strong>{name}</strong> {trans.__('removed since')}
    </p>
  );
}

function Single({ thing, name, tools }: { thing: Thing | null; name: string; tools: ITools }): JSX.Element {
  const { trans } = tools;
  if (!thing) {
    return <Gone name={name} trans={trans} />;
  }
  return (
    <>
      <div className="jp-labdock-card-head">
        <strong>{nameOf(thing)}</strong>
        {thing.kind === 'container' && <State one={thing.value} trans={trans} />}
        <span className="jp-labdock-card-faint">{aboutOf(thing, trans)}</span>
      </div>
      {thing.kind === 'container' && <Usage one={thing.value} tools={tools} />}
      {thing.kind === 'container' && <Ports one={thing.value} tools={tools} />}
      <Buttons thing={thing} tools={tools} short={false} />
    </>
  );
}

export function State({ one, trans }: { one: IContainer; trans: TranslationBundle }): JSX.Element {
  const health = healthWord(trans, one);
  return (
    <>
      <span className="jp-labdock-badge" data-state={one.state}>
        <span aria-hidden="true">{one.state === 'running' ? '●' : one.state === 'paused' ? '◐' : '○'}</span> {stateWord(trans, one)}
      </span>
      {health && (
        <span className="jp-labdock-badge" data-health={one.health}>
          {health}
        </span>
      )}
    </>
  );
}

function Usage({ one, tools }: { one: IContainer; tools: ITools }): JSX.Element | null {
  const last = tools.feed.last(one.id);
  if (one.state !== 'running' || !last) {
    return null;
  }
  const { trans } = tools;
  return (
    <div className="jp-labdock-card-usage">
      <span>{trans.__('Processor %1', percent(last.cpu))}</span>
      <span>{trans.__('Memory %1', bytes(last.memory))}</span>
    </div>
  );
}

/** Each of a container's TCP ports once. */
function tcpPorts(one: IContainer): IPort[] {
  const found = new Map<number, IPort>();
  for (const port of one.ports) {
    if (port.type === 'tcp' && (!found.has(port.private) || port.public !== undefined)) {
      found.set(port.private, port);
    }
  }
  return [...found.values()].sort((a, b) => a.private - b.private);
}

function Ports({ one, tools }: { one: IContainer; tools: ITools }): JSX.Element | null {
  const { trans, commands } = tools;
  const ports = tcpPorts(one);
  if (ports.length === 0 || one.state !== 'running') {
    return null;
  }
  const canOpen = commands.hasCommand('labdock:open-port');
  return (
    <div className="jp-labdock-card-ports">
      {ports.map(port => {
        const words = port.public === undefined ? String(port.private) : `${port.public} → ${port.private}`;
        return canOpen ? (
          <button
            type="button"
            key={port.private}
            aria-label={trans.__('Open port %1 of %2', port.private, one.name)}
            onClick={() => void commands.execute('labdock:open-port', { id: one.id, port: port.private })}
          >
            {words}
          </button>
        ) : (
          <span key={port.private}>{words}</span>
        );
      })}
    </div>
  );
}

function Buttons({ thing, tools, short }: { thing: Thing; tools: ITools; short: boolean }): JSX.Element {
  const { commands } = tools;
  const id = keyOf(thing);
  const verbs = verbsFor(thing).slice(0, short ? 2 : undefined);
  return (
    <div className="jp-labdock-card-buttons">
      {verbs.map(verb => {
        const command = `labdock:${verb}`;
        const args = { id, kind: thing.kind, menu: true };
        if (!commands.hasCommand(command) || !commands.isVisible(command, args)) {
          return null;
        }
        const label = commands.label(command, args);
        return (
          <button
            type="button"
            key={verb}
            data-verb={verb}
            aria-label={`${label}: ${nameOf(thing)}`}
            title={commands.caption(command, args)}
            disabled={!tools.model.current || !commands.isEnabled(command, args)}
            onClick={() => void commands.execute(command, args)}
          >
            {label}
          </button>
        );
      })}
    </div>
  );
}

function Many({ card, tools }: { card: ICardOf; tools: ITools }): JSX.Element {
  const { model, trans } = tools;
  return (
    <table className="jp-labdock-table">
      <thead>
        <tr>
          <th scope="col">{trans.__('Name')}</th>
          <th scope="col">{card.kind === 'container' ? trans.__('State') : trans.__('About')}</th>
          {card.kind === 'container' && <th scope="col">{trans.__('Image')}</th>}
          {card.kind === 'container' && <th scope="col">{trans.__('Ports')}</th>}
          <th scope="col">{trans.__('Actions')}</th>
        </tr>
      </thead>
      <tbody>
        {card.things.map(({ id, name }) => {
          const thing = find(model, card.kind, id);
          if (!thing) {
            return (
              <tr key={id} className="jp-labdock-card-gone">
                <th scope="row">{name}</th>
                <td colSpan={card.kind === 'container' ? 4 : 2}>{trans.__('removed since')}</td>
              </tr>
            );
          }
          return (
            <tr key={id}>
              <th scope="row">{nameOf(thing)}</th>
              <td>{thing.kind === 'container' ? <State one={thing.value} trans={trans} /> : aboutOf(thing, trans)}</td>
              {thing.kind === 'container' && <td>{thing.value.image}</td>}
              {thing.kind === 'container' && (
                <td>
                  <Ports one={thing.value} tools={tools} />
                </td>
              )}
              <td>
                <Buttons thing={thing} tools={tools} short={true} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function keyOf(thing: Thing): string {
  return thing.kind === 'volume' ? thing.value.name : thing.value.id;
}

function nameOf(thing: Thing): string {
  return thing.kind === 'image' ? thing.value.tags[0] || shortId(thing.value.id) : thing.value.name;
}

function aboutOf(thing: Thing, trans: TranslationBundle): string {
  switch (thing.kind) {
    case 'container':
      return [thing.value.image, shortId(thing.value.id)].join(' · ');
    case 'image': {
      const { id, size, containers } = thing.value;
      const used = trans._n('%1 container', '%1 containers', containers);
      return [shortId(id), bytes(size), used].join(' · ');
    }
    case 'network': {
      const used = trans._n('%1 container', '%1 containers', thing.value.containers.length);
      return [thing.value.driver, ...thing.value.subnets, used].join(' · ');
    }
    case 'volume': {
      const used = trans._n('%1 container', '%1 containers', thing.value.used_by.length);
      return [thing.value.driver, used].join(' · ');
    }
  }
}
