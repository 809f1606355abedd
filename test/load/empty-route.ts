/** What a publish is compared with: the same framework, taking the same requests, and doing nothing with them. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';

const app = fastify();
app.post('/v1/messages', (_request, reply) => reply.code(202).send({ sequence: 1 }));
await app.listen({ host: '127.0.0.1', port: 0 });
const { port } = app.server.address() as AddressInfo;
process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
await once(process, 'SIGTERM');
await app.close();
