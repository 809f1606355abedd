/** What an operator may see and do of channels: what the HTTP side asks of whoever keeps them. */
import type { AuditEntry, AuditPage } from '../engine/operator-ports.ts';
import type { ChannelKey } from '../engine/ports.ts';
import type { Fault } from '../errors.ts';
import type { ManagedChannel, SettingChange } from './schemas.ts';

export type { ManagedChannel, SettingChange } from './schemas.ts';

/** What an operator's request expects to find. */
export type Precondition =
  | { readonly kind: 'none' }
  | { readonly kind: 'exists' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'revision'; readonly revision: number };

/** Who asks. */
export interface Operator {
  /** The name of the key. */
  readonly name: string;
  readonly requestId: string;
  /** The key is bound to tenants. */
  readonly bound: boolean;
}

export interface ChannelPreview {
  readonly effect: 'create' | 'change' | 'none';
  /** Of what is stored now; null where there is nothing. */
  readonly revision: number | null;
  readonly effective: Readonly<Record<string, unknown>>;
  readonly changes: readonly SettingChange[];
  readonly warnings: readonly Fault[];
}

/**
 * All methods throw RoomlineError: `channel_in_file`, `channel_settings_invalid` with every fault, `revision_mismatch`,
 * `channel_not_found` and `channel_in_use`, as far as they apply; and what the store throws where it is away.
 */
export interface ChannelAdmin {
  /** As this process has them, after a look at the store where that is there. */
  list(): Promise<readonly ManagedChannel[]>;
  find(key: ChannelKey): Promise<ManagedChannel | null>;
  /** What `put` would do. Changes nothing. */
  preview(
    key: ChannelKey,
    settings: Readonly<Record<string, unknown>>,
    only: Precondition,
    by: Operator,
  ): Promise<ChannelPreview>;
  /** Resolves when it is stored and in force in this process. The same settings again change nothing. */
  put(
    key: ChannelKey,
    settings: Readonly<Record<string, unknown>>,
    only: Precondition,
    by: Operator,
  ): Promise<{ readonly effect: ChannelPreview['effect']; readonly channel: ManagedChannel }>;
  /** @param options `force`: also where rooms of it wait; they keep their messages and go on when it is there again */
  remove(
    key: ChannelKey,
    only: Precondition,
    options: { readonly force: boolean },
    by: Operator,
  ): Promise<{ readonly waitingRooms: number }>;
  audit(page: AuditPage): Promise<readonly AuditEntry[]>;
}
