/** Where one looks for something, and the key that leads there from anywhere. */
import { useEffect, useRef } from 'preact/hooks';
import { Icon } from './icons.tsx';

/** The next box that appears takes the focus. */
let isAwaited = false;
let box: HTMLInputElement | null = null;

/** `/` brings the focus to the search box; `goThere` is called where there is none, and opens a view that has one. */
export function useSearchKey(goThere: () => void): void {
  const latest = useRef(goThere);
  latest.current = goThere;
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const { target } = event;
      const types = target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
      if (event.key !== '/' || types || event.ctrlKey || event.metaKey || event.altKey) return;
      // A question that is asked is answered first.
      if (document.querySelector('dialog[open]') !== null) return;
      event.preventDefault();
      isAwaited = box === null;
      if (box === null) latest.current();
      else box.focus();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
}

export interface SearchBoxProps {
  readonly label: string;
  readonly value: string;
  readonly placeholder?: string;
  readonly onInput: (value: string) => void;
}

/** Inside a form, Enter submits. */
export function SearchBox({ label, value, placeholder, onInput }: SearchBoxProps) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    box = input.current;
    if (isAwaited) box?.focus();
    isAwaited = false;
    return () => {
      box = null;
    };
  }, []);
  return (
    <div class="search">
      <Icon name="search" />
      <input
        ref={input}
        class="input"
        type="search"
        aria-label={label}
        placeholder={placeholder ?? label}
        value={value}
        autocomplete="off"
        spellcheck={false}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
    </div>
  );
}
