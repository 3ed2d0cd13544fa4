/** A dialog with a few fields, in the look of JupyterLab's own. */

import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
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
  /** What is wrong with what was filled in, in words; null: nothing. */
  check?(value: string): string | null;
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

  /** Say what is wrong, and go there: whether all is well. */
  holds(missing: string): boolean {
    this.faults = {};
    for (const { name, required, check } of this.fields) {
      const value = String(this.values[name]);
      const fault = required && !value.trim() ? missing : check?.(value);
      if (fault) {
        this.faults[name] = fault;
      }
    }
    const [first] = Object.keys(this.faults);
    this.update();
    if (first) {
      this.node.querySelector<HTMLElement>(`[name="${first}"]`)?.focus();
    }
    return !first;
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
        <Control
          field={field}
          value={String(this.values[field.name])}
          set={set}
          fault={field.name in this.faults ? `jp-labdock-fault-${field.name}` : undefined}
        />
        {field.hint && <span className="jp-labdock-hint">{field.hint}</span>}
        <span className="jp-labdock-fault" id={`jp-labdock-fault-${field.name}`} role="alert">
          {this.faults[field.name]}
        </span>
      </label>
    );
  }

  private readonly values: Values = {};
  private faults: Record<string, string> = {};
}

interface IControlProps {
  field: IField;
  value: string;
  set(value: string): void;
  /** The id of the words that say what is wrong. */
  fault?: string;
}

function Control({ field, value, set, fault }: IControlProps): JSX.Element {
  const said = { 'aria-invalid': fault !== undefined, 'aria-describedby': fault };
  if (field.type === 'choice') {
    return (
      <HTMLSelect
        name={field.name}
        defaultValue={value}
        options={field.choices}
        onChange={event => set(event.currentTarget.value)}
      />
    );
  }
  if (field.type === 'lines') {
    return (
      <textarea
        className="jp-mod-styled"
        {...said}
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
      {...said}
      className="jp-mod-styled"
      name={field.name}
      spellCheck={false}
      autoComplete="off"
      defaultValue={value}
      placeholder={field.placeholder}
      aria-required={field.required}
      onChange={event => set(event.currentTarget.value)}
    />
  );
}

/** A dialog that is not accepted while its form says that something is wrong: what was filled in stays. */
class FormDialog extends Dialog<Values> {
  constructor(
    private readonly form: Form,
    private readonly accepts: number,
    private readonly missing: string,
    options: Partial<Dialog.IOptions<Values>>
  ) {
    super({ ...options, body: form });
  }

  override resolve(index?: number): void {
    if ((index ?? this.accepts) !== this.accepts || this.form.holds(this.missing)) {
      super.resolve(index);
    }
  }
}

/** Show the form: what was filled in, null when it was cancelled. */
export async function askForm(
  trans: TranslationBundle,
  options: { title: string; does: string; fields: readonly IField[]; intro?: string }
): Promise<Values | null> {
  const dialog = new FormDialog(new Form(options.fields, options.intro), 1, trans.__('This is needed.'), {
    title: options.title,
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.okButton({ label: options.does })],
    focusNodeSelector: 'input, textarea, select'
  });
  const { button, value } = await dialog.launch();
  return button.accept ? value : null;
}

/** The lines of a field that are not empty. */
export function lines(value: string | boolean): string[] {
  return String(value)
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean);
}
