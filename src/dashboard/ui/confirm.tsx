/** An act: a button, a question that says what will happen, and what came of it. */
import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { troubleOf } from '../api.ts';
import type { IconName } from './icons.tsx';
import { Modal } from './modal.tsx';
import { Button } from './parts.tsx';
import { Notice } from './states.tsx';

export interface ActProps {
  /** On the button, and on the one that confirms. */
  readonly label: string;
  /** The question: "Pause room alice?". */
  readonly title: string;
  readonly icon?: IconName;
  readonly kind?: 'plain' | 'primary' | 'danger' | 'ghost';
  /** On the confirming button: `danger` where something is lost by it. */
  readonly confirmKind?: 'primary' | 'danger';
  readonly small?: boolean;
  readonly disabled?: boolean;
  /** There is no button; what came of it stays until it is closed. */
  readonly hidden?: boolean;
  /** What will happen, asked of the server before anything does: a dry run. A refusal is shown, and nothing can be confirmed. */
  readonly preview: () => Promise<ComponentChildren>;
  /** Does it; what it resolves with is shown as the result. */
  readonly run: (reason: string | undefined) => Promise<ComponentChildren>;
  /** Asks for a reason, which goes to the audit. */
  readonly asksReason?: boolean;
  readonly onDone?: () => void;
  readonly children?: ComponentChildren;
}

type Step =
  | { readonly at: 'closed' }
  | { readonly at: 'asking' }
  | { readonly at: 'ready'; readonly what: ComponentChildren }
  | { readonly at: 'doing'; readonly what: ComponentChildren }
  | { readonly at: 'done'; readonly result: ComponentChildren }
  | { readonly at: 'refused'; readonly error: unknown };

export function Act(props: ActProps) {
  const { label, title, kind = 'plain', confirmKind = 'primary', small = false, disabled = false, asksReason } = props;
  const [step, setStep] = useState<Step>({ at: 'closed' });
  const [reason, setReason] = useState('');
  const reasonId = useId();
  const icon = props.icon === undefined ? {} : { icon: props.icon };
  const isOver = step.at === 'done' || step.at === 'refused';

  const open = (): void => {
    setReason('');
    setStep({ at: 'asking' });
    props.preview().then(
      (what) => setStep((now) => (now.at === 'asking' ? { at: 'ready', what } : now)),
      (error: unknown) => setStep((now) => (now.at === 'asking' ? { at: 'refused', error } : now)),
    );
  };
  const confirm = (what: ComponentChildren): void => {
    setStep({ at: 'doing', what });
    const given = reason.trim();
    props
      .run(given === '' ? undefined : given)
      .then(
        (result) => setStep({ at: 'done', result }),
        (error: unknown) => setStep({ at: 'refused', error }),
      )
      .finally(() => props.onDone?.());
  };

  return (
    <>
      {props.hidden !== true && (
        <Button kind={kind} small={small} disabled={disabled} onClick={open} {...icon}>
          {props.children ?? label}
        </Button>
      )}
      {step.at !== 'closed' && (
        <Modal
          title={title}
          closeLabel={isOver ? 'Close' : 'Leave it'}
          onClose={() => setStep({ at: 'closed' })}
          actions={
            !isOver && (
              <Button
                kind={confirmKind}
                disabled={step.at !== 'ready'}
                onClick={() => step.at === 'ready' && confirm(step.what)}
                {...icon}
              >
                {step.at === 'doing' ? 'Working …' : label}
              </Button>
            )
          }
        >
          <div aria-live="polite" class="stack">
            {step.at === 'asking' && <p class="muted">Asking what would happen …</p>}
            {(step.at === 'ready' || step.at === 'doing') && <div>{step.what}</div>}
            {step.at === 'done' && (
              <Notice tone="ok" title="Done.">
                {step.result}
              </Notice>
            )}
            {step.at === 'refused' && <Refusal error={step.error} />}
          </div>
          {asksReason === true && (step.at === 'ready' || step.at === 'asking') && (
            <div class="field">
              <label for={reasonId}>Reason, for the audit (optional)</label>
              <input
                id={reasonId}
                class="input"
                maxLength={200}
                value={reason}
                onInput={({ currentTarget }) => setReason(currentTarget.value)}
              />
            </div>
          )}
        </Modal>
      )}
    </>
  );
}

function Refusal({ error }: { readonly error: unknown }) {
  const { title, detail, action, code } = troubleOf(error);
  return (
    <Notice tone="bad" title={`${title}.`}>
      {detail} {action} {code !== null && <code>{code}</code>}
    </Notice>
  );
}
