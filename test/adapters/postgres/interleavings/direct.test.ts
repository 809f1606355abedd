/**
 * The newest server plays everything. What was decided before a write, and whether three meet or two, does not depend on
 * the server: the others play pairs, without stops between decision and write.
 */
import { postgresRoutes } from '../../../support/postgres.ts';
import { OTHER_PLAYS, THREES } from './more-plays.ts';
import { ORDER_PLAYS, ORDER_THREES } from './order-plays.ts';
import { ROOM_PLAYS } from './plays.ts';
import { describePlays } from './suite.ts';

const routes = postgresRoutes().filter(({ pooled }) => !pooled);
const newest = Math.max(...routes.map(({ server }) => server.major));
const pairs = [...ROOM_PLAYS, ...ORDER_PLAYS, ...OTHER_PLAYS];

for (const route of routes) {
  if (route.server.major === newest) describePlays(route, [...pairs, ...THREES, ...ORDER_THREES]);
  else describePlays(route, pairs, ['decided']);
}
