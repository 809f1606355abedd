/** A number that the publisher's order lacks: what waits for it, and the order to give it up. */
import { useRef } from 'preact/hooks';
import type { RoomView as RoomState } from '../../client/client.ts';
import { api } from '../api.ts';
import { counted, duration, preciseTime } from '../format.ts';
import { Act } from '../ui/confirm.tsx';
import { Notice } from '../ui/states.tsx';

export function GapNotice({ view: { gap, counts, asOf } }: { readonly view: RoomState }) {
  if (gap === undefined) return null;
  return (
    <Notice tone="warn" icon="waiting" title={`Number ${gap.waitsFor} is missing.`}>
      {counted(counts.parked, 'message')} ahead of it in the publisher’s order {counts.parked === 1 ? 'is' : 'are'}{' '}
      parked, for {duration(asOf - gap.since)} so far;{' '}
      {gap.skippedAt === null
        ? 'an operator decides when it is given up.'
        : `it is given up at ${preciseTime(gap.skippedAt)}.`}
    </Notice>
  );
}

/** Stays without its button where there is no gap any more, so that its result does. */
export function SkipGap({ view, onDone }: { readonly view: RoomState; readonly onDone: () => Promise<void> }) {
  const { tenant, channel, room, gap } = view;
  // Confirmed is what was asked about: where the room waits for another number meanwhile, the order is refused.
  const asked = useRef<number | null>(null);
  return (
    <Act
      label="Skip gap"
      icon="skip"
      confirmKind="danger"
      hidden={gap === undefined}
      title={`Skip the gap of room ${room}?`}
      asksReason
      preview={async () => {
        const { waitsFor, room: now } = await api().rooms.skipGap(channel, room, { tenant, dryRun: true });
        asked.current = waitsFor;
        return (
          <div class="stack">
            <p>
              Number {waitsFor} is given up, with all that follow it up to the first that is parked. What is parked
              there gets its place in the room, and is sent in its turn.
            </p>
            <p class="why">
              {counted(now.counts.parked, 'message')} parked. What comes after its number was given up is appended at
              the end, marked as late.
            </p>
          </div>
        );
      }}
      run={async (reason) => {
        const { skipped } = await api().rooms.skipGap(channel, room, {
          tenant,
          waitsFor: asked.current,
          ...(reason === undefined ? {} : { reason }),
        });
        if (skipped === null) return 'Nothing was parked behind it any more.';
        const { first, last } = skipped;
        return `${first === last ? `Number ${first} is` : `Numbers ${first} to ${last} are`} given up; what was parked goes on.`;
      }}
      onDone={() => void onDone()}
    >
      Skip gap…
    </Act>
  );
}
