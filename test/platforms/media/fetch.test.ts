import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CERTIFICATE_FILE } from '../../../simulators/platform/tls.ts';
import {
  type MediaAccess,
  MediaFault,
  type MediaKind,
  openMedia,
  type ResolvedAddress,
} from '../../../src/platforms/media/fetch.ts';
import { CERTIFICATE, file, PICTURE, startFiles } from '../../support/files.ts';
import { filesOfTest } from './files.ts';

const IMAGE: MediaKind = { maxBytes: 1_000, types: new Set(['image/jpeg', 'image/png']) };
const NOBODY: MediaAccess = { allowedHosts: [] };
const never = (): AbortSignal => new AbortController().signal;
const v4 = (...addresses: string[]): ResolvedAddress[] => addresses.map((address) => ({ address, family: 4 }));

async function fetched(link: string, access: MediaAccess, signal = never()): Promise<Buffer | string> {
  try {
    const media = await openMedia(link, IMAGE, access, signal);
    try {
      const chunks: Uint8Array[] = [];
      for await (const chunk of media.body) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      expect(media).toMatchObject({ bytes: body.length, contentType: 'image/jpeg' });
      return body;
    } finally {
      await media.close();
    }
  } catch (error) {
    if (error instanceof MediaFault) return error.code;
    throw error;
  }
}

/** Resolves every name to these addresses, in turn, and tells what was asked for. */
function resolver(...answers: ResolvedAddress[][]) {
  const asked: string[] = [];
  const resolve = async (hostname: string): Promise<ResolvedAddress[]> => {
    asked.push(hostname);
    return answers[Math.min(asked.length, answers.length) - 1] ?? [];
  };
  return { asked, resolve };
}

describe('a link', () => {
  it.each([
    ['ftp://media.example.test/a.jpg', 'media_not_https'],
    ['file:///etc/passwd', 'media_link_invalid'],
    ['gopher://media.example.test/', 'media_not_https'],
    ['http://media.example.test/a.jpg', 'media_not_https'],
    ['https://user:pass@media.example.test/', 'media_link_invalid'],
    ['https://user@media.example.test/', 'media_link_invalid'],
    ['//media.example.test/a.jpg', 'media_link_invalid'],
    ['https://', 'media_link_invalid'],
    [`https://media.example.test/${'a'.repeat(2_048)}`, 'media_link_invalid'],
    ['https://media.example.test:8443/a.jpg', 'media_port_refused'],
    ['https://media.example.test:22/', 'media_port_refused'],
  ])('%s is refused before its name is looked up', async (link, code) => {
    const { asked, resolve } = resolver(v4('1.1.1.1'));
    expect(await fetched(link, { ...NOBODY, resolve })).toBe(code);
    expect(asked).toEqual([]);
  });

  it.each([
    ['127.0.0.1', 'plain'],
    ['2130706433', 'decimal'],
    ['0x7f000001', 'hexadecimal'],
    ['0x7f.0.0.1', 'hexadecimal in part'],
    ['017700000001', 'octal'],
    ['0177.0.0.1', 'octal in part'],
    ['127.1', 'short'],
    ['127.0.0.1.', 'with a dot at the end'],
    ['１２７.０.０.１', 'in full-width digits'],
    ['127%2e0%2e0%2e1', 'escaped'],
    ['0', 'the unspecified one'],
    ['169.254.169.254', 'metadata'],
    ['2852039166', 'metadata, decimal'],
    ['0xa9fea9fe', 'metadata, hexadecimal'],
    ['[::1]', 'IPv6'],
    ['[0:0:0:0:0:0:0:1]', 'IPv6 in full'],
    ['[::ffff:127.0.0.1]', 'IPv4-mapped'],
    ['[::ffff:a9fe:a9fe]', 'IPv4-mapped metadata'],
    ['[64:ff9b::127.0.0.1]', 'translated'],
    ['[fd00:ec2::254]', 'unique local metadata'],
    ['[fe80::1]', 'link-local'],
  ])('to the address %s (%s) is refused without a look-up', async (host) => {
    const { asked, resolve } = resolver(v4('1.1.1.1'));
    expect(await fetched(`https://${host}/`, { ...NOBODY, resolve })).toBe('media_address_refused');
    expect(asked).toEqual([]);
  });

  it.each([
    [v4('10.0.0.5')],
    [v4('1.1.1.1', '192.168.1.1')],
    [[...v4('1.1.1.1'), { address: '::1', family: 6 }]],
    [[{ address: '::ffff:10.0.0.1', family: 6 }]],
    [v4('not an address')],
  ])('whose name resolves to %j is refused', async (addresses) => {
    const { asked, resolve } = resolver(addresses);
    expect(await fetched('https://media.example.test/', { ...NOBODY, resolve })).toBe('media_address_refused');
    expect(asked).toEqual(['media.example.test']);
  });

  it('to localhost is refused, as it resolves here', async () => {
    expect(await fetched('https://localhost/', NOBODY)).toBe('media_address_refused');
  });

  it('whose name resolves to nothing may work later', async () => {
    const none = async (): Promise<never> => {
      throw Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' });
    };
    const fault = await openMedia('https://media.example.test/', IMAGE, { ...NOBODY, resolve: none }, never()).catch(
      (error: unknown) => error,
    );
    expect(fault).toMatchObject({ code: 'media_dns', retryable: true });
    const { resolve } = resolver([]);
    expect(await fetched('https://media.example.test/', { ...NOBODY, resolve })).toBe('media_dns');
  });

  it('goes to the address that was looked at, whatever the name resolves to afterwards', async () => {
    const files = await filesOfTest(file());
    const port = new URL(files.link()).port;
    const { asked, resolve } = resolver(v4('127.0.0.1'), v4('127.0.0.99'));
    const access = { allowedHosts: [`rebinding.test:${port}`], resolve };
    expect(await fetched(`http://rebinding.test:${port}/a`, access)).toEqual(PICTURE);
    expect(asked).toEqual(['rebinding.test']);
    expect(files.asked).toEqual(['/a']);
  });

  it('in plain http goes to an allowed host on loopback only', async () => {
    const { resolve } = resolver(v4('10.0.0.1'));
    expect(await fetched('http://inside.test/', { allowedHosts: ['inside.test'], resolve })).toBe('media_not_https');
  });

  it('is allowed by host and port together, or by a host on the usual port', async () => {
    const files = await filesOfTest(file());
    expect(await fetched(files.link(), { allowedHosts: ['127.0.0.1'] })).toBe('media_port_refused');
    expect(await fetched(files.link(), { allowedHosts: ['127.0.0.1:1'] })).toBe('media_port_refused');
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toEqual(PICTURE);
    expect(files.asked).toHaveLength(1);
  });

  it('over https is fetched from a host whose certificate is trusted, and from no other', async () => {
    const files = await startFiles(file(), CERTIFICATE);
    onTestFinished(() => files.close());
    // The server works: it is this process that does not trust it.
    const status = await new Promise((resolve, reject) => {
      const asked = httpsRequest(files.link(), { ca: readFileSync(CERTIFICATE_FILE) }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.once('error', reject).end();
    });
    expect(status).toBe(200);
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toBe('media_unreachable');
    expect(files.asked).toHaveLength(1);
  });
});

describe('a redirect', () => {
  const to = (location: string | null, status = 302) =>
    filesOfTest((request, response) => {
      if (request.url !== '/picture.jpg') file()(request, response);
      else response.writeHead(status, location === null ? {} : { location }).end('elsewhere');
    });

  it.each([301, 302, 303, 307, 308])('with %d is followed', async (status) => {
    const files = await to('/real.jpg', status);
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toEqual(PICTURE);
    expect(files.asked).toEqual(['/picture.jpg', '/real.jpg']);
  });

  it.each([
    ['http://169.254.169.254/latest/meta-data/', 'media_not_https'],
    ['https://169.254.169.254/latest/meta-data/', 'media_address_refused'],
    ['https://[::1]/', 'media_address_refused'],
    ['https://2130706433/', 'media_address_refused'],
    ['https://127.0.0.1:9/', 'media_port_refused'],
    ['file:///etc/passwd', 'media_link_invalid'],
    ['https://a:b@media.example.test/', 'media_link_invalid'],
    [null, 'media_redirect_invalid'],
  ])('to %s is not', async (location, code) => {
    const files = await to(location);
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toBe(code);
  });

  it('is followed three times and no more', async () => {
    const files = await filesOfTest((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) file()(request, response);
      else response.writeHead(302, { location: `/${left - 1}` }).end();
    });
    const access = { allowedHosts: [files.host] };
    expect(await fetched(files.link('/3'), access)).toEqual(PICTURE);
    expect(await fetched(files.link('/4'), access)).toBe('media_too_many_redirects');
    expect(files.asked).toEqual(['/3', '/2', '/1', '/0', '/4', '/3', '/2', '/1']);
  });
});

describe('an answer', () => {
  it('is asked for without anything that tells of us, and plain', async () => {
    const headers: Record<string, unknown>[] = [];
    const files = await filesOfTest((request, response) => {
      headers.push(request.headers);
      file()(request, response);
    });
    expect(await fetched(files.link('/a.jpg?signature=1'), { allowedHosts: [files.host] })).toEqual(PICTURE);
    expect(files.asked).toEqual(['/a.jpg?signature=1']);
    expect(headers[0]).toMatchObject({ accept: 'image/jpeg, image/png', 'accept-encoding': 'identity' });
    expect(headers[0]).not.toHaveProperty('authorization');
    expect(headers[0]).not.toHaveProperty('cookie');
  });

  it.each([
    ['too large', { 'content-length': '1001' }, 'media_too_large'],
    ['of an absurd size', { 'content-length': '99999999999999' }, 'media_too_large'],
    ['of another type', { 'content-type': 'text/html' }, 'media_type_refused'],
    ['without a type', { 'content-type': '' }, 'media_type_refused'],
    ['encoded', { 'content-encoding': 'gzip' }, 'media_encoded'],
  ])('that is %s is refused before its body is taken', async (_what, headers, code) => {
    const files = await filesOfTest((_request, response) => {
      response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': '10', ...headers });
      response.write('x');
    });
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toBe(code);
  });

  it('without a length is refused: neither its size is known nor could it be passed on as it comes', async () => {
    const files = await filesOfTest((_request, response) => {
      response.writeHead(200, { 'content-type': 'image/jpeg' });
      response.end('as much as you like');
    });
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toBe('media_size_unknown');
  });

  it('that is empty is refused', async () => {
    const files = await filesOfTest(file(Buffer.alloc(0)));
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toBe('media_empty');
  });

  it.each([
    [404, false],
    [204, false],
    [206, false],
    [429, true],
    [503, true],
  ])('with status %d is none; that it may be one later: %s', async (status, retryable) => {
    const files = await filesOfTest((_request, response) => {
      response.writeHead(status).end();
    });
    const fault = await openMedia(files.link(), IMAGE, { allowedHosts: [files.host] }, never()).catch(
      (error: unknown) => error,
    );
    expect(fault).toMatchObject({ code: `media_http_${status}`, retryable });
  });

  it('with less than its length says is not taken for a whole file', async () => {
    const short = await filesOfTest((request, response) => {
      response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': '100' });
      response.write('half', () => request.socket.destroy());
    });
    const media = await openMedia(short.link(), IMAGE, { allowedHosts: [short.host] }, never());
    await expect(
      media.body[Symbol.asyncIterator]()
        .next()
        .then(async () => {
          for await (const _chunk of media.body);
        }),
    ).rejects.toThrow();
    await media.close();
  });

  it('whose header has no end is refused', async () => {
    const files = await filesOfTest((_request, response) => {
      response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': '1', filler: 'x'.repeat(20_000) });
      response.end('x');
    });
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toBe('media_unreachable');
  });

  it('from where nobody listens may come later', async () => {
    const files = await startFiles(file());
    await files.close();
    expect(await fetched(files.link(), { allowedHosts: [files.host] })).toBe('media_unreachable');
  });

  it.each([
    ['that never comes', () => undefined],
    [
      'that comes in drips',
      (_request: unknown, response: import('node:http').ServerResponse) => {
        response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': '900' });
        const drip = setInterval(() => response.write('x'), 5);
        response.once('close', () => clearInterval(drip));
      },
    ],
  ])('%s is given up in time', async (_what, serve) => {
    const files = await filesOfTest(serve);
    const signal = AbortSignal.timeout(100);
    const taken = (async () => {
      const media = await openMedia(files.link(), IMAGE, { allowedHosts: [files.host] }, signal);
      for await (const _chunk of media.body);
    })();
    await expect(taken).rejects.toThrow();
    expect(signal.aborted).toBe(true);
  });

  it('is not waited for once nobody wants it, not even by the resolver', async () => {
    const abort = new AbortController();
    const resolve = () => new Promise<never>(() => abort.abort());
    const access = { ...NOBODY, resolve };
    expect(await fetched('https://media.example.test/', access, abort.signal)).toBe('media_aborted');
    expect(await fetched('https://media.example.test/', access, AbortSignal.timeout(1))).toBe('media_timeout');
  });
});
