/** Dragging a line of the sidebar: what is dropped is a cell with the code for it. */

import { MimeData } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';

import type { Kind } from '../shapes';
import type { ILiveModel } from '../tokens';
import { codeFor } from './code';

/** What notebooks take as cells. */
const CELLS = 'application/vnd.jupyter.cells';
/** Pixels that the mouse moves before it is a drag. */
const FAR = 5;

/** Listens for the whole page: the sidebar's lines come and go. */
export function watchDrags(model: ILiveModel): void {
  let pressed: { kind: Kind; id: string; x: number; y: number; name: string } | null = null;
  document.addEventListener(
    'mousedown',
    event => {
      const target = event.target instanceof Element ? event.target : null;
      const line = target?.closest<HTMLElement>('#labdock-panel [data-id][data-kind]');
      const control = target?.closest('button, input, a');
      pressed = null;
      if (line && (!control || !line.contains(control)) && event.button === 0) {
        const { id = '', kind = '' } = line.dataset;
        pressed = { id, kind: kind as Kind, x: event.clientX, y: event.clientY, name: nameOf(model, kind as Kind, id) };
      }
    },
    true
  );
  document.addEventListener('mouseup', () => (pressed = null), true);
  document.addEventListener(
    'mousemove',
    event => {
      if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > FAR) {
        const { kind, id, name } = pressed;
        pressed = null;
        startDrag(model, kind, id, name, event);
      }
    },
    true
  );
}

function nameOf(model: ILiveModel, kind: Kind, id: string): string {
  switch (kind) {
    case 'container':
      return model.containers.get(id)?.name ?? '';
    case 'image':
      return model.images.get(id)?.tags[0] ?? id.replace('sha256:', '').slice(0, 12);
    case 'network':
      return model.networks.get(id)?.name ?? '';
    case 'volume':
      return id;
  }
}

function startDrag(model: ILiveModel, kind: Kind, id: string, name: string, event: MouseEvent): void {
  const source = codeFor(model, kind, id);
  if (!source) {
    return;
  }
  const mimeData = new MimeData();
  mimeData.setData('text/plain', source);
  mimeData.setData(CELLS, [{ cell_type: 'code', source, metadata: {}, outputs: [], execution_count: null }]);
  const dragImage = document.createElement('div');
  dragImage.className = 'jp-labdock-drag';
  dragImage.textContent = name;
  const drag = new Drag({ mimeData, dragImage, proposedAction: 'copy', supportedActions: 'copy', source: model });
  void drag.start(event.clientX, event.clientY).then(() => drag.dispose());
}
