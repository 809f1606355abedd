import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { OutagePlan } from './outages.ts';
import type { FakePlatformControl } from './platform.ts';
import { readBody } from './server.ts';
import { SettingsError, type SettingsPatch } from './settings.ts';

const MOST_BYTES = 16_777_216;

/** The control API: what the library's `control` does, over HTTP under /control/. */
export const controlHandler =
  (control: FakePlatformControl, ndjson: () => Iterable<Buffer>) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const path = (request.url ?? '').split('?')[0];
    const call = `${request.method} ${path}`;
    if (call === 'GET /control/ground-truth') {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      pipeline(Readable.from(ndjson()), response).catch((error: Error) => response.destroy(error));
      return;
    }
    const run = CALLS[call];
    if (run === undefined) {
      json(response, 404, { error: `no such call: ${call}` });
      return;
    }
    readBody(request, MOST_BYTES, async (body) => {
      try {
        if (body === undefined) throw new SettingsError(`the body has more than ${MOST_BYTES} bytes`);
        json(response, 200, await run(control, body.length === 0 ? {} : parse(body)));
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error;
        json(response, 400, { error: error.message });
      }
    });
  };

type Body = Record<string, unknown>;

const CALLS: Record<string, (control: FakePlatformControl, body: Body) => unknown> = {
  'GET /control/settings': (control) => control.settings,
  'PATCH /control/settings': (control, body) => control.change(body as SettingsPatch),
  'GET /control/stats': (control) => control.stats(),
  'GET /control/outages': (control) => control.outages(),
  'POST /control/outages': (control, body) => {
    control.scheduleOutage(body as OutagePlan);
    return control.outages();
  },
  'DELETE /control/outages': (control) => {
    control.endOutages();
    return control.outages();
  },
  'POST /control/webhooks/hold': (control, body) => {
    control.holdWebhooks(channelOf(body));
    return control.stats();
  },
  'POST /control/webhooks/flush': (control, body) => {
    control.flushWebhooks(channelOf(body));
    return control.stats();
  },
  'POST /control/webhooks/unsubscribe': (control, body) => {
    control.unsubscribeWebhooks(channelOf(body));
    return control.stats();
  },
  'POST /control/webhooks/subscribe': (control, body) => {
    control.subscribeWebhooks(channelOf(body));
    return control.stats();
  },
  'POST /control/webhooks/inject': (control, body) => {
    const { channel, items } = body;
    if (typeof channel !== 'string') throw new SettingsError('channel: must be the name of a channel');
    if (!Array.isArray(items)) throw new SettingsError('items: must be an array');
    control.injectStatuses(channel, items);
    return control.stats();
  },
  'POST /control/webhooks/challenge': (control, body) =>
    control.challengeWebhooks(textOf(body, 'channel'), textOf(body, 'verifyToken')),
};

const textOf = (body: Body, name: string): string => {
  const value = body[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new SettingsError(`${name}: must be a text`);
};

const channelOf = ({ channel }: Body): string | undefined => {
  if (channel === undefined || typeof channel === 'string') return channel;
  throw new SettingsError('channel: must be the name of a channel');
};

const parse = (body: Buffer): Body => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString());
  } catch (error) {
    throw new SettingsError(`the body is not JSON (${(error as Error).message})`, { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new SettingsError('the body must be an object');
  }
  return parsed as Body;
};

const json = (response: ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value, null, 2)}\n`);
};
