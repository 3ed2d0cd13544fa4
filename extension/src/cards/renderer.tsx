/** An output that shows its things as they are now, or, where that can't be known, the HTML that came with it. */

import { ReactWidget } from '@jupyterlab/apputils';
import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import { Panel, Widget } from '@lumino/widgets';
import React from 'react';

import { CARD_MIME } from '../shapes';
import { UsageFeed } from '../stats/feed';
import type { ILiveModel } from '../tokens';
import { type ICardOf, readCard } from './card';
import { CardFace, find } from './faces';

/** Containers of one card whose figures are asked for. */
const MOST_USAGE = 20;

export interface ICardHost {
  model: ILiveModel;
  commands: CommandRegistry;
  rendermime: IRenderMimeRegistry;
  trans: TranslationBundle;
}

export class CardRenderer extends Panel implements IRenderMime.IRenderer {
  constructor(private readonly host: ICardHost) {
    super();
    this.addClass('jp-labdock-output-card');
    const { model, commands } = host;
    this.held = model.hold();
    this.feed = new UsageFeed(model, 2);
    this.feed.changed.connect(this.refresh, this);
    model.connectionChanged.connect(this.refresh, this);
    model.engineChanged.connect(this.refresh, this);
    commands.commandChanged.connect(this.onCommand, this);
    for (const signal of this.signals) {
      signal.connect(this.refresh, this);
    }
    this.sight = new IntersectionObserver(entries => {
      this.seen = entries[entries.length - 1].isIntersecting;
      this.watch();
    });
    this.sight.observe(this.node);
  }

  async renderModel(output: IRenderMime.IMimeModel): Promise<void> {
    this.card = readCard(output.data[CARD_MIME]);
    this.html?.dispose();
    this.html = null;
    const kind = ['text/html', 'text/plain'].find(type => output.data[type] !== undefined);
    if (kind) {
      const renderer = this.host.rendermime.createRenderer(kind);
      this.html = renderer;
      this.addWidget(renderer);
      await renderer.renderModel(output);
    }
    if (!this.isDisposed) {
      this.present();
    }
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    const { model, commands } = this.host;
    this.sight.disconnect();
    window.cancelAnimationFrame(this.frame);
    this.feed.changed.disconnect(this.refresh, this);
    model.connectionChanged.disconnect(this.refresh, this);
    model.engineChanged.disconnect(this.refresh, this);
    commands.commandChanged.disconnect(this.onCommand, this);
    for (const signal of this.signals) {
      signal.disconnect(this.refresh, this);
    }
    this.feed.dispose();
    this.held.dispose();
    super.dispose();
  }

  private get signals() {
    const { changed } = this.host.model;
    return [changed.container, changed.image, changed.network, changed.volume];
  }

  private onCommand(_: CommandRegistry, change: CommandRegistry.ICommandChangedArgs): void {
    if (change.id?.startsWith('labdock:') && change.type === 'added') {
      this.refresh();
    }
  }

  private refresh(): void {
    if (!this.frame) {
      this.frame = window.requestAnimationFrame(() => {
        this.frame = 0;
        if (!this.isDisposed) {
          this.present();
        }
      });
    }
  }

  /** The card, the HTML, or both when what the card was about is gone. */
  private present(): void {
    const { model } = this.host;
    const { card } = this;
    const running = model.engine?.state === 'running';
    // What was live stays while the connection comes back.
    this.alive = card !== null && (model.current ? running : this.alive && model.connection === 'disconnected');
    const gone = this.alive && card !== null && card.things.every(one => find(model, card.kind, one.id) === null);
    if (this.alive && !this.face && card) {
      this.face = new Face(card, this.host, this.feed);
      this.insertWidget(0, this.face);
    } else if (!this.alive && this.face) {
      this.face.dispose();
      this.face = null;
    }
    this.face?.update();
    this.html?.setHidden(this.alive && !gone);
    this.toggleClass('jp-labdock-mod-gone', gone);
    this.note.setHidden(this.alive || card === null || !model.engine || running);
    if (!this.note.isHidden) {
      this.note.node.textContent = this.host.trans.__('As it was: the engine does not run');
    }
    if (!this.note.parent) {
      this.addWidget(this.note);
    }
    this.watch();
  }

  private watch(): void {
    const { model } = this.host;
    const single = this.card?.kind === 'container' && this.card.single ? this.card.things : [];
    const running = single.filter(one => model.containers.get(one.id)?.state === 'running').slice(0, MOST_USAGE);
    this.feed.watch(this.alive && this.seen ? running.map(one => one.id) : []);
  }

  private readonly held: IDisposable;
  private readonly feed: UsageFeed;
  private readonly sight: IntersectionObserver;
  private readonly note = makeNote();
  private card: ICardOf | null = null;
  private html: IRenderMime.IRenderer | null = null;
  private face: Face | null = null;
  private alive = false;
  private seen = false;
  private frame = 0;
}

class Face extends ReactWidget {
  constructor(
    private readonly card: ICardOf,
    private readonly host: ICardHost,
    private readonly feed: UsageFeed
  ) {
    super();
  }

  protected override render(): JSX.Element {
    const { model, commands, trans } = this.host;
    return <CardFace card={this.card} tools={{ model, commands, trans, feed: this.feed }} />;
  }
}

function makeNote(): Widget {
  const note = new Widget();
  note.addClass('jp-labdock-card-note');
  note.node.setAttribute('role', 'status');
  return note;
}
