import { whenSupported } from '../../src/node-version.mjs';

whenSupported(() => import('./main.ts'));
