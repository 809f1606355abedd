/**
 * How the demonstration names its messages where a platform's format has no place for a name: at the end of the text.
 */
export interface TextMark {
  /** The publisher's run; holds no slash. */
  run: string;
  /** Its name for the message. */
  key: string;
}

const MARK = /⟦([^/⟦⟧]+)\/([^⟦⟧]+)⟧$/u;

/** The mark at the end of a text; undefined: it has none. */
export const readMark = (text: string | undefined): TextMark | undefined => {
  const [, run, key] = (text === undefined ? null : MARK.exec(text)) ?? [];
  return run === undefined || key === undefined ? undefined : { run, key };
};

export const withMark = (text: string, { run, key }: TextMark): string => `${text} ⟦${run}/${key}⟧`;
