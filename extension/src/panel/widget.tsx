/** The sidebar: a toolbar, a filter and the tree, or what is the matter. */

import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { InputGroup } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import React from 'react';

import type { ILiveModel } from '../tokens';
import { Action } from './line';
import { hasLists, Notice } from './notice';
import { StatsWatch } from './stats';
import type { PanelStore } from './store';
import { Tree } from './tree';

export class PanelBody extends ReactWidget {
  constructor(
    private readonly store: PanelStore,
    private readonly commands: CommandRegistry,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-labdock-body');
    this.stats = new StatsWatch(store.model);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.rest();
      document.removeEventListener('visibilitychange', this.look);
      this.stats.dispose();
      super.dispose();
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.look();
  }
  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    document.addEventListener('visibilitychange', this.look);
    this.look();
  }
  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.look();
  }
  protected override onBeforeDetach(message: Message): void {
    document.removeEventListener('visibilitychange', this.look);
    this.rest();
    super.onBeforeDetach(message);
  }

  protected override render(): JSX.Element {
    const { store, commands, trans, stats } = this;
    return <Body store={store} commands={commands} trans={trans} stats={stats} shown={this.shown} />;
  }

  /** Connect while the sidebar is seen, and only then. */
  private readonly look = (): void => {
    const shown = this.isVisible && !document.hidden;
    if (this.isVisible && !this.held) {
      this.held = this.store.model.hold();
    } else if (!this.isVisible) {
      this.rest();
    }
    if (shown !== this.shown) {
      this.shown = shown;
      this.update();
    }
  };

  private rest(): void {
    this.held?.dispose();
    this.held = null;
  }

  private readonly stats: StatsWatch;
  private held: IDisposable | null = null;
  private shown = false;
}

interface IBodyProps {
  store: PanelStore;
  commands: CommandRegistry;
  trans: TranslationBundle;
  stats: StatsWatch;
  shown: boolean;
}

function Body({ store, commands, trans, stats, shown }: IBodyProps): JSX.Element {
  useChanges(store, stats, commands);
  const { model } = store;
  if (!hasLists(model)) {
    return <Notice model={model} commands={commands} trans={trans} />;
  }
  return (
    <>
      <div className="jp-labdock-filter">
        <InputGroup
          type="search"
          placeholder={trans.__('Filter by name, image, port…')}
          aria-label={trans.__('Filter containers, images, networks and volumes')}
          value={store.filter}
          rightIcon="ui-components:search"
          onChange={event => {
            store.filter = event.currentTarget.value;
          }}
          onKeyDown={event => {
            if (event.key === 'Escape') {
              store.filter = '';
            }
          }}
        />
        <Action id="labdock:prune" args={{}} tools={{ commands }} tabIndex={0} />
      </div>
      <Tree store={store} tools={{ trans, commands, stats }} shown={shown} label={trans.__('Containers and images')} />
      <Spoken model={model} trans={trans} />
    </>
  );
}

/** Tells those who can't see it how many run: politely, once for many changes. */
function Spoken({ model, trans }: { model: ILiveModel; trans: TranslationBundle }): JSX.Element {
  const running = [...model.containers.values()].filter(one => one.state === 'running').length;
  return (
    <div className="jp-labdock-spoken" role="status" aria-live="polite">
      {trans._n('%1 container is running', '%1 containers are running', running)}
    </div>
  );
}

/** Draw anew after changes: at most once for each frame. */
function useChanges(store: PanelStore, stats: StatsWatch, commands: CommandRegistry): void {
  const [, draw] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    let frame = 0;
    const later = (): void => {
      frame ||= window.requestAnimationFrame(() => {
        frame = 0;
        draw();
      });
    };
    // What the keyboard does is seen at once.
    store.selectionChanged.connect(draw);
    store.changed.connect(later);
    stats.changed.connect(later);
    commands.commandChanged.connect(later);
    later();
    return () => {
      window.cancelAnimationFrame(frame);
      store.selectionChanged.disconnect(draw);
      store.changed.disconnect(later);
      stats.changed.disconnect(later);
      commands.commandChanged.disconnect(later);
    };
  }, [store, stats, commands]);
}
