/** What a platform's adapter is given. */
import type { ChannelKey, PlatformChannel } from '../engine/ports.ts';

/** A text that shows itself only on request. */
export interface Revealable {
  reveal(): string;
}

/** One sender as the configuration describes it. */
export interface PlatformChannelConfig {
  /** Absolute, without query or fragment: https, or http on a loopback host. */
  readonly baseUrl: string;
  readonly accessToken: Revealable;
  /** Newest first; every one of them may sign. */
  readonly webhookSecrets: readonly Revealable[];
  readonly lookup: boolean;
  readonly maxConcurrentSends: number;
  readonly sendTimeoutMs: number;
  /** Absent: media is never uploaded ahead. */
  readonly media?: MediaSettings;
  /** What only this platform needs; exactly one of them is there, that of the channel's platform. */
  readonly whatsapp?: WhatsAppSettings;
  readonly messenger?: MessengerSettings;
  readonly instagram?: InstagramSettings;
  readonly twilio?: TwilioSettings;
  readonly vonage?: VonageSettings;
}

/** Media of waiting messages, uploaded ahead where the platform has a way. */
export interface MediaSettings {
  readonly prepare: boolean;
  /** `host` or `host:port`: may be fetched from whatever their addresses are. */
  readonly allowedHosts: readonly string[];
  readonly maxConcurrent: number;
  /** For all that one message links to, fetched and uploaded. */
  readonly timeoutMs: number;
}

export interface WhatsAppSettings {
  readonly phoneNumberId: string;
  /** Such as `v25.0`. */
  readonly apiVersion: string;
  /** Answers the question with which Meta checks a webhook address. */
  readonly verifyToken?: Revealable;
}

export interface MessengerSettings {
  readonly pageId: string;
  readonly apiVersion: string;
  readonly verifyToken?: Revealable;
}

export interface InstagramSettings {
  /** The professional account's id, as webhooks name it. */
  readonly accountId: string;
  readonly apiVersion: string;
  readonly verifyToken?: Revealable;
}

export interface TwilioSettings {
  readonly accountSid: string;
  /** A number, `whatsapp:+…`, or a messaging service (`MG…`). */
  readonly from: string;
}

export interface VonageSettings {
  readonly from: string;
  readonly channel: 'sms' | 'whatsapp' | 'messenger' | 'viber_service' | 'mms' | 'rcs';
  /** With it `accessToken` is the application's private key (PEM) and requests carry a JWT; else it is `key:secret`. */
  readonly applicationId?: string;
}

export interface PlatformDependencies {
  /** Unix time in ms, for dates that platforms name. */
  readonly wallClockMs: () => number;
  /** The address that the platform is to call, as the outside sees it, or null where none is configured. */
  readonly webhookUrl: string | null;
}

/** Where a platform calls a channel, as the outside sees it. */
export function webhookUrlOf(publicUrl: string | undefined, { tenant, channel }: ChannelKey): string | null {
  return publicUrl === undefined ? null : `${publicUrl.replace(/\/+$/, '')}/v1/webhooks/${tenant}/${channel}`;
}

export type PlatformFactory = (config: PlatformChannelConfig, dependencies: PlatformDependencies) => PlatformChannel;
