import { describe, expect, it } from 'vitest';
import { readGraphError } from '../../../src/platforms/meta/error.ts';
import { readUsageWait } from '../../../src/platforms/meta/usage.ts';

describe('an error of the Graph API', () => {
  it.each<[string, unknown, object | null]>([
    ['of an answer', { error: { message: 'x', code: 131056, fbtrace_id: 'A' } }, { code: 131056, subcode: null }],
    ['of a list', { code: 131026, title: 'x', error_data: { details: 'y' } }, { code: 131026 }],
    ['with a subcode', { error: { code: 10, error_subcode: 2018278 } }, { code: 10, subcode: 2018278 }],
    ['that may pass', { error: { code: 2, is_transient: true } }, { code: 2, transient: true }],
    ['that is final', { error: { code: 2, is_transient: 'true' } }, { transient: false }],
    ['whose code is a text', { error: { code: '190' } }, { code: 190 }],
    ['of code 0', { error: { code: 0 } }, { code: 0 }],
    ['without a code', { error: { message: 'x' } }, null],
    ['whose code is none', { error: { code: 'abc' } }, null],
    ['whose code is negative', { error: { code: -1 } }, null],
    ['whose code is broken', { error: { code: 1.5 } }, null],
    ['whose code is huge', { error: { code: '12345678901234567890' } }, null],
    ['that is a text', { error: 'no' }, null],
    ['that is null', { error: null }, null],
    ['that is none', { messages: [] }, null],
    ['in nothing', null, null],
    ['in a list', [{ code: 1 }], null],
    ['in a text', 'error', null],
  ])('%s', (_what, value, expected) => {
    if (expected === null) expect(readGraphError(value)).toBeNull();
    else expect(readGraphError(value)).toMatchObject(expected);
  });
});

describe('the headers that tell of usage', () => {
  const business = (...minutes: unknown[]) =>
    JSON.stringify({ '1': minutes.map((wait) => ({ type: 'messaging', estimated_time_to_regain_access: wait })) });

  it.each<[string, Record<string, string | string[] | undefined>, number | null]>([
    ['none', {}, null],
    ['a business that may go on', { 'x-business-use-case-usage': business(0) }, null],
    ['a business that has to wait', { 'x-business-use-case-usage': business(7) }, 420_000],
    ['the longest of several waits', { 'x-business-use-case-usage': business(0, 12, 3) }, 720_000],
    ['an app that has to wait', { 'x-app-usage': '{"call_count":100,"estimated_time_to_regain_access":2}' }, 120_000],
    ['an app that only counts', { 'x-app-usage': '{"call_count":100,"total_time":25,"total_cputime":25}' }, null],
    ['more than we follow', { 'x-business-use-case-usage': business(10_000) }, 3_600_000],
    ['a wait that is a text', { 'x-business-use-case-usage': business('7') }, null],
    ['a negative wait', { 'x-business-use-case-usage': business(-7) }, null],
    ['no JSON', { 'x-business-use-case-usage': 'soon' }, null],
    ['a list', { 'x-business-use-case-usage': '[1]' }, null],
    ['the header twice', { 'x-app-usage': ['{}', '{}'] }, null],
    ['values of any kind', { 'x-app-usage': '{"a":null,"b":[null,[]],"c":"x"}' }, null],
  ])('%s', (_what, headers, expected) => {
    expect(readUsageWait(headers)).toBe(expected);
  });
});
