#!/usr/bin/env node
import { whenSupported } from '../node-version.mjs';

whenSupported(() => import('./main.ts'));
