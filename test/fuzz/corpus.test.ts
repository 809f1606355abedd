import { describeCorpus } from './corpus-run.ts';
import { startMemoryRig } from './memory.ts';

describeCorpus('memory stores', startMemoryRig, (rig) => rig.stop());
