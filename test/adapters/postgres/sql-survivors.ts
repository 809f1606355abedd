/** Mutants of the store's statements that no test notices, each with the reason why none can or need. */
export const SURVIVORS: Readonly<Record<string, string>> = {};
