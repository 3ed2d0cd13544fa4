/** What containers use, drawn while it is looked at. */

import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import React from 'react';

import type { IContainer } from '../shapes';
import type { ILiveModel } from '../tokens';
import { bytes, percent } from '../words';
import { type ISample, UsageFeed } from './feed';

/** Five minutes, at one in two seconds. */
const SAMPLES = 150;
const WIDTH = 600;
const HEIGHT = 120;

export class StatsView extends ReactWidget {
  /** `container`: its id; null: all that run. */
  constructor(
    private readonly model: ILiveModel,
    readonly container: string | null,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-labdock-stats');
    this.held = model.hold();
    this.feed = new UsageFeed(model, SAMPLES);
    this.feed.changed.connect(this.update, this);
    model.changed.container.connect(this.update, this);
    model.connectionChanged.connect(this.update, this);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.feed.changed.disconnect(this.update, this);
      this.model.changed.container.disconnect(this.update, this);
      this.model.connectionChanged.disconnect(this.update, this);
      this.feed.dispose();
      this.held.dispose();
      super.dispose();
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.feed.watch(this.container === null ? null : [this.container]);
    this.update();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this.isVisible) {
      this.feed.watch(this.container === null ? null : [this.container]);
    }
  }

  protected override onBeforeHide(message: Message): void {
    super.onBeforeHide(message);
    this.feed.watch([]);
  }

  protected override render(): JSX.Element {
    const { model, trans } = this;
    if (this.container === null) {
      const running = [...model.containers.values()].filter(one => one.state === 'running');
      return <AllUsage containers={running} feed={this.feed} trans={trans} />;
    }
    const one = model.containers.get(this.container);
    const samples = this.feed.samples.get(this.container) ?? [];
    const words = one
      ? one.state === 'running'
        ? trans.__('Waiting for figures…')
        : trans.__('%1 does not run', one.name)
      : model.current
        ? trans.__('The container was removed')
        : trans.__('Not connected');
    return samples.length > 0 ? <Usage samples={samples} trans={trans} /> : <p role="status">{words}</p>;
  }

  private readonly feed: UsageFeed;
  private readonly held: IDisposable;
}

function Usage({ samples, trans }: { samples: readonly ISample[]; trans: TranslationBundle }): JSX.Element {
  const last = samples[samples.length - 1];
  const limit = last.limit > 0 ? trans.__('%1 of %2', bytes(last.memory), bytes(last.limit)) : bytes(last.memory);
  return (
    <>
      <Chart label={trans.__('Processor')} words={percent(last.cpu)} values={samples.map(one => one.cpu)} floor={10} kind="cpu" />
      <Chart label={trans.__('Memory')} words={limit} values={samples.map(one => one.memory)} floor={1e6} kind="memory" />
      <dl className="jp-labdock-stats-figures">
        <Figure term={trans.__('Received')} value={bytes(last.received)} />
        <Figure term={trans.__('Sent')} value={bytes(last.sent)} />
        <Figure term={trans.__('Read')} value={bytes(last.read)} />
        <Figure term={trans.__('Written')} value={bytes(last.write)} />
        <Figure term={trans.__('Processes')} value={String(last.pids)} />
      </dl>
    </>
  );
}

function Figure({ term, value }: { term: string; value: string }): JSX.Element {
  return (
    <div>
      <dt>{term}</dt>
      <dd>{value}</dd>
    </div>
  );
}

interface IChartProps {
  label: string;
  words: string;
  values: readonly number[];
  /** The least that the whole height stands for. */
  floor: number;
  kind: string;
}

export function Chart({ label, words, values, floor, kind }: IChartProps): JSX.Element {
  const line = points(values, floor);
  return (
    <figure className={`jp-labdock-usage jp-labdock-usage-${kind}`}>
      <figcaption>
        <span>{label}</span> <strong>{words}</strong>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${label}: ${words}`}>
        <polygon points={`${line} ${WIDTH},${HEIGHT} ${first(line)},${HEIGHT}`} />
        <polyline points={line} />
      </svg>
    </figure>
  );
}

function first(line: string): string {
  return line.split(',')[0] || '0';
}

/** A line through the values, the newest at the right edge. */
export function points(values: readonly number[], floor: number): string {
  const top = Math.max(floor, ...values) * 1.1;
  const step = WIDTH / (SAMPLES - 1);
  const left = WIDTH - step * (values.length - 1);
  return values.map((value, n) => `${(left + n * step).toFixed(1)},${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`).join(' ');
}

interface IAllProps {
  containers: readonly IContainer[];
  feed: UsageFeed;
  trans: TranslationBundle;
}

function AllUsage({ containers, feed, trans }: IAllProps): JSX.Element {
  if (containers.length === 0) {
    return <p role="status">{trans.__('No container runs')}</p>;
  }
  return (
    <table className="jp-labdock-table">
      <thead>
        <tr>
          {[trans.__('Name'), trans.__('Processor'), trans.__('Memory'), trans.__('Network'), trans.__('Disk')].map(title => (
            <th key={title} scope="col">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {containers.map(one => {
          const samples = feed.samples.get(one.id) ?? [];
          const last = samples[samples.length - 1];
          return (
            <tr key={one.id}>
              <th scope="row">{one.name}</th>
              <td>{last && <Chart label={trans.__('Processor')} words={percent(last.cpu)} values={samples.map(s => s.cpu)} floor={10} kind="cpu" />}</td>
              <td>{last && <Chart label={trans.__('Memory')} words={bytes(last.memory)} values={samples.map(s => s.memory)} floor={1e6} kind="memory" />}</td>
              <td>{last && trans.__('%1 in, %2 out', bytes(last.received), bytes(last.sent))}</td>
              <td>{last && trans.__('%1 read, %2 written', bytes(last.read), bytes(last.write))}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
