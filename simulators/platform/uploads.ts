import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { TObject, TProperties } from 'typebox';
import { Type } from 'typebox';
import { Delay, drawDelayMs } from './delay.ts';
import type { Answer, SendRequest } from './profile.ts';
import { Draws, Purpose } from './random.ts';
import type { Refusal } from './settings.ts';
import type { World } from './world.ts';

/** How media gets to the platform: uploaded ahead, or fetched by it from a link. The schema is given that of a refusal. */
export const mediaKnobs = <P extends TProperties>(refusal: TObject<P>) =>
  Type.Object(
    {
      /** From the last byte of an upload to its answer. */
      uploadDelayMs: Delay,
      /** How long an uploaded file can be sent. */
      idLifeMs: Type.Number({ minimum: 0 }),
      /** Every upload is refused with it. */
      uploadRefusal: Type.Union([Type.Null(), refusal]),
      /** How long the platform takes to fetch what an accepted message links to; it leaves for the phone after that. */
      linkDelayMs: Delay,
    },
    { additionalProperties: false },
  );

/** A file as one platform's wire format carries it. */
export interface Upload {
  contentType: string | undefined;
  /** Of the file; undefined where the platform is given a link. */
  bytes: number | undefined;
  link: string | undefined;
}

/** What a profile says of uploads; without it, the platform takes none. */
export interface UploadFormat {
  accepts(method: string, path: string): boolean;
  read(headers: IncomingHttpHeaders, body: Buffer, path: string): Promise<Upload | { refusal: Refusal }>;
  uploaded(id: string): Answer;
  /** How a message is refused that names an id which is unknown or has expired. */
  readonly unknownId: Refusal;
}

interface Stored {
  readonly channel: string;
  readonly at: number;
}

const MOST_BYTES = 16_777_216;

/** The files that were uploaded, by their ids. */
export class Uploads {
  readonly #world: World;
  readonly #stored = new Map<string, Stored>();
  #count = 0;
  /** Uploads that have begun and are not answered. */
  open = 0;

  constructor(world: World) {
    this.#world = world;
  }

  handle(request: IncomingMessage, channel: string | undefined, reply: (answer: Answer) => void): void {
    const u = ++this.#count;
    const begunAt = this.#world.now();
    this.open++;
    let over = false;
    const record = (decision: 'accepted' | 'refused' | 'broken', more: object = {}): void => {
      over = true;
      this.open--;
      const at = this.#world.now();
      this.#world.truth.append({ t: 'upload', u, at, begunAt, channel: channel ?? '', decision, ...more });
      this.#world.checkIdle();
    };
    const refuse = (refusal: Refusal): void => {
      record('refused', refusal.code === undefined ? {} : { fault: refusal.code });
      reply(this.#world.profile.refused(refusal, this.#world.clock.wallMs()));
    };
    request.socket.once('close', () => {
      if (!over) record('broken');
    });
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MOST_BYTES) chunks.push(chunk);
    });
    request.once('end', async () => {
      const format = this.#world.profile.uploads;
      if (channel === undefined || format === undefined) return refuse({ status: 401, code: '190' });
      if (size > MOST_BYTES) return refuse({ status: 413, code: '100' });
      const upload = await format.read(request.headers, Buffer.concat(chunks), request.url ?? '');
      if (over) return;
      const knobs = this.#world.resolver.channel(channel).media;
      if ('refusal' in upload) return refuse(upload.refusal);
      if (knobs.uploadRefusal !== null) return refuse(knobs.uploadRefusal);
      const draws = Draws.of(this.#world.seed, `upload ${u}`);
      this.#world.scheduler.after(drawDelayMs(knobs.uploadDelayMs, draws, Purpose.uploadDelay), () => {
        if (over) return;
        const id = `${1_000_000_000_000_000 + u}`;
        this.#stored.set(id, { channel, at: this.#world.now() });
        const { contentType, bytes, link } = upload;
        record('accepted', {
          id,
          ...(contentType === undefined ? {} : { contentType }),
          ...(bytes === undefined ? {} : { bytes }),
          ...(link === undefined ? {} : { link }),
        });
        reply(format.uploaded(id));
      });
    });
  }

  /** Why a message cannot be sent as it is, where one of its files is not there (any more). */
  refusalOf(channel: string, { mediaIds = [] }: SendRequest): Refusal | undefined {
    const { idLifeMs } = this.#world.resolver.channel(channel).media;
    const missing = mediaIds.some((id) => {
      const stored = this.#stored.get(id);
      return stored === undefined || stored.channel !== channel || this.#world.now() - stored.at > idLifeMs;
    });
    return missing ? this.#world.profile.uploads?.unknownId : undefined;
  }

  /** How long the platform takes to fetch what the message links to. */
  fetchMs(channel: string, { linked = false }: SendRequest, draws: Draws): number {
    const { linkDelayMs } = this.#world.resolver.channel(channel).media;
    return linked ? drawDelayMs(linkDelayMs, draws, Purpose.linkDelay) : 0;
  }
}

/** Where the wire format has media: the members that hold it, and those of them that say which. */
export interface MediaMembers {
  readonly holders: ReadonlySet<string>;
  readonly id: string;
  readonly link: string;
}

/** What a message's media is made of: the ids that it names, and whether it links to anything. */
export const mediaIn = (value: unknown, members: MediaMembers): { mediaIds: string[]; linked: boolean } => {
  const found = { mediaIds: [] as string[], linked: false };
  const look = (inner: unknown): void => {
    if (typeof inner !== 'object' || inner === null) return;
    for (const [name, each] of Object.entries(inner)) {
      if (members.holders.has(name) && typeof each === 'object' && each !== null) {
        const { [members.id]: id, [members.link]: link } = each as Record<string, unknown>;
        if (typeof id === 'string') found.mediaIds.push(id);
        if (typeof link === 'string') found.linked = true;
      }
      look(each);
    }
  };
  look(value);
  return found;
};
