import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { Button } from './parts.tsx';

export interface ModalProps {
  readonly title: string;
  readonly wide?: boolean;
  readonly onClose: () => void;
  /** Beside the one that closes it. */
  readonly actions?: ComponentChildren;
  /** On the button that closes it; Escape does the same. */
  readonly closeLabel?: string;
  readonly children: ComponentChildren;
}

/** Above the page for as long as it is drawn; the focus goes back to where it came from. */
export function Modal({ title, wide = false, onClose, actions, closeLabel = 'Close', children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const headingId = useId();
  useEffect(() => {
    const { activeElement } = document;
    dialog.current?.showModal();
    return () => {
      if (activeElement instanceof HTMLElement && activeElement.isConnected) activeElement.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} class={wide ? 'wide' : undefined} aria-labelledby={headingId} onClose={onClose}>
      <div class="dialog">
        <h2 id={headingId}>{title}</h2>
        {children}
        <footer>
          <Button onClick={() => dialog.current?.close()}>{closeLabel}</Button>
          {actions}
        </footer>
      </div>
    </dialog>
  );
}
