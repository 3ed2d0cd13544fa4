/** JSON as the lines of a tree. Pure. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface IJsonRow {
  /** The keys from the top, as JSON: what tells lines apart. */
  path: string;
  level: number;
  key: string;
  /** What it holds, in words; of what has members, how many (and of what kind). */
  kind: 'object' | 'list' | 'string' | 'number' | 'boolean' | 'null';
  text: string;
  count: number;
  /** Undefined where there is nothing to unfold. */
  open?: boolean;
  /** Whether it is what was searched for, and not only on the way there. */
  found: boolean;
}

export interface IJsonView {
  /** Paths whose state is not what their level says. */
  turned: ReadonlySet<string>;
  /** Levels that are open by themselves. */
  depth: number;
  search: string;
}

/** The lines that are shown. With something to search for: what matches by name or value, and the way there, unfolded. */
export function jsonRows(value: Json, view: IJsonView): IJsonRow[] {
  const rows: IJsonRow[] = [];
  const search = view.search.trim().toLowerCase();
  const walk = (path: string[], key: string, one: Json): boolean => {
    const text = textOf(one);
    const members = membersOf(one);
    const matches = search !== '' && (key.toLowerCase().includes(search) || (!members && text.toLowerCase().includes(search)));
    const place = JSON.stringify(path);
    const open = members && members.length > 0 ? isOpen(place, path.length, view, search) : undefined;
    const at = rows.length;
    rows.push({ path: place, level: path.length, key, kind: kindOf(one), text, count: members?.length ?? 0, open, found: matches });
    let below = false;
    if (open || (search && members)) {
      for (const [name, member] of members ?? []) {
        below = walk([...path, name], name, member) || below;
      }
    }
    if (search && !matches && !below) {
      rows.length = at;
      return false;
    }
    if (search && open === false) {
      // Folded by hand: what was found below is counted, not shown.
      rows.length = at + 1;
    }
    return true;
  };
  for (const [name, member] of membersOf(value) ?? []) {
    walk([name], name, member);
  }
  return rows;
}

function isOpen(place: string, level: number, view: IJsonView, search: string): boolean {
  return (search ? true : level <= view.depth) !== view.turned.has(place);
}

/** What is at a path of jsonRows. */
export function jsonAt(value: Json, path: string): Json | undefined {
  let found: Json | undefined = value;
  for (const key of JSON.parse(path) as string[]) {
    found = Array.isArray(found)
      ? found[Number(key)]
      : found && typeof found === 'object' && Object.hasOwn(found, key)
        ? found[key]
        : undefined;
  }
  return found;
}

function membersOf(value: Json): [string, Json][] | null {
  if (Array.isArray(value)) {
    return value.map((one, index) => [String(index), one]);
  }
  return value && typeof value === 'object' ? Object.entries(value) : null;
}

function kindOf(value: Json): IJsonRow['kind'] {
  if (Array.isArray(value)) {
    return 'list';
  }
  return value === null ? 'null' : (typeof value as 'object' | 'string' | 'number' | 'boolean');
}

function textOf(value: Json): string {
  return value !== null && typeof value === 'object' ? '' : typeof value === 'string' ? value : String(value);
}
