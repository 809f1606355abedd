import type { ComponentChildren } from 'preact';

export interface Column<T> {
  readonly key: string;
  readonly title: ComponentChildren;
  readonly cell: (row: T) => ComponentChildren;
  /** Numbers stand at the end. */
  readonly end?: boolean;
}

export interface TableProps<T> {
  /** Names the table to a screen reader. */
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly rowKey: (row: T) => string | number;
  readonly isSelected?: (row: T) => boolean;
}

/** A bounded list: whoever has more shows a page of it. */
export function Table<T>({ caption, columns, rows, rowKey, isSelected }: TableProps<T>) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset has no place around a table
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must be reached by keyboard
    <div class="table-frame" role="group" tabIndex={0} aria-label={caption}>
      <table class="table">
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ key, title, end }) => (
              <th key={key} scope="col" class={end === true ? 'end' : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} aria-selected={isSelected?.(row)}>
              {columns.map(({ key, cell, end }) => (
                <td key={key} class={end === true ? 'end' : undefined}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
