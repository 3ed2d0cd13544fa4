/** Pull an image: each layer's progress, and a button that cancels. */

import { InputDialog } from '@jupyterlab/apputils';
import React from 'react';

import { type ICommandHost, tell } from '../commands/registry';
import type { ILayer } from '../shapes';
import { bytes } from '../words';
import { watchWork } from './work';

export async function askPull(host: ICommandHost, reference: string): Promise<void> {
  const { trans } = host;
  const asked = { title: trans.__('Pull an image'), label: trans.__('Name'), text: reference };
  const { value } = await InputDialog.getText({ ...asked, placeholder: trans.__('debian:stable'), cancelLabel: trans.__('Cancel'), okLabel: trans.__('Pull') });
  if (value?.trim() && (await pull(host, value.trim()))) {
    tell(trans.__('%1 is here.', value.trim()));
  }
}

/** Whether it is here now. */
export function pull(host: ICommandHost, reference: string): Promise<boolean> {
  const { trans, model } = host;
  let layers: Record<string, ILayer> = {};
  return watchWork(model, trans, {
    title: trans.__('Pulling %1', reference),
    kind: 'pull',
    request: { reference },
    take: data => {
      layers = { ...layers, ...data.layers };
    },
    draw: () => {
      // What has no size is said of the whole, and is no layer.
      const known = Object.entries(layers).filter(([id, layer]) => layer.total || /^[\da-f]{12,}$/.test(id));
      const total = known.reduce((sum, [, layer]) => sum + layer.total, 0);
      const current = known.reduce((sum, [, layer]) => sum + Math.min(layer.current, layer.total), 0);
      const text = total ? trans.__('%1 of %2', bytes(current), bytes(total)) : trans.__('Asking the registry…');
      return (
        <>
          <p>{text}</p>
          <progress aria-label={text} max={total || 1} value={total ? current : undefined} />
          {known.slice(0, 12).map(([id, layer]) => (
            <div className="jp-labdock-layer" key={id}>
              <span>{id.slice(0, 12)}</span>
              <span>{layer.status}</span>
              <span>{layer.total ? bytes(layer.total) : ''}</span>
            </div>
          ))}
        </>
      );
    },
    done: () => trans.__('%1 is here.', reference)
  });
}
