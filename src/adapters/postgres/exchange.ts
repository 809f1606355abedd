/**
 * Statements of one transaction in one exchange with the server: what stands between two Syncs of the extended protocol
 * is a transaction of its own, and is answered as a whole. BEGIN, each statement and COMMIT by themselves are as many
 * answers to wake up for. node-postgres has no query of several prepared statements: the two here use its connection
 * just as its own queries do.
 */
import pg from 'pg';
import type { Statement } from './statements.ts';

export type Command = readonly [Statement, readonly unknown[]];

export interface ExchangeOptions {
  /** Whether the server is to keep the parsed statements and their plans under their names. */
  readonly prepared: boolean;
  /** Told of the first row of the first statement once that has been executed, whatever the others wait for. */
  readonly onFirstRow?: (row: unknown) => void;
}

/** What node-postgres' queries use of its connection. */
interface Wire {
  readonly stream: { cork(): void; uncork(): void };
  /** Statements of this session by name: those that the server has parsed, and those that are on their way. */
  readonly parsedStatements: Readonly<Record<string, string>>;
  readonly submittedNamedStatements: Record<string, string>;
  parse(message: { readonly name: string; readonly text: string }): void;
  bind(message: {
    readonly portal: string;
    readonly statement: string;
    readonly values: readonly unknown[];
    readonly valueMapper: (value: unknown) => unknown;
  }): void;
  describe(message: { readonly type: 'P'; readonly name: string }): void;
  execute(message: { readonly portal: string }): void;
  flush(): void;
  sync(): void;
}

type Callback<T> = (error: Error | null, result: T) => void;

/** What node-postgres calls of a query that it has been handed, beyond what its types tell. */
declare class Submitted extends pg.Query {
  constructor(config: Statement | string);
  protected callback: Callback<never>;
}
const Query = pg.Query as unknown as typeof Submitted;

const { prepareValue } = (pg as unknown as { utils: { prepareValue: (value: unknown) => unknown } }).utils;

/** Has the server parse a statement; node-postgres notes that it has. */
class Preparation extends Query {
  constructor(statement: Statement, callback: Callback<unknown>) {
    super(statement);
    this.callback = callback;
    this.submit = (connection) => {
      const wire = connection as unknown as Wire;
      wire.submittedNamedStatements[statement.name] = statement.text;
      wire.parse(statement);
      wire.sync();
    };
  }
}

class Exchange extends Query {
  constructor(
    commands: readonly Command[],
    { prepared, onFirstRow }: ExchangeOptions,
    callback: Callback<pg.QueryResult | pg.QueryResult[]>,
  ) {
    super('');
    this.callback = callback;
    if (onFirstRow !== undefined) this.once('row', onFirstRow);
    this.submit = (connection) => {
      const wire = connection as unknown as Wire;
      wire.stream.cork();
      try {
        // All values are there before anything is executed: a process that stands still while it sends holds no locks.
        commands.forEach(([{ name, text }, values], index) => {
          if (!prepared) wire.parse({ name: '', text });
          wire.bind({ portal: `${index}`, statement: prepared ? name : '', values, valueMapper: prepareValue });
        });
        commands.forEach((_, index) => {
          const portal = `${index}`;
          wire.describe({ type: 'P', name: portal });
          wire.execute({ portal });
          if (index === 0 && onFirstRow !== undefined) wire.flush();
        });
        wire.sync();
      } finally {
        wire.stream.uncork();
      }
    };
  }
}

/**
 * Executes statements one after the other in one transaction. Behind the first, a plain SELECT would see only what was
 * there when its values came, even where it locks. What writes, in a WITH or in a volatile function that it calls, sees
 * what the first has waited for.
 * @returns their answers, when all is committed
 */
export async function exchange(
  client: pg.Client,
  commands: readonly Command[],
  options: ExchangeOptions,
): Promise<pg.QueryResult[]> {
  const sent: Promise<unknown>[] = [];
  if (options.prepared) {
    const { connection } = client as unknown as { connection: Wire };
    for (const [statement] of commands) {
      const { name } = statement;
      if ((connection.parsedStatements[name] ?? connection.submittedNamedStatements[name]) !== undefined) continue;
      sent.push(submit(client, (callback) => new Preparation(statement, callback)));
    }
  }
  const answered = submit<pg.QueryResult | pg.QueryResult[]>(client, (call) => new Exchange(commands, options, call));
  // What could not be parsed cannot be executed either: the first to fail tells why.
  const outcomes = await Promise.allSettled([...sent, answered]);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  const results = await answered;
  return Array.isArray(results) ? results : [results];
}

function submit<T>(client: pg.Client, make: (callback: Callback<T>) => pg.Query): Promise<T> {
  return new Promise((resolve, reject) => {
    client.query(make((error, result) => (error === null ? resolve(result) : reject(error))));
  });
}
