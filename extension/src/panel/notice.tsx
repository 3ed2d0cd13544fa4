/** What the sidebar says when there is nothing to list: each state of the engine in words, with the next step. */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import React from 'react';

import { containersIcon } from '../icons';
import type { IEngine, IFinding } from '../shapes';
import type { ILiveModel } from '../tokens';

interface INoticeProps {
  model: ILiveModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/** Whether there is something to list. */
export function hasLists(model: ILiveModel): boolean {
  return model.current && model.engine?.state === 'running';
}

export function Notice({ model, commands, trans }: INoticeProps): JSX.Element {
  const retry = { label: trans.__('Try again'), act: () => model.retry() };
  switch (model.connection) {
    case 'missing':
      return (
        <Card
          title={trans.__('The server part is not there')}
          text={trans.__('This Jupyter server does not have labdock’s server extension.')}
          hint={trans.__('Install labdock where the server runs, and see that “jupyter server extension list” names it.')}
          action={retry}
        />
      );
    case 'refused':
      return (
        <Card
          title={trans.__('Not allowed')}
          text={trans.__('This Jupyter server does not let you use containers.')}
          action={retry}
        />
      );
    case 'disconnected':
      return (
        <Card
          title={trans.__('Connection lost')}
          text={trans.__('The Jupyter server does not answer. Containers go on without it.')}
          hint={trans.__('It is tried again by itself.')}
          action={retry}
        />
      );
    case 'idle':
    case 'connecting':
      return <Waiting text={trans.__('Connecting…')} />;
    case 'connected':
      return <EngineNotice engine={model.engine} commands={commands} trans={trans} />;
  }
}

interface IEngineProps {
  engine: IEngine | null;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

function EngineNotice({ engine, commands, trans }: IEngineProps): JSX.Element {
  const start = (): void => void commands.execute('labdock:start-engine');
  switch (engine?.state) {
    case 'stopped':
      return (
        <Card
          title={trans.__('The engine is not running')}
          text={engine.message || trans.__('It starts within a second or two, and needs no rights of yours but your own.')}
          hint={engine.hint}
          action={{ label: trans.__('Start the engine'), act: start }}
        />
      );
    case 'starting':
      return <Waiting text={trans.__('The engine is starting…')} />;
    case 'unavailable':
      return (
        <Card
          title={trans.__('The engine can’t run here')}
          text={engine.message ?? ''}
          hint={engine.hint}
          findings={engine.findings}
          action={{ label: trans.__('Try again'), act: start }}
        />
      );
    default:
      return <Waiting text={trans.__('Looking for containers…')} />;
  }
}

function Waiting({ text }: { text: string }): JSX.Element {
  return (
    <div className="jp-labdock-notice" role="status">
      <span className="jp-labdock-pulse" aria-hidden="true" />
      <p>{text}</p>
    </div>
  );
}

interface ICardProps {
  title: string;
  text: string;
  hint?: string;
  findings?: IFinding[];
  action: { label: string; act: () => void };
}

function Card({ title, text, hint, findings, action }: ICardProps): JSX.Element {
  return (
    <div className="jp-labdock-notice" role="status">
      <containersIcon.react tag="span" className="jp-labdock-emblem" width="48px" height="48px" />
      <h3>{title}</h3>
      {text && <p>{text}</p>}
      {hint && <p className="jp-labdock-hint">{hint}</p>}
      <button className="jp-Dialog-button jp-mod-accept jp-mod-styled" onClick={action.act}>
        {action.label}
      </button>
      {findings && findings.length > 0 && (
        <ul className="jp-labdock-findings">
          {findings.map((finding, n) => (
            <li key={n}>
              <span className={`jp-labdock-level jp-labdock-mod-${finding.level}`}>{finding.level}</span> {finding.text}
              {finding.hint && <div className="jp-labdock-hint">{finding.hint}</div>}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
