/** What pages are put together from. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { count, duration, fullTime, percent, time } from '../format.ts';
import { Icon, type IconName } from './icons.tsx';
import type { Tone } from './looks.ts';

export type { Tone } from './looks.ts';

const SHAPES: Readonly<Record<Tone, IconName>> = {
  calm: 'ring',
  info: 'sending',
  flow: 'awaiting',
  ok: 'check',
  warn: 'warn',
  bad: 'cross',
  unsure: 'unknown',
};

export interface PageProps {
  readonly title: string;
  readonly lead?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}

/** A view: names the document, and takes the focus when one comes to it, so that it is read out. */
export function Page({ title, lead, actions, children }: PageProps) {
  const page = useRef<HTMLDivElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Roomline`;
  }, [title]);
  useEffect(() => {
    // Unless a part of it has asked for the focus.
    if (page.current?.contains(document.activeElement) !== true) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <div class="page" ref={page}>
      <header class="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lead !== undefined && <p>{lead}</p>}
        </div>
        {actions !== undefined && <div class="row">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

export interface CardProps {
  readonly title?: string;
  readonly hint?: ComponentChildren;
  readonly actions?: ComponentChildren;
  /** Contents reach the edges: for tables and pictures. */
  readonly flush?: boolean;
  readonly class?: string;
  readonly children: ComponentChildren;
}

export function Card({ title, hint, actions, flush = false, class: more = '', children }: CardProps) {
  const id = useId();
  return (
    <section class={`card ${flush ? 'flush' : ''} ${more}`} {...(title === undefined ? {} : { 'aria-labelledby': id })}>
      {title !== undefined && (
        <header>
          <div>
            <h2 id={id}>{title}</h2>
            {hint !== undefined && <p>{hint}</p>}
          </div>
          {actions !== undefined && <div class="row">{actions}</div>}
        </header>
      )}
      <div class="card-body">{children}</div>
    </section>
  );
}

export interface StatProps {
  readonly label: string;
  readonly value: ComponentChildren;
  readonly unit?: string;
  readonly hint?: ComponentChildren;
  readonly tone?: Tone;
  /** Below the value, such as a sparkline or a share. */
  readonly children?: ComponentChildren;
}

/** One number with its name. Several stand together in `<dl class="stats">`. */
export function Stat({ label, value, unit, hint, tone, children }: StatProps) {
  return (
    <div class="stat" data-tone={tone}>
      <dt class="stat-label">{label}</dt>
      <dd class="stat-value">
        {value}
        {unit !== undefined && <small>{unit}</small>}
      </dd>
      {hint !== undefined && <dd class="stat-hint">{hint}</dd>}
      {children !== undefined && <dd>{children}</dd>}
    </div>
  );
}

export interface BadgeProps {
  readonly tone: Tone;
  readonly icon?: IconName;
  readonly children: ComponentChildren;
}

export function Badge({ tone, icon, children }: BadgeProps) {
  return (
    <span class="badge" data-tone={tone}>
      <Icon name={icon ?? SHAPES[tone]} />
      {children}
    </span>
  );
}

export interface ButtonProps {
  readonly kind?: 'plain' | 'primary' | 'danger' | 'ghost';
  readonly icon?: IconName;
  readonly small?: boolean;
  readonly type?: 'button' | 'submit';
  readonly disabled?: boolean;
  readonly onClick?: () => void;
  /** The name where there is no text but an icon only. */
  readonly label?: string;
  readonly pressed?: boolean;
  readonly title?: string;
  readonly children?: ComponentChildren;
}

export function Button({ kind = 'plain', icon, small = false, type = 'button', children, ...rest }: ButtonProps) {
  const { label, pressed, disabled = false, onClick, title } = rest;
  const classes = ['button', kind, small ? 'small' : '', children === undefined ? 'icon-only' : ''].join(' ');
  return (
    <button
      type={type}
      class={classes}
      disabled={disabled}
      onClick={onClick}
      aria-label={label}
      aria-pressed={pressed}
      title={title ?? label}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  );
}

export interface FieldProps {
  readonly label: string;
  readonly hint?: ComponentChildren;
  readonly fault?: string | null;
  /** Gets the id that the label points to, and that of what describes it. */
  readonly children: (ids: { readonly id: string; readonly 'aria-describedby': string }) => ComponentChildren;
}

export function Field({ label, hint, fault = null, children }: FieldProps) {
  const id = useId();
  const described = `${id}-more`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, 'aria-describedby': described })}
      <div id={described}>
        {fault !== null && (
          <p class="fault" role="alert">
            {fault}
          </p>
        )}
        {hint !== undefined && <p class="hint">{hint}</p>}
      </div>
    </div>
  );
}

export interface SelectProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly { readonly value: string; readonly label: string }[];
  readonly onChange: (value: string) => void;
}

/** A choice whose name is for screen readers only: where the values speak for themselves. */
export function Select({ label, value, options, onChange }: SelectProps) {
  return (
    <span class="select">
      <select
        class="input"
        aria-label={label}
        value={value}
        onChange={({ currentTarget }) => onChange(currentTarget.value)}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
      <Icon name="down" />
    </span>
  );
}

export interface TabsProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly tabs: readonly { readonly value: T; readonly label: string; readonly count?: number | undefined }[];
  readonly onChange: (value: T) => void;
}

/** One of several; arrow keys, Home and End move. */
export function Tabs<T extends string>({ label, value, tabs, onChange }: TabsProps<T>) {
  const frame = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = tabs.findIndex((tab) => tab.value === value);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    const tab = tabs[next];
    if (tab === undefined) return;
    onChange(tab.value);
    frame.current?.querySelectorAll('button')[next]?.focus();
  };
  return (
    <div class="tabs" role="radiogroup" aria-label={label} ref={frame} onKeyDown={onKeyDown}>
      {tabs.map((tab) => (
        // biome-ignore lint/a11y/useSemanticElements: a button shows what it is; the group moves like radio buttons
        <button
          key={tab.value}
          type="button"
          role="radio"
          aria-checked={tab.value === value}
          tabIndex={tab.value === value ? 0 : -1}
          onClick={() => onChange(tab.value)}
        >
          {tab.label}
          {tab.count !== undefined && <span class="count">{count(tab.count)}</span>}
        </button>
      ))}
    </div>
  );
}

export interface Part {
  readonly label: string;
  readonly value: number;
  readonly tone: Tone;
}

/** How a whole divides, as a bar and in numbers. */
export function Share({
  label,
  parts,
  legend = true,
}: {
  readonly label: string;
  readonly parts: readonly Part[];
  readonly legend?: boolean;
}) {
  const total = parts.reduce((sum, { value }) => sum + value, 0);
  const shown = parts.filter(({ value }) => value > 0);
  const text = (part: Part): string => `${part.label} ${percent(total === 0 ? null : part.value / total)}`;
  return (
    <div>
      <div class="share" role="img" aria-label={`${label}: ${parts.map(text).join(', ')}`}>
        {shown.map((part) => (
          <span key={part.label} data-tone={part.tone} style={{ flexGrow: part.value, flexBasis: 0 }} />
        ))}
      </div>
      {legend && (
        <div class="share-legend" aria-hidden="true">
          {parts.map((part) => (
            <span key={part.label} class="key" data-tone={part.tone}>
              {text(part)}
            </span>
          ))}
        </div>
      )}
    </div>
  );
}

/** Names and values, side by side. */
export function Facts({ items }: { readonly items: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {items.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Time({ at }: { readonly at: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)} class="number">
      {time(at)}
    </time>
  );
}

/** How long ago; of the moment at which it is drawn. */
export function Ago({ at, now }: { readonly at: number; readonly now: number }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)} class="number">
      {duration(Math.max(0, now - at))}
    </time>
  );
}

export interface TimelineItem {
  readonly key: string;
  readonly at: string;
  readonly tone: Tone;
  readonly icon: IconName;
  readonly text: ComponentChildren;
}

/** What happened, one below the other. */
export function Timeline({ items }: { readonly items: readonly TimelineItem[] }) {
  return (
    <ol class="timeline">
      {items.map(({ key, at, tone, icon, text }) => (
        <li key={key} data-tone={tone}>
          <time>{at}</time>
          <span class="mark">
            <Icon name={icon} />
          </span>
          <div>{text}</div>
        </li>
      ))}
    </ol>
  );
}
