import { styleText } from 'node:util';

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
/** Colours a text, or leaves it alone. */
export type Paint = (colour: Colour, text: string) => string;

export const plain: Paint = (_colour, text) => text;
const coloured: Paint = (colour, text) => styleText(colour, text, { validateStream: false });

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/**
 * Where the demonstration is watched: lines that stay, and below them a block that is drawn again and again. Without a
 * terminal there is no block. When the other end is closed, it falls silent and nothing else happens.
 */
export class Terminal {
  /** Can draw a block. */
  readonly isLive: boolean;
  readonly paint: Paint;
  readonly #output: Output;
  #height = 0;
  #open = true;

  constructor(output: Output, environment: NodeJS.ProcessEnv) {
    this.#output = output;
    this.isLive = output.isTTY === true && environment.TERM !== 'dumb';
    this.paint = this.isLive && !environment.NO_COLOR ? coloured : plain;
    output.on('error', () => {
      this.#open = false;
    });
  }

  /** Lines that stay. The block, if there is one, is gone. */
  print(...lines: readonly string[]): void {
    this.#write(this.#erase() + lines.map((line) => `${line}\n`).join(''));
  }

  /** Draws the block in place of the last one. Does nothing without a terminal. */
  draw(lines: readonly string[]): void {
    if (!this.isLive) return;
    const width = (this.#output.columns ?? 80) - 1;
    const text = this.#erase() + lines.map((line) => `${clip(line, width)}\n`).join('');
    this.#height = lines.length;
    this.#write(text);
  }

  /** One line of a start or stop: replaced by the next one on a terminal, kept elsewhere. */
  step(line: string): void {
    if (this.isLive) this.draw([line]);
    else this.print(line);
  }

  #erase(): string {
    const height = this.#height;
    this.#height = 0;
    return height === 0 ? '' : `\u001b[${height}A\u001b[0J`;
  }

  #write(text: string): void {
    if (this.#open && text !== '') this.#output.write(text);
  }
}

/** A line that wraps would break the block: one that is too long loses its end and its colours. */
function clip(line: string, width: number): string {
  const bare = line.replace(ESCAPES, '');
  return bare.length <= width ? line : bare.slice(0, width);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const ESCAPES = /\u001b\[[\d;]*m/g;
