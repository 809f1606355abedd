import { lookAtServer, type RunQuery, type ServerView } from './checks.ts';

/** Unsafe settings over all connections: what a role is set to concerns only sessions that begin after it was. */
export class ServerWatch {
  readonly #byConnection = new Map<string, readonly string[]>();
  readonly #looks = new Map<string, () => Promise<unknown>>();
  readonly #onUnsafeSettings: (unsafeSettings: readonly string[]) => void;
  #told = '';
  #again: Promise<void> | null = null;

  /** @param onUnsafeSettings told of every change; with none where all are safe again */
  constructor(onUnsafeSettings: (unsafeSettings: readonly string[]) => void) {
    this.#onUnsafeSettings = onUnsafeSettings;
  }

  get unsafeSettings(): readonly string[] {
    return [...new Set([...this.#byConnection.values()].flat())].sort();
  }

  /** @param look has the connection looked through, whoever is on it then */
  register(connection: string, look: () => Promise<unknown>): void {
    this.#looks.set(connection, look);
  }

  /**
   * Looks through one connection, and notes what it sees.
   * @throws RoomlineError `database_in_recovery`
   */
  async look(connection: string, run: RunQuery): Promise<ServerView> {
    const view = await lookAtServer(run);
    this.#note(connection, view.unsafeSettings);
    return view;
  }

  /** Has those looked through again that saw something unsafe: it may have been put right. Nobody needs to wait. */
  lookAgain(): Promise<void> {
    this.#again ??= this.#lookAgain().finally(() => {
      this.#again = null;
    });
    return this.#again;
  }

  async #lookAgain(): Promise<void> {
    const unsafe = [...this.#byConnection].filter(([, settings]) => settings.length > 0).map(([name]) => name);
    // A connection that cannot be looked through has no session: it is looked at when it is opened again.
    await Promise.all(
      unsafe.map((name) =>
        this.#looks
          .get(name)?.()
          .catch(() => this.#note(name, [])),
      ),
    );
  }

  #note(connection: string, seen: readonly string[]): void {
    this.#byConnection.set(connection, seen);
    const { unsafeSettings } = this;
    const telling = unsafeSettings.join(', ');
    if (telling === this.#told) return;
    this.#told = telling;
    this.#onUnsafeSettings(unsafeSettings);
  }
}
