import { request } from 'undici';
import { Draws, Purpose } from './random.ts';
import { SettingsError } from './settings.ts';
import type { World } from './world.ts';

/** How one replica of a webhook answered the question whether the address is the channel's. */
export interface ChallengeResult {
  url: string;
  /** Asked with the right token: 200 and the challenge, and nothing else, is a pass. */
  right: { status: number; passed: boolean };
  /** Asked with a wrong one: whoever repeats the challenge would repeat it for anybody. */
  wrong: { status: number; passed: boolean };
}

/**
 * Asks every webhook address of a channel, twice, as the platform does when the address is set up. Status 0: no answer
 * within the deadline. Rejects with SettingsError where the platform asks no such question, or the channel has no webhook.
 */
export const challengeWebhooks = async (
  world: World,
  channel: string,
  verifyToken: string,
): Promise<ChallengeResult[]> => {
  const { profile, resolver } = world;
  const urls = resolver.settings.channels[channel]?.webhook?.urls;
  if (urls === undefined) throw new SettingsError(`channel "${channel}" has no webhook`);
  const { deadlineMs } = resolver.channel(channel).webhooks;
  const challenge = String(Draws.of(world.seed, `challenge ${channel}`).integer(Purpose.challenge, 1e8, 2e9));
  const ask = async (url: string, token: string) => {
    const question = profile.challenge?.({ verifyToken: token, challenge });
    if (question === undefined) throw new SettingsError(`the profile "${profile.name}" asks no such question`);
    const { status, body } = await get(`${url}${url.includes('?') ? '&' : '?'}${question.query}`, deadlineMs);
    return { status, repeated: status === 200 && body === question.answer };
  };
  return Promise.all(
    urls.map(async (url) => {
      const right = await ask(url, verifyToken);
      const wrong = await ask(url, `not ${verifyToken}`);
      return {
        url,
        right: { status: right.status, passed: right.repeated },
        wrong: { status: wrong.status, passed: wrong.status !== 0 && !wrong.repeated },
      };
    }),
  );
};

const get = async (url: string, deadlineMs: number): Promise<{ status: number; body: string }> => {
  try {
    const answer = await request(url, { signal: AbortSignal.timeout(deadlineMs) });
    return { status: answer.statusCode, body: await answer.body.text() };
  } catch {
    // Refused, reset or too late: for the platform it is all the same.
    return { status: 0, body: '' };
  }
};
