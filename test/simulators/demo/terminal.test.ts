import { describe, expect, it } from 'vitest';
import { type Output, Terminal } from '../../../simulators/demo/terminal.ts';

class Recorder implements Output {
  readonly isTTY: boolean;
  readonly columns = 20;
  written = '';
  #fail: (error: Error) => void = () => undefined;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.written += text;
  }

  on(_event: 'error', listener: (error: Error) => void): void {
    this.#fail = listener;
  }

  /** The reader goes away. */
  close(): void {
    this.#fail(new Error('EPIPE'));
  }
}

describe('on a terminal', () => {
  it('a block is replaced by the next one, and by lines that stay', () => {
    const output = new Recorder(true);
    const terminal = new Terminal(output, {});
    terminal.draw(['one', 'two']);
    terminal.draw(['three']);
    terminal.print('stays');
    terminal.print('and this');
    expect(output.written).toBe('one\ntwo\n\u001b[2A\u001b[0Jthree\n\u001b[1A\u001b[0Jstays\nand this\n');
  });

  it('lines of a block never wrap', () => {
    const output = new Recorder(true);
    const terminal = new Terminal(output, {});
    terminal.draw([`${'x'.repeat(10)}${terminal.paint('red', 'y'.repeat(10))}`]);
    expect(output.written).toBe(`${'x'.repeat(10)}${'y'.repeat(9)}\n`);
  });

  it('there are colours, unless they are not wanted', () => {
    const paint = (environment: NodeJS.ProcessEnv) => new Terminal(new Recorder(true), environment).paint('red', 'x');
    expect(paint({})).toBe('\u001b[31mx\u001b[39m');
    expect(paint({ NO_COLOR: '' })).toBe('\u001b[31mx\u001b[39m');
    expect(paint({ NO_COLOR: '1' })).toBe('x');
    expect(paint({ TERM: 'dumb' })).toBe('x');
  });
});

describe('elsewhere', () => {
  it('only lines that stay are written, without colours', () => {
    const output = new Recorder(false);
    const terminal = new Terminal(output, {});
    terminal.draw(['block']);
    terminal.step('step');
    terminal.print(terminal.paint('green', 'line'));
    expect(output.written).toBe('step\nline\n');
  });

  it('nothing more is written when nobody reads it', () => {
    const output = new Recorder(false);
    const terminal = new Terminal(output, {});
    terminal.print('read');
    output.close();
    terminal.print('not read');
    expect(output.written).toBe('read\n');
  });
});
