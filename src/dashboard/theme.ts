/** Light or dark: as the system has it, unless one has chosen here. */
import { effect, signal } from '@preact/signals';

const STORED = 'roomline.theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const chosen = signal(localStorage.getItem(STORED));
const systemIsDark = signal(system.matches);
/** Rises when colours change: what is drawn on a canvas is drawn anew. */
export const paletteVersion = signal(0);

system.addEventListener('change', () => {
  systemIsDark.value = system.matches;
  paletteVersion.value += 1;
});

effect(() => {
  const theme = chosen.value;
  if (theme === null) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
});

export function isDark(): boolean {
  return chosen.value === null ? systemIsDark.value : chosen.value === 'dark';
}

export function toggleTheme(): void {
  const next = isDark() ? 'light' : 'dark';
  localStorage.setItem(STORED, next);
  chosen.value = next;
  paletteVersion.value += 1;
}

const probe = document.createElement('span');
probe.hidden = true;

/** The colour that a token has at present, such as `rgb(47, 87, 224)`. */
export function colourOf(token: string): string {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(--${token})`;
  return getComputedStyle(probe).color;
}

const motion = matchMedia('(prefers-reduced-motion: reduce)');
export const prefersStillness = signal(motion.matches);
motion.addEventListener('change', () => {
  prefersStillness.value = motion.matches;
});

const narrow = matchMedia('(max-width: 52rem)');
export const isNarrow = signal(narrow.matches);
narrow.addEventListener('change', () => {
  isNarrow.value = narrow.matches;
});
