/** Groups that became supergroups and so have a new id. What is forgotten is learned again from the next refusal. */
export class MigratedChats {
  static readonly MOST = 10_000;
  readonly #newIds = new Map<string, string>();

  presentIdOf(chatId: string): string {
    return this.#newIds.get(chatId) ?? chatId;
  }

  remember(chatId: string, newId: string): void {
    this.#newIds.delete(chatId);
    this.#newIds.set(chatId, newId);
    if (this.#newIds.size <= MigratedChats.MOST) return;
    const oldest = this.#newIds.keys().next();
    if (!oldest.done) this.#newIds.delete(oldest.value);
  }
}
