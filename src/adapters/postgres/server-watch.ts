import { lookAtServer, type RunQuery, type ServerView } from './checks.ts';

/**
 * What all connections see of their servers: unsafe settings (what a role is set to concerns only sessions that begin
 * after it was), and whether they have come to another server. Where one of them has, the others may still be on the
 * former one: a new epoch begins, and every session of an earlier one is closed before it is used again.
 */
export class ServerWatch {
  readonly #byConnection = new Map<string, readonly string[]>();
  readonly #looks = new Map<string, () => Promise<unknown>>();
  readonly #onUnsafeSettings: (unsafeSettings: readonly string[]) => void;
  #told = '';
  #epoch = 1;
  /** The past that was last seen. */
  #past: string | null = null;
  #again: Promise<void> | null = null;

  /** @param onUnsafeSettings told of every change; with none where all are safe again */
  constructor(onUnsafeSettings: (unsafeSettings: readonly string[]) => void) {
    this.#onUnsafeSettings = onUnsafeSettings;
  }

  get unsafeSettings(): readonly string[] {
    return [...new Set([...this.#byConnection.values()].flat())].sort();
  }

  /** Rises with each server, or past, that is not the one last seen. */
  get epoch(): number {
    return this.#epoch;
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
    this.#compare(view);
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

  #compare({ seen, anotherHistory }: ServerView): void {
    const past = JSON.stringify([seen, anotherHistory !== null]);
    if (this.#past !== null && this.#past !== past) this.#epoch++;
    this.#past = past;
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
