/** The files of a container, whether it runs or not. */

import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { fileIcon, folderIcon, linkIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { ApiError } from '../api';
import type { IFailure, IFileEntry, IFolder } from '../shapes';
import type { ILiveModel } from '../tokens';
import { bytes } from '../words';

export class FilesView extends ReactWidget {
  constructor(
    private readonly model: ILiveModel,
    readonly container: string,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-labdock-files');
    this.node.addEventListener('dragover', this.onDrag);
    this.node.addEventListener('drop', this.onDrop);
    void this.open('/');
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.node.removeEventListener('dragover', this.onDrag);
      this.node.removeEventListener('drop', this.onDrop);
      super.dispose();
    }
  }

  get path(): string {
    return this.folder?.path ?? '/';
  }

  async open(path: string): Promise<void> {
    this.asked += 1;
    const { asked } = this;
    try {
      const folder = await this.model.api.files(this.container, path);
      if (asked === this.asked) {
        this.folder = folder;
        this.failure = null;
      }
    } catch (error) {
      if (asked === this.asked) {
        this.failure = error instanceof ApiError ? error : { message: String(error) };
      }
    }
    if (!this.isDisposed) {
      this.update();
    }
  }

  async upload(files: readonly File[]): Promise<void> {
    const { path } = this;
    try {
      for (const [index, file] of files.entries()) {
        this.progress = this.trans.__('Uploading %1 (%2 of %3)', file.name, index + 1, files.length);
        this.update();
        await this.model.api.writeFile(this.container, join(path, file.name), file);
      }
      this.failure = null;
      this.progress = '';
      await this.open(path);
    } catch (error) {
      this.failure = error instanceof ApiError ? error : { message: String(error) };
    }
    this.progress = '';
    if (!this.isDisposed) {
      this.update();
    }
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.querySelector<HTMLElement>('a, button')?.focus();
  }

  protected override render(): JSX.Element {
    const { folder, failure, trans } = this;
    return (
      <>
        <div className="jp-labdock-files-bar">
          <Crumbs path={this.path} open={path => void this.open(path)} trans={trans} />
          <button type="button" title={trans.__('Refresh')} aria-label={trans.__('Refresh')} onClick={() => void this.open(this.path)}>
            <refreshIcon.react tag="span" />
          </button>
          <label className="jp-labdock-button">
            {trans.__('Upload…')}
            <input
              type="file"
              multiple
              onChange={event => {
                void this.upload([...(event.target.files ?? [])]);
                event.target.value = '';
              }}
            />
          </label>
        </div>
        <div role="status" className="jp-labdock-files-status">
          {this.progress}
          {folder?.truncated ? trans.__('Not all names are shown: there are too many') : ''}
        </div>
        {failure && (
          <p role="alert" className="jp-labdock-failure">
            {failure.message} {failure.hint}
          </p>
        )}
        {folder && <Entries folder={folder} view={this} model={this.model} trans={trans} />}
      </>
    );
  }

  private readonly onDrag = (event: DragEvent): void => {
    if (event.dataTransfer?.types.includes('Files')) {
      event.preventDefault();
      event.dataTransfer.dropEffect = 'copy';
    }
  };

  private readonly onDrop = (event: DragEvent): void => {
    if (event.dataTransfer?.files.length) {
      event.preventDefault();
      event.stopPropagation();
      void this.upload([...event.dataTransfer.files]);
    }
  };

  private folder: IFolder | null = null;
  private failure: IFailure | null = null;
  private progress = '';
  private asked = 0;
}

interface ICrumbsProps {
  path: string;
  open(path: string): void;
  trans: TranslationBundle;
}

function Crumbs({ path, open, trans }: ICrumbsProps): JSX.Element {
  const names = path.split('/').filter(Boolean);
  return (
    <nav aria-label={trans.__('Path')} className="jp-labdock-crumbs">
      <button type="button" onClick={() => open('/')} aria-label={trans.__('The root folder')}>
        /
      </button>
      {names.map((name, index) => (
        <button
          type="button"
          key={index}
          aria-current={index === names.length - 1 ? 'page' : undefined}
          onClick={() => open(`/${names.slice(0, index + 1).join('/')}`)}
        >
          {name}
        </button>
      ))}
    </nav>
  );
}

interface IEntriesProps {
  folder: IFolder;
  view: FilesView;
  model: ILiveModel;
  trans: TranslationBundle;
}

function Entries({ folder, view, model, trans }: IEntriesProps): JSX.Element {
  const order = (one: IFileEntry): number => (one.kind === 'folder' ? 0 : 1);
  const entries = [...folder.entries].sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
  const { container } = view;
  return (
    <table className="jp-labdock-table">
      <thead>
        <tr>
          {[trans.__('Name'), trans.__('Size'), trans.__('Mode'), trans.__('Changed'), trans.__('Download')].map(title => (
            <th key={title} scope="col">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {entries.map(one => {
          const path = join(folder.path, one.name);
          const icon = one.kind === 'folder' ? folderIcon : one.kind === 'link' ? linkIcon : fileIcon;
          const isFile = one.kind === 'file';
          const href = isFile ? model.api.fileUrl(container, path) : model.api.archiveUrl(container, path);
          return (
            <tr key={one.name}>
              <th scope="row">
                <icon.react tag="span" className="jp-labdock-files-icon" />
                {one.kind === 'folder' || one.kind === 'link' ? (
                  <button type="button" onClick={() => void view.open(path)}>
                    {one.name}
                  </button>
                ) : (
                  one.name
                )}
                {one.target ? ` → ${one.target}` : ''}
              </th>
              <td>{isFile ? bytes(one.size) : ''}</td>
              <td>{(one.mode & 0o7777).toString(8).padStart(4, '0')}</td>
              <td>{one.mtime ? new Date(one.mtime * 1000).toLocaleString() : ''}</td>
              <td>
                {one.kind !== 'other' && (
                  <a href={href} download={isFile ? one.name : `${one.name}.tar`} aria-label={trans.__('Download %1', one.name)}>
                    {isFile ? trans.__('File') : trans.__('Tar')}
                  </a>
                )}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

export function join(folder: string, name: string): string {
  return `${folder.replace(/\/+$/, '')}/${name}`;
}
