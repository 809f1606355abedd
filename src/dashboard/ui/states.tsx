/** What stands where there is nothing to show yet, nothing at all, or no way to get it. */
import type { ComponentChildren } from 'preact';
import { type Resource, troubleOf } from '../api.ts';
import { Icon, type IconName } from './icons.tsx';
import { Button, type Tone } from './parts.tsx';

export function Empty({
  title,
  icon = 'empty',
  children,
}: {
  readonly title: string;
  readonly icon?: IconName;
  readonly children?: ComponentChildren;
}) {
  return (
    <div class="state">
      <Icon name={icon} />
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
    </div>
  );
}

export function Loading({ what = 'Loading' }: { readonly what?: string }) {
  return (
    <div class="state" role="status">
      <span class="spinner" aria-hidden="true" />
      <p>{what} …</p>
    </div>
  );
}

export function Failure({ error, retry }: { readonly error: unknown; readonly retry?: (() => void) | undefined }) {
  const { title, detail, action, code, requestId } = troubleOf(error);
  return (
    <div class="state" role="alert">
      <Icon name="trouble" />
      <strong>{title}</strong>
      <p>
        {detail} {action}
      </p>
      {code !== null && (
        <p>
          <code>{code}</code>
          {requestId !== null && (
            <>
              {' · request '}
              <code>{requestId}</code>
            </>
          )}
        </p>
      )}
      {retry !== undefined && (
        <Button icon="retry" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

export interface NoticeProps {
  readonly tone: Tone;
  readonly icon?: IconName;
  readonly title?: string;
  readonly live?: boolean;
  readonly children?: ComponentChildren;
}

export function Notice({ tone, icon, title, live = false, children }: NoticeProps) {
  const shape: IconName = icon ?? (tone === 'ok' ? 'check' : tone === 'calm' || tone === 'info' ? 'ring' : 'trouble');
  return (
    <div class="notice" data-tone={tone} {...(live ? { role: 'status' } : {})}>
      <Icon name={shape} />
      <div>
        {title !== undefined && <strong>{title} </strong>}
        {children}
      </div>
    </div>
  );
}

/** A failure of something that was shown before and still is. */
export function Outdated({ error }: { readonly error: unknown }) {
  const { title, detail } = troubleOf(error);
  return (
    <Notice tone="warn" icon="unplugged" title={`${title}.`} live>
      {detail} What you see is the last that was known.
    </Notice>
  );
}

export interface LoadedProps<T> {
  readonly of: Resource<T>;
  readonly what?: string;
  readonly children: (data: T) => ComponentChildren;
}

/** What was asked for, in whichever state it is. */
export function Loaded<T>({ of: { data, error, loading, refresh }, what, children }: LoadedProps<T>) {
  if (data !== undefined) {
    return (
      <>
        {error !== undefined && <Outdated error={error} />}
        {children(data)}
      </>
    );
  }
  if (error !== undefined) return <Failure error={error} retry={() => void refresh()} />;
  return loading ? <Loading {...(what === undefined ? {} : { what })} /> : null;
}
