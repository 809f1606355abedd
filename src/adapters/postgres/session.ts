/** How every connection is opened, and how its answers are read. */
import pg from 'pg';
import { type PostgresOptions, sessionSettings } from './options.ts';

/** Over the server's own timeout: an answer that has not come by then never will. */
const ANSWER_GRACE_MS = 2_000;

const INT8 = 20;

/** bigint as number: ids, versions, sequences and times stay far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: string) {
    if (oid === INT8 && format !== 'binary') return Number;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

/** @param purpose ends the session's application name, so that an operator sees what each connection is for */
export function clientConfig(options: PostgresOptions, purpose: string): pg.ClientConfig {
  return {
    connectionString: options.url,
    ...(options.ssl === undefined ? {} : { ssl: options.ssl }),
    application_name: `${options.applicationName ?? 'roomline'} ${purpose}`,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: options.statementTimeoutMs + ANSWER_GRACE_MS,
    keepAlive: true,
    types,
    ...(options.sessionSettings === 'role' ? {} : { options: startupOptions(options) }),
  };
}

function startupOptions(options: PostgresOptions): string {
  return Object.entries(sessionSettings(options))
    .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
    .join(' ');
}
