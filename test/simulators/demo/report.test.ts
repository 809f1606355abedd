import { describe, expect, it } from 'vitest';
import { resultTable, summary, waysToGoOn } from '../../../simulators/demo/report.ts';
import { type Paint, plain } from '../../../simulators/demo/terminal.ts';
import { PRINTED } from './made-up.ts';

const text = (lines: readonly string[]) => `\n${lines.join('\n')}\n`;
const tagged: Paint = (colour, painted) => `<${colour}>${painted}</>`;

describe('the table', () => {
  it('shows the three ways in aligned columns', () => {
    expect(text(resultTable(PRINTED, plain))).toMatchInlineSnapshot(`
      "
                              time  swaps on   after an     after an  lost  duplicates   order
                                      phones  acked one  assumed one                    proven
        Roomline            37.4 s        21          0           21     0           2  87.4 %
        everything at once  19.2 s     7,004          –            –     0           0       –
        fixed 500 ms pause   9.6 s     1,132          –            –     0           0       –
      "
    `);
  });

  it('stays aligned in colours, and marks what is good and what is bad', () => {
    const lines = resultTable(PRINTED, tagged);
    const bare = lines.map((line) => line.replace(/<\/?\w*>/g, '').trimEnd());
    expect(bare).toEqual(resultTable(PRINTED, plain));
    const [, , roomline = '', atOnce = ''] = lines;
    expect(roomline).toMatch(/<yellow> *21<\/>.*<green> *0<\/>.*<yellow> *21<\/>/);
    expect(atOnce).toMatch(/<red> *7,004<\/>/);
  });

  it('marks duplicates beyond the unknown outcomes as bad', () => {
    const roomline = { ...PRINTED.roomline, duplicates: 3 };
    expect(resultTable({ ...PRINTED, roomline }, tagged)[2]).toMatch(/<red> *3<\/>/);
  });
});

describe('the summary', () => {
  it('says what a clean run showed', () => {
    expect(text(summary(PRINTED, plain))).toMatchInlineSnapshot(`
      "
        Roomline: 8,743 acked, 1,257 assumed after 5 s without an ack.
        Where the ack came, the order is proven; after an assumed message it is only likely.
        Swapped in 1,000 rooms with everything at once, in 763 rooms with a fixed pause, in 20 rooms with Roomline.

        Clean: 0 lost, 0 violations of R2 and R3, 0 swaps after an acked message, 2 duplicates for 2 unknown outcomes.
      "
    `);
  });

  it('says what keeps a run from being clean, with examples', () => {
    const roomline = {
      ...PRINTED.roomline,
      lost: 1,
      outcomes: { acked: 9_998, failed: 1 },
      violations: [
        { rule: 'R1_lost' as const, room: 7, message: 2, detail: 'no trace of it' },
        { rule: 'empty_pass' as const, detail: 'fault x struck 0 times' },
      ],
    };
    const lines = summary({ ...PRINTED, roomline, clean: false, problems: ['1 lost', 'empty_pass: 1'] }, plain);
    expect(text(lines)).toMatchInlineSnapshot(`
      "
        Roomline: 9,998 acked, 0 assumed after 5 s without an ack, 1 failed.
        Where the ack came, the order is proven; after an assumed message it is only likely.
        Swapped in 1,000 rooms with everything at once, in 763 rooms with a fixed pause, in 20 rooms with Roomline.

        Not clean: 1 lost; empty_pass: 1.
          R1_lost: room 7, message 2: no trace of it
          empty_pass: fault x struck 0 times
      "
    `);
  });
});

describe('how to go on', () => {
  it('is lines to copy', () => {
    expect(text(waysToGoOn('http://127.0.0.1:8080', 'rl_key', plain))).toMatchInlineSnapshot(`
      "
      Roomline keeps running at http://127.0.0.1:8080: open it in a browser, and sign in with the key. In a terminal:

        KEY=rl_key

        # publish a message
        curl -s -H "authorization: Bearer $KEY" -H 'content-type: application/json' \\
          -d '{"channel":"demo","room":"alice","content":{"text":"Hello"}}' http://127.0.0.1:8080/v1/messages
        # what became of it: with the id of that answer
        curl -s -H "authorization: Bearer $KEY" http://127.0.0.1:8080/v1/messages/ID
        # what its room does, and why
        curl -s -H "authorization: Bearer $KEY" http://127.0.0.1:8080/v1/rooms/demo/alice
        # health and metrics
        curl -s http://127.0.0.1:8080/readyz
        curl -s -H "authorization: Bearer $KEY" http://127.0.0.1:8080/metrics

      Ctrl-C stops everything. The next start goes on from there.
      "
    `);
  });
});
