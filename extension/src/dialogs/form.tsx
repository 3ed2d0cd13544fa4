/** A dialog with a few fields, in the look of JupyterLab's own. */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

export interface IField {
  name: string;
  label: string;
  type: 'text' | 'lines' | 'check' | 'choice';
  value?: string | boolean;
  hint?: string;
  placeholder?: string;
  choices?: { value: string; label: string }[];
  required?: boolean;
  /** Half as wide: two of them beside each other. */
  half?: boolean;
}
export type Values = Record<string, string | boolean>;

export class Form extends ReactWidget implements Dialog.IBodyWidget<Values> {
  constructor(
    private readonly fields: readonly IField[],
    private readonly intro?: string
  ) {
    super();
    this.addClass('jp-labdock-form');
    for (const field of fields) {
      this.values[field.name] = field.value ?? (field.type === 'check' ? false : '');
    }
  }

  getValue(): Values {
    return this.values;
  }

  protected override render(): JSX.Element {
    const rows: (IField | IField[])[] = [];
    for (const field of this.fields) {
      const before = rows[rows.length - 1];
      if (field.half && Array.isArray(before) && before.length === 1) {
        before.push(field);
      } else {
        rows.push(field.half ? [field] : field);
      }
    }
    return (
      <>
        {this.intro && <p>{this.intro}</p>}
        {rows.map((row, n) =>
          Array.isArray(row) ? (
            <div className="jp-labdock-columns" key={n}>
              {row.map(field => this.draw(field))}
            </div>
          ) : (
            this.draw(row)
          )
        )}
      </>
    );
  }

  private draw(field: IField): JSX.Element {
    const set = (value: string | boolean): void => {
      this.values[field.name] = value;
    };
    if (field.type === 'check') {
      return (
        <label className="jp-labdock-check" key={field.name}>
          <input
            type="checkbox"
            name={field.name}
            defaultChecked={this.values[field.name] === true}
            onChange={event => set(event.currentTarget.checked)}
          />
          {field.label}
        </label>
      );
    }
    return (
      <label className="jp-labdock-field" key={field.name}>
        <span>{field.label}</span>
        <Control field={field} value={String(this.values[field.name])} set={set} />
        {field.hint && <span className="jp-labdock-hint">{field.hint}</span>}
      </label>
    );
  }

  private readonly values: Values = {};
}

function Control({ field, value, set }: { field: IField; value: string; set: (value: string) => void }): JSX.Element {
  if (field.type === 'choice') {
    return (
      <div className="jp-select-wrapper">
        <select
          className="jp-mod-styled"
          name={field.name}
          defaultValue={value}
          onChange={event => set(event.currentTarget.value)}
        >
          {field.choices!.map(choice => (
            <option key={choice.value} value={choice.value}>
              {choice.label}
            </option>
          ))}
        </select>
      </div>
    );
  }
  if (field.type === 'lines') {
    return (
      <textarea
        className="jp-mod-styled"
        name={field.name}
        rows={2}
        spellCheck={false}
        defaultValue={value}
        placeholder={field.placeholder}
        onChange={event => set(event.currentTarget.value)}
        // A line more, not the dialog's answer.
        onKeyDown={event => event.key === 'Enter' && event.stopPropagation()}
      />
    );
  }
  return (
    <input
      className="jp-mod-styled"
      name={field.name}
      spellCheck={false}
      autoComplete="off"
      defaultValue={value}
      placeholder={field.placeholder}
      required={field.required}
      onChange={event => set(event.currentTarget.value)}
    />
  );
}

/** Show the form: what was filled in, null when it was cancelled or a required field is empty. */
export async function askForm(
  trans: TranslationBundle,
  options: { title: string; does: string; fields: readonly IField[]; intro?: string }
): Promise<Values | null> {
  const dialog = new Dialog<Values>({
    title: options.title,
    body: new Form(options.fields, options.intro),
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.okButton({ label: options.does })],
    focusNodeSelector: 'input, textarea, select'
  });
  const { button, value } = await dialog.launch();
  const missing = options.fields.some(field => field.required && !String(value?.[field.name] ?? '').trim());
  return button.accept && value && !missing ? value : null;
}

/** The lines of a field that are not empty. */
export function lines(value: string | boolean): string[] {
  return String(value)
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean);
}
