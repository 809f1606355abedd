/*
 * Ownership and hand-over: W workers, one shard, one room of N messages. README.md says what is modelled and what is not.
 *
 * The adversary may crash a worker (CRASHES times), end the lease of one that runs on (STEALS), lose the answer of a
 * statement (LOSSES) and write a plan that moves the shard (MOVES). ATTEMPTS of a message are made at the most.
 *
 * Versions, epochs and generations are no numbers here. A statement that compares one with what it was is refused as soon
 * as that rises: one of the moments at which it could be executed.
 */
#define IDS (W + CRASHES + STEALS)
#define NOBODY 15

/* Writes on their way: one of each worker, one of the webhook server, and one whose sender has gone or given it up. */
#define WEB W
#define LOST (W + 1)
#define WRITES (W + 2)

/* Phases of the row. READY stands for idle, ready, waiting and backing off: nothing is open. */
#define READY 0
#define SENDING 1
#define AWAITING 2
#define UNKNOWN 3

/* Stages of a write. EXECUTING: a claim that has its proof, and holds the fence row until it has committed. */
#define FREE 0
#define ON_ITS_WAY 1
#define EXECUTING 2
#define STORED 3
#define REFUSED 4

/* A worker's open send. CHECKED: the lease was looked at, the bytes are next. */
#define NONE 0
#define CLAIMED 1
#define CHECKED 2
#define LEFT 3

/* What a worker has asked about the shard, one thing at a time: what it owns, and to hand over. */
#define NOTHING 0
#define NOT_OWNED 1
#define OWNED 2
#define PROMISED 3
#define HANDING_OVER 4
#define GIVEN 5
#define STAYS 6

/* Outcomes. */
#define ACKED 1
#define ASSUMED 2
#define FAILED 3

typedef Room {
  unsigned head : 3; /* so many are settled */
  unsigned phase : 2;
  unsigned attempt : 2
}

typedef Write {
  unsigned stage : 3;
  bit claims;
  bit takesOver; /* only where it has to be proved */
  bit answers; /* tells what became of the sender's own attempt */
  bit blind;
  bit proved; /* the generation has not risen since */
  unsigned id : 4;
  unsigned head : 3;
  unsigned phase : 2;
  unsigned attempt : 2;
  unsigned outcome : 2
}

typedef Process {
  bit up;
  bit holds;
  bit leaving;
  bit raising; /* a claim's commit is unknown: the generation has to rise */
  bit dropped;
  bit toldBefore;
  bit ofOldLife; /* the open send */
  unsigned id : 4;
  unsigned asked : 3;
  unsigned open : 2;
  unsigned message : 3;
  unsigned attempt : 2
}

typedef Plan {
  bit made;
  bit free;
  unsigned giver : 4;
  unsigned receiver : 4
}

Room room;
Write write[WRITES];
Process worker[W];
Plan plan[2];

/* The rows of workers, fences and the shard, by identity. */
bit leased[IDS];
bit fenced[IDS];
byte owner = 0;
byte heir = NOBODY;
byte identities = 0;
/* Whose hand-over is still on its way, though it has given up waiting. */
byte lostHandOver = NOBODY;

/* Messages that have left for the platform, a bit each. What has left arrives and is acked at any later time, or never. */
byte left = 0;

/* For the properties: the head's attempt may be repeated; else whose it is. Requests since a fence. */
bit excused;
byte attemptOf = NOBODY;
bit sentFenced[IDS];

byte crashes = CRASHES;
byte steals = STEALS;
byte losses = LOSSES;
byte moves = MOVES;
/* From here on no fault, no ack, no answer: what is to be done without them has to be done. */
bit calm;

hidden byte k;

/* Promises, to name them where they are broken. */
hidden byte R1, R2, R3, R4, R6, OA, OB;
#define PROMISE(name, condition) assert((condition) || name)

#include "planted.pml"

#define HAS(mask, message) (((mask) >> (message)) & 1)
#define AWAKE(s) (worker[s].up && worker[s].open != CHECKED)
#define DECIDES(s) (AWAKE(s) && write[s].stage == FREE && !worker[s].raising && !worker[s].dropped)
#define IS_OPEN(s) (worker[s].open != NONE && worker[s].message == room.head && worker[s].attempt == room.attempt)
#define MAY_TAKE_OVER(s) (HOLDS(s) && KEEPS(s) && TRUSTED(s))
#define MAY_CLAIM(s) (HOLDS(s) && !worker[s].leaving && TRUSTED(s) && (worker[s].open == NONE || worker[s].open == LEFT))
#define MAY_SEND(s) (!worker[s].ofOldLife && TRUSTED(s))
#define ACKED_AT(s) (!calm && DECIDES(s) && room.attempt > 0 && HAS(left, room.head))
#define ANSWERED(s) (DECIDES(s) && worker[s].open == LEFT && IS_OPEN(s) && (room.phase == SENDING || room.phase == UNKNOWN))
#define FENCE_IS_FREE(x) (!LOCKS(0, x) && !LOCKS(1, x) && !LOCKS(2, x) && !LOCKS(LOST, x))
#define SHARD_IS_FREE (!LOCKS_SHARD(0) && !LOCKS_SHARD(1) && !LOCKS_SHARD(2) && !LOCKS_SHARD(LOST))

#include "rooms.pml"
#include "ownership.pml"

init {
  atomic {
    for (k : 0 .. W - 1) {
      worker[k].up = 1;
      begin_life(k);
      run Rooms(k);
      run Renewals(k);
      run Shards(k);
      run Store(k)
    }
    worker[0].holds = 1;
    run Store(WEB);
    run Store(LOST);
    run World()
  }
  /* Nothing can be done any more. */
  timeout;
  PROMISE(R6, room.head == N)
}

#ifdef EVENTUALLY
ltl eventually { <> (room.head == N) }
#endif
