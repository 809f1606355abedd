/** Development mode: messages handed in and the fake platform's knobs turned, with the engine's answer beside them. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import type { ChannelList } from '../../client/client.ts';
import type { DevelopmentView } from '../../http/development-schemas.ts';
import { api, ownKey, type Resource, troubleOf, useResource } from '../api.ts';
import { count, percent, rate } from '../format.ts';
import { totals } from '../live.ts';
import { Modal } from '../ui/modal.tsx';
import { Button, Card, Field, Page, Stat } from '../ui/parts.tsx';
import { Empty, Loaded, Notice } from '../ui/states.tsx';
import { FakePlatform } from './try-platform.tsx';
import { Publish } from './try-publish.tsx';
import { Scenes } from './try-scenes.tsx';

/** Null for a key that is bound to tenants: it may not ask. */
export async function readDevelopment(): Promise<DevelopmentView | null> {
  const { tenants } = await ownKey();
  return tenants === null ? api().development.get() : null;
}

export function TryView() {
  const development = useResource(readDevelopment, []);
  return (
    <Page
      title="Try it"
      lead="Hand messages in, make the platform worse, and watch every room keep its order."
      actions={
        development.data?.enabled === true &&
        development.data.database !== null && <Reset database={development.data.database} />
      }
    >
      {development.data === null ? (
        <Empty title="Your key may not try">It takes a key that is bound to no tenant.</Empty>
      ) : (
        <Loaded of={development} what="Asking whether one may try">
          {(found) => (found?.enabled === true ? <Desk platform={found.platform} /> : <Off />)}
        </Loaded>
      )}
    </Page>
  );
}

/** What is published goes to the real platforms of the channels: nothing here may do that. */
function Off() {
  return (
    <Notice tone="calm" title="Development mode is off.">
      With <code>development.enabled</code> and a fake platform, as <code>npm start</code> has it, messages are
      published here, and the platform’s knobs turned.
    </Notice>
  );
}

function Desk({ platform }: { readonly platform: boolean }) {
  const channels = useResource(() => api().channels.list(), []);
  return (
    <>
      <Pulse />
      <div class="try">
        <div class="stack">
          <Card title="Publish" hint="Through the API, as a publisher does.">
            <Channels of={channels}>{(all) => <Publish channels={all} />}</Channels>
          </Card>
          {platform && (
            <Card title="Scenes" hint="Each hands in 1,000 messages for 200 rooms.">
              <Channels of={channels}>{([first]) => first !== undefined && <Scenes channel={first} />}</Channels>
            </Card>
          )}
        </div>
        <Card title="The fake platform" hint="What you change holds at once, for every message from now on.">
          {platform ? (
            <FakePlatform />
          ) : (
            <Empty title="There is no fake platform">It is there where development mode names one.</Empty>
          )}
        </Card>
      </div>
    </>
  );
}

interface ChannelsProps {
  readonly of: Resource<ChannelList>;
  readonly children: (channels: ChannelList['channels']) => ComponentChildren;
}

function Channels({ of, children }: ChannelsProps) {
  return (
    <Loaded of={of} what="Asking for the channels">
      {({ channels }) =>
        channels.length === 0 ? <Empty title="There are no channels">Configure one first.</Empty> : children(channels)
      }
    </Loaded>
  );
}

/** What the engine makes of it, now. */
function Pulse() {
  const now = totals.value;
  const stages = now?.stages;
  const slow = (stages?.backingOff.rooms ?? 0) + (stages?.unknown.rooms ?? 0);
  return (
    <dl class="stats">
      <Stat label="Waiting" value={count(stages?.waiting.messages)} hint="behind their heads, or for a permit" />
      <Stat label="Awaiting ack" value={count(stages?.awaitingAck.rooms)} hint="one of each room at the most" />
      <Stat
        label="Backing off, unknown"
        value={count(stages === undefined ? undefined : slow)}
        hint="tried again, or looked into"
        tone={slow > 0 ? 'warn' : 'calm'}
      />
      <Stat
        label="Settled"
        value={now === null ? '–' : rate(now.settledPerSecond)}
        unit="/s"
        hint={now?.ackRate == null ? 'no acks at present' : `${percent(now.ackRate)} of them proven`}
      />
    </dl>
  );
}

function Reset({ database }: { readonly database: string }) {
  const [isOpen, setIsOpen] = useState(false);
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const [error, setError] = useState<unknown>();
  const empty = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await api().development.reset(typed);
      setDone(true);
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  };
  const close = (): void => {
    setIsOpen(false);
    setTyped('');
    setDone(false);
    setError(undefined);
  };
  return (
    <>
      <Button icon="cross" onClick={() => setIsOpen(true)}>
        Empty the database…
      </Button>
      {isOpen && (
        <Modal
          title="Empty the database"
          closeLabel={done ? 'Close' : 'Leave it'}
          onClose={close}
          actions={
            !done && (
              <Button kind="danger" disabled={typed !== database || busy} onClick={() => void empty()}>
                {busy ? 'Emptying …' : 'Empty it'}
              </Button>
            )
          }
        >
          {done ? (
            <Notice tone="ok" title="Done." live>
              {database} holds no rooms and no messages. <Link href="/">See the overview</Link>
            </Notice>
          ) : (
            <>
              <p>
                All rooms, messages, dead letters, failures and charts of <code>{database}</code> are deleted, for good.
                Channels, keys and the audit stay.
              </p>
              <Field label="Name of the database" hint={`Type ${database} to confirm.`}>
                {(ids) => (
                  <input
                    {...ids}
                    class="input mono"
                    autocomplete="off"
                    spellcheck={false}
                    value={typed}
                    onInput={({ currentTarget }) => setTyped(currentTarget.value)}
                  />
                )}
              </Field>
              {error !== undefined && (
                <Notice tone="bad" title={`${troubleOf(error).title}.`} live>
                  {troubleOf(error).detail} {troubleOf(error).action}
                </Notice>
              )}
            </>
          )}
        </Modal>
      )}
    </>
  );
}
