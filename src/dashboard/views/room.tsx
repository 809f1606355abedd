/** One room: what it does and why, its messages over time, and what an operator can order. */
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { Link, useSearchParams } from 'wouter-preact';
import type { RoomView as RoomState } from '../../client/client.ts';
import { api, isCode, type Resource, useResource } from '../api.ts';
import { count, counted, duration, preciseTime, words } from '../format.ts';
import { useLiveRoom } from '../live.ts';
import { Act } from '../ui/confirm.tsx';
import { Badge, Button, Card, Facts, Page, Stat, Time, Timeline } from '../ui/parts.tsx';
import { Empty, Failure, Loaded, Notice } from '../ui/states.tsx';
import { eventLook, type Lane, lanesOf, PHASE_LOOKS } from './lanes.ts';
import { GapNotice, SkipGap } from './room-gap.tsx';
import { channelLabel } from './room-links.ts';
import { Swimlane } from './swimlane.tsx';

const BUSY_MS = 1_500;
const IDLE_MS = 8_000;
const PAGE = 60;
/** A message that is linked to has so many after it in the picture. */
const AFTER = 20;
/** Settlements come in bursts; the room is not asked for each of them. */
const LEAST_BETWEEN_MS = 400;

export function RoomView({ channel, room }: { readonly channel: string; readonly room: string }) {
  const [query, setQuery] = useSearchParams();
  const tenant = query.get('tenant') ?? 'default';
  const selected = sequenceIn(query.get('message'));
  /** Messages before this one are shown; null: the newest. */
  const before = sequenceIn(query.get('before'));
  const here = useRef<RoomState | null>(null);
  const state = useResource(
    async () => {
      const [view, timeline] = await Promise.all([
        api().rooms.get(channel, room, { tenant }),
        api().rooms.timeline(channel, room, {
          tenant,
          order: 'newest',
          limit: PAGE,
          ...(before === null ? {} : { cursor: before }),
        }),
      ]);
      here.current = view;
      return { view, timeline };
    },
    [tenant, channel, room, before],
    here.current !== null && here.current.head === null ? IDLE_MS : BUSY_MS,
  );
  const refresh = useThrottled(state.refresh, LEAST_BETWEEN_MS);
  useLiveRoom(tenant, channel, room, refresh);

  const { data } = state;
  const lanes = useMemo(
    () => (data === undefined ? [] : lanesOf([...data.timeline.messages].reverse(), data.view.asOf)),
    [data],
  );
  const place = (
    names: { readonly message?: number | null; readonly before?: number | null },
    replace: boolean,
  ): void =>
    setQuery(
      (now) => {
        const changed = new URLSearchParams(now);
        for (const [name, value] of Object.entries(names)) {
          if (value === null) changed.delete(name);
          else changed.set(name, String(value));
        }
        return changed;
      },
      { replace },
    );
  const select = (message: number): void => place({ message }, true);
  // A link to a message that is older than the newest: the part of the room is shown in which it is.
  const oldest = data?.timeline.cursor ?? null;
  const isElsewhere = before === null && selected !== null && oldest !== null && selected < oldest;
  useEffect(() => {
    if (isElsewhere && selected !== null) place({ before: selected + AFTER + 1 }, true);
  }, [isElsewhere, selected]);

  if (data === undefined && isCode(state.error, 'room_not_found')) {
    return (
      <Page title={room} lead={<Where tenant={tenant} channel={channel} />}>
        <Card>
          <Empty title="No such room" icon="search">
            No message has ever been accepted for it on this channel. <Link href="/rooms">Look for another</Link>
          </Empty>
        </Card>
      </Page>
    );
  }
  return (
    <Page
      title={room}
      lead={<Where tenant={tenant} channel={channel} />}
      actions={data !== undefined && <RoomOrders view={data.view} onDone={state.refresh} />}
    >
      <Loaded of={state} what="Asking for the room">
        {({ view, timeline }) => (
          <>
            <StateLine view={view} />
            <dl class="stats">
              <Stat label="Accepted" value={count(view.counts.accepted)} hint="messages ever" />
              <Stat label="Settled" value={count(view.counts.settled)} />
              <Stat
                label="Not settled"
                value={count(view.counts.waiting)}
                hint={view.head === null ? 'nothing is open' : `head: message ${view.head}`}
              />
              <Stat
                label="In this phase"
                value={duration(view.asOf - view.since)}
                hint={view.until === null ? 'without a deadline' : `deadline ${preciseTime(view.until)}`}
              />
            </dl>
            <GapNotice view={view} />
            <Card
              title="Messages over time"
              flush
              hint={hintOf(lanes, before, timeline.cursor)}
              actions={
                <>
                  {timeline.cursor !== null && (
                    <Button small icon="back" onClick={() => place({ before: timeline.cursor, message: null }, false)}>
                      Earlier
                    </Button>
                  )}
                  {before !== null && (
                    <Button small onClick={() => place({ before: null, message: null }, false)}>
                      Newest
                    </Button>
                  )}
                </>
              }
            >
              {lanes.length === 0 ? (
                <Empty title="No message to show">What has settled longer ago than the history is kept is gone.</Empty>
              ) : (
                <Swimlane lanes={lanes} selected={selected} near={view.head} onSelect={select} />
              )}
            </Card>
            {!isElsewhere && <Chosen lanes={lanes} selected={selected} view={view} onDone={state.refresh} />}
          </>
        )}
      </Loaded>
    </Page>
  );
}

function sequenceIn(text: string | null): number | null {
  const sequence = Number(text);
  return Number.isSafeInteger(sequence) && sequence > 0 ? sequence : null;
}

function hintOf(lanes: readonly Lane[], before: number | null, cursor: number | null): string {
  const [first, last] = [lanes.at(0), lanes.at(-1)];
  if (first === undefined || last === undefined) return 'none';
  if (before !== null) return `${first.message.sequence} to ${last.message.sequence}`;
  return cursor === null ? counted(lanes.length, 'message') : `the newest ${lanes.length}`;
}

function Where({ tenant, channel }: { readonly tenant: string; readonly channel: string }) {
  const query = new URLSearchParams({ channel, ...(tenant === 'default' ? {} : { tenant }) });
  return (
    <>
      Room on channel <Link href={`/?${query}`}>{channelLabel({ tenant, channel })}</Link>
    </>
  );
}

function StateLine({ view }: { readonly view: RoomState }) {
  const [tone, icon, label] = PHASE_LOOKS[view.phase];
  return (
    <Card>
      <div class="room-line">
        <span aria-live="polite">
          <Badge tone={tone} icon={icon}>
            {view.reason === null ? label : `${label}: ${words(view.reason)}`}
          </Badge>
        </span>
        {view.paused && (
          <Badge tone="warn" icon="pause">
            paused
          </Badge>
        )}
        <p>{sentence(view.explanation)}</p>
      </div>
    </Card>
  );
}

interface Ordered {
  readonly changed: boolean;
  readonly effect: string;
  readonly explanation: string;
}

const EFFECTS: Readonly<Record<string, string>> = {
  at_once: 'It takes effect at once.',
  after_attempt: 'It takes effect when the open request has been answered, or has timed out.',
  at_its_turn: 'It takes effect when the messages before it have settled.',
  after_resume: 'It takes effect when the room is resumed.',
};

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function resultOf({ changed, effect, explanation }: Ordered): string {
  return changed ? `${sentence(explanation)} ${EFFECTS[effect] ?? ''}` : `It was so already. ${sentence(explanation)}`;
}

/** What an order means, and what a dry run of it came to. */
function Preview({ about, ordered }: { readonly about: string; readonly ordered: Ordered }) {
  const { changed, effect, explanation } = ordered;
  return (
    <div class="stack">
      <p>{about}</p>
      <p class="why">
        {changed ? (EFFECTS[effect] ?? '') : 'It is so already: nothing changes.'} Afterwards: {explanation}.
      </p>
    </div>
  );
}

const ROOM_ORDERS = {
  pause: {
    label: 'Pause',
    icon: 'pause',
    about:
      'No further attempt begins; a request that is open goes on to its end. Messages are still accepted, and wait.',
  },
  resume: { label: 'Resume', icon: 'play', about: 'The room goes on with its first unsettled message.' },
} as const;

function RoomOrders({ view, onDone }: { readonly view: RoomState; readonly onDone: () => Promise<void> }) {
  const { tenant, channel, room, paused } = view;
  return (
    <>
      <Button icon="retry" kind="ghost" onClick={() => void onDone()}>
        Refresh
      </Button>
      {(['pause', 'resume'] as const).map((order) => {
        const { label, icon, about } = ROOM_ORDERS[order];
        const act = (options: { readonly dryRun?: boolean; readonly reason?: string }) =>
          api().rooms[order](channel, room, { tenant, ...options });
        return (
          <Act
            key={order}
            label={label}
            icon={icon}
            kind={order === 'resume' ? 'primary' : 'plain'}
            hidden={paused !== (order === 'resume')}
            title={`${label} room ${room}?`}
            asksReason
            preview={async () => <Preview about={about} ordered={await act({ dryRun: true })} />}
            run={async (reason) => resultOf(await act(reason === undefined ? {} : { reason }))}
            onDone={() => void onDone()}
          />
        );
      })}
      <SkipGap view={view} onDone={onDone} />
    </>
  );
}

function Chosen({
  lanes,
  selected,
  view,
  onDone,
}: {
  readonly lanes: readonly Lane[];
  readonly selected: number | null;
  readonly view: RoomState;
  readonly onDone: () => Promise<void>;
}) {
  const lane = lanes.find(({ message }) => message.sequence === selected);
  if (selected === null) {
    return lanes.length === 0 ? null : (
      <p class="muted">
        Choose a message to see what happened to it, and what can be done. Arrow keys go from one to the next.
      </p>
    );
  }
  if (lane === undefined) {
    return <Notice tone="calm">Message {selected} is not among those that are shown.</Notice>;
  }
  return <MessageCard key={lane.message.id} lane={lane} view={view} onDone={onDone} />;
}

function MessageCard({
  lane,
  view,
  onDone,
}: {
  readonly lane: Lane;
  readonly view: RoomState;
  readonly onDone: () => Promise<void>;
}) {
  const { message, why } = lane;
  // Asked anew whenever the room has told something new of it.
  const full = useResource(() => api().messages.get(message.id), [message.id, message.events.length, message.outcome]);
  const isHead = view.head === message.sequence;
  const items = message.events.map((event, index) => {
    const { tone, icon, text } = eventLook(event);
    const before = message.events[index - 1];
    return {
      key: `${index}`,
      at: preciseTime(event.at),
      tone,
      icon,
      text: (
        <>
          {text} {before !== undefined && <span class="muted number">+ {duration(event.at - before.at)}</span>}
        </>
      ),
    };
  });
  return (
    <Card
      title={`Message ${message.sequence}`}
      hint={message.messageId}
      actions={<MessageOrders lane={lane} view={view} isHead={isHead} onDone={onDone} />}
    >
      <div class="detail columns">
        <div class="stack">
          <p class="why">{why}</p>
          <Timeline items={items} />
        </div>
        <MessageFacts full={full} />
      </div>
    </Card>
  );
}

type Message = Awaited<ReturnType<ReturnType<typeof api>['messages']['get']>>;

function MessageFacts({ full }: { readonly full: Resource<Message> }) {
  const { data, error } = full;
  if (data === undefined) return error === undefined ? <p class="muted">Asking …</p> : <Failure error={error} />;
  const order = data.order === null ? '–' : <Badge tone={data.order === 'proven' ? 'ok' : 'warn'}>{data.order}</Badge>;
  return (
    <div class="stack">
      <Facts
        items={[
          ['State', data.outcome ?? data.state],
          ['Order', order],
          ['Ack level', data.level],
          ['Accepted', <Time at={data.acceptedAt} />],
          ['Settled', data.settledAt === null ? '–' : <Time at={data.settledAt} />],
          ['Attempts', count(data.attempts.length)],
          ...(data.code === null ? [] : [['Code', <code>{data.code}</code>] as const]),
          ...(data.reason === null ? [] : [['Reason', words(data.reason)] as const]),
          ...(data.notBefore === null ? [] : [['Not before', <Time at={data.notBefore} />] as const]),
          ...(data.expiresAt === null ? [] : [['Expires', <Time at={data.expiresAt} />] as const]),
        ]}
      />
      {data.possiblyDelivered && (
        <Notice tone="warn" title="Possibly delivered.">
          It was not acked, and may have reached the platform all the same.
        </Notice>
      )}
      {data.cancelled && data.outcome === null && (
        <Notice tone="calm" title="Cancelled.">
          It settles when it becomes the head.
        </Notice>
      )}
      <Facts
        items={[
          ['Id', <code>{data.id}</code>],
          ...(data.platformId === null ? [] : [["Platform's id", <code>{data.platformId}</code>] as const]),
          ...(data.replays === undefined ? [] : [['Replays', <code>{data.replays}</code>] as const]),
        ]}
      />
    </div>
  );
}

const ORDERS = {
  skip: {
    label: 'Skip',
    icon: 'skip',
    about: 'The message settles as skipped, and the room goes on with the next one. It is not sent any more.',
  },
  retry: { label: 'Retry', icon: 'retry', about: 'The message is sent at once, in its place before all that follow.' },
  cancel: {
    label: 'Cancel',
    icon: 'cross',
    about: 'The message settles as cancelled without being sent; what has already reached the platform stays there.',
  },
} as const;

function MessageOrders({
  lane,
  view,
  isHead,
  onDone,
}: {
  readonly lane: Lane;
  readonly view: RoomState;
  readonly isHead: boolean;
  readonly onDone: () => Promise<void>;
}) {
  const { id, sequence } = lane.message;
  const isOpen = lane.message.outcome === null;
  const may = {
    retry: isHead && (view.phase === 'held' || view.phase === 'backing_off'),
    skip: isHead,
    cancel: true,
  };
  return (
    <>
      {(['retry', 'skip', 'cancel'] as const).map((order) => {
        const { label, icon, about } = ORDERS[order];
        return (
          <Act
            key={order}
            small
            label={`${label} message`}
            icon={icon}
            kind={order === 'retry' ? 'primary' : 'plain'}
            confirmKind={order === 'retry' ? 'primary' : 'danger'}
            hidden={!isOpen || !may[order]}
            title={`${label} message ${sequence} of room ${view.room}?`}
            asksReason
            preview={async () => <Preview about={about} ordered={await api().messages[order](id, { dryRun: true })} />}
            run={async (reason) => resultOf(await api().messages[order](id, reason === undefined ? {} : { reason }))}
            onDone={() => void onDone()}
          >
            {label}
          </Act>
        );
      })}
    </>
  );
}

/** At most one call in so many ms; the last one is not lost. */
function useThrottled(run: () => Promise<void>, leastMs: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const last = useRef(0);
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    if (timer.current !== undefined) return;
    const wait = Math.max(0, last.current + leastMs - performance.now());
    timer.current = setTimeout(() => {
      timer.current = undefined;
      last.current = performance.now();
      void latest.current();
    }, wait);
  };
}
