/** What can go wrong, at one click: the platform is set so, and messages are handed in. */
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import type { ChannelList } from '../../client/client.ts';
import type { PlatformPatch } from '../../http/development-schemas.ts';
import { api, troubleOf } from '../api.ts';
import { Button } from '../ui/parts.tsx';
import { Notice } from '../ui/states.tsx';
import { manyMessages } from './try-publish.tsx';

interface Scene {
  readonly name: string;
  readonly watch: string;
  readonly patch: PlatformPatch;
}

const ROOMS = 200;
const EACH = 5;
const CALM = { ackLoss: 0, refusals: 0, serverErrors: 0, lostAnswers: 0, phonesOnline: true };

const SCENES: readonly Scene[] = [
  {
    name: 'A calm hour',
    watch: 'Every message waits for the ack of the one before; the order of all is proven.',
    patch: { knobs: CALM, outage: null },
  },
  {
    name: 'A third of the acks is lost',
    watch: 'Those rooms go on after their ack timeout; no other one is slower. Their order is assumed.',
    patch: { knobs: { ...CALM, ackLoss: 0.33 }, outage: null },
  },
  {
    name: 'Answers get lost',
    watch: 'Outcomes are unknown; evidence comes from acks. What is sent again has the same reference, and is counted.',
    patch: { knobs: { ...CALM, lostAnswers: 0.15 }, outage: null },
  },
  {
    name: 'An outage of 15 s',
    watch: 'The channel is stopped and probed. No message fails for it; afterwards the rooms catch up.',
    patch: { knobs: CALM, outage: { kind: 'refuse', forMs: 15_000 } },
  },
];

export function Scenes({ channel }: { readonly channel: ChannelList['channels'][number] }) {
  const [playing, setPlaying] = useState<string | null>(null);
  const [played, setPlayed] = useState<string | null>(null);
  const [error, setError] = useState<unknown>();
  const play = async ({ name, patch }: Scene): Promise<void> => {
    setPlaying(name);
    setPlayed(null);
    setError(undefined);
    try {
      await api().development.changePlatform(patch);
      const messages = manyMessages(channel, `scene-${Date.now().toString(36)}-`, ROOMS, EACH);
      for await (const result of api().publishAll(messages)) if ('error' in result) throw result.error;
      setPlayed(name);
    } catch (refused) {
      setError(refused);
    } finally {
      setPlaying(null);
    }
  };
  return (
    <div class="scenes">
      {SCENES.map((scene) => (
        <div key={scene.name} class="scene">
          <div>
            <strong>{scene.name}</strong>
            <p>{scene.watch}</p>
          </div>
          <Button small icon="play" disabled={playing !== null} onClick={() => void play(scene)}>
            <span>
              Play<span class="hidden">: {scene.name}</span>
            </span>
          </Button>
        </div>
      ))}
      {played !== null && (
        <Notice tone="ok" title={`${played}:`} live>
          {ROOMS * EACH} messages for {ROOMS} rooms are handed in. Watch them above, or in the{' '}
          <Link href="/">overview</Link>.
        </Notice>
      )}
      {error !== undefined && (
        <Notice tone="bad" title={`${troubleOf(error).title}.`} live>
          {troubleOf(error).detail} {troubleOf(error).action}
        </Notice>
      )}
    </div>
  );
}
