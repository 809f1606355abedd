/** What a pooler can change is how transactions meet, not what was decided before them: fewer stops, and no threes. */
import { postgresRoutes } from '../../../support/postgres.ts';
import { OTHER_PLAYS } from './more-plays.ts';
import { ROOM_PLAYS } from './plays.ts';
import { describePlays } from './suite.ts';

for (const route of postgresRoutes().filter(({ pooled }) => pooled)) {
  describePlays(route, [...ROOM_PLAYS, ...OTHER_PLAYS], ['decided']);
}
