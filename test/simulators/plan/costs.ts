import type { UnitCosts } from '../../../simulators/plan/costs.ts';

/** Round numbers, so that sums can be checked. */
export const COSTS: UnitCosts = {
  engine: {
    idleShare: 0,
    intakeUs: { pubsub: 20, http: 10 },
    statementUs: 100,
    messageUs: 60,
    callUs: 10,
    garbageShare: 0,
    garbagePauseUs: 1_000,
  },
  postgres: { idleShare: 0, appendStatementUs: 300, appendRowUs: 10, writeStatementUs: 200, writeRowUs: 5 },
  beside: { platformUs: 20, sourceUs: 10, publisherUs: 5 },
  bytes: { body: 250, walPerMessage: 3_000, history: 500, historyIndexes: 100, room: 300 },
  memory: { processMb: 150, busyRoomBytes: 2_048 },
};
