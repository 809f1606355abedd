import { type IconName, iconPath } from './looks.ts';

export { type IconName, iconPath } from './looks.ts';

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path
        d={iconPath(name)}
        fill="none"
        stroke="currentColor"
        stroke-width={name === 'awaiting' || name === 'dot' ? 2.6 : 1.6}
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
