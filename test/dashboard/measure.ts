/**
 * `npm run dashboard:measure`: the page while 25,000 rooms are live, as figures: frames, long tasks, memory, and what it
 * costs the process that serves it. `--rooms`, `--messages` (of each) and `--seconds` (of each look) change that.
 */
import { parseArgs } from 'node:util';
import { chromiumIsMissing, findChromium } from './kit/chromium.ts';
import { measureCrowd } from './kit/crowd.ts';

const { values } = parseArgs({
  options: {
    rooms: { type: 'string', default: '25000' },
    messages: { type: 'string', default: '6' },
    seconds: { type: 'string', default: '10' },
  },
});

const VIEWS = [
  { path: '/', name: 'Overview' },
  { path: '/rooms', name: 'Rooms' },
  { path: '/trouble/rooms', name: 'Trouble' },
  { path: '/fleet', name: 'Fleet' },
  { path: '/', name: 'Overview again' },
];

const program = findChromium();
if (program === null) {
  console.error(chromiumIsMissing('this command installs none'));
  process.exit(1);
}
const figures = await measureCrowd({
  program,
  rooms: Number(values.rooms),
  messages: Number(values.messages),
  watchMs: 1_000 * Number(values.seconds),
  views: VIEWS,
  say: (line) => console.log(line),
});
console.table(
  Object.fromEntries(
    figures.views.map(({ view, longTasks, heapBytes, complaints, ...rest }) => [
      view,
      {
        ...rest,
        longTasks: longTasks.count,
        longestTaskMs: longTasks.longestMs,
        longTasksMs: longTasks.totalMs,
        heapMiB: Math.round(heapBytes / 104_857.6) / 10,
        complaints: complaints.length,
      },
    ]),
  ),
);
const percent = (share: number) => `${Math.round(100 * share)} %`;
const { unwatched, watched } = figures.processorShare;
console.log(
  `The process uses ${percent(unwatched)} of a core while nobody looks, ${percent(watched)} while somebody does.`,
);
