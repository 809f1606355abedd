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

inline clear(which) {
  write[which].stage = FREE;
  write[which].claims = 0;
  write[which].takesOver = 0;
  write[which].answers = 0;
  write[which].blind = 0;
  write[which].proved = 0;
  write[which].id = 0;
  write[which].head = 0;
  write[which].phase = 0;
  write[which].attempt = 0;
  write[which].outcome = 0
}

inline decide(which, outcome_, phase_, attempt_) {
  write[which].stage = ON_ITS_WAY;
  write[which].outcome = outcome_;
  write[which].head = room.head + (outcome_ != 0);
  write[which].phase = phase_;
  write[which].attempt = attempt_
}

inline claim(which, outcome_, attempt_) {
  decide(which, outcome_, SENDING, attempt_);
  write[which].claims = 1;
  write[which].proved = 1;
  write[which].id = worker[which].id
}

/* Its sender waits for it no more, but it may yet be executed. */
inline abandon(which) {
  if
  :: write[which].stage == ON_ITS_WAY || write[which].stage == EXECUTING ->
    write[LOST].stage = write[which].stage;
    write[LOST].claims = write[which].claims;
    write[LOST].takesOver = write[which].takesOver;
    write[LOST].answers = write[which].answers;
    write[LOST].blind = write[which].blind;
    write[LOST].proved = write[which].proved;
    write[LOST].id = write[which].id;
    write[LOST].head = write[which].head;
    write[LOST].phase = write[which].phase;
    write[LOST].attempt = write[which].attempt;
    write[LOST].outcome = write[which].outcome
  :: else
  fi;
  clear(which)
}

inline refuse(what) {
  if
  :: what < W && write[what].claims -> clear(what); write[what].stage = REFUSED
  :: else -> clear(what)
  fi;
  if
  :: what < W -> worker[what].dropped = DROPS
  :: else
  fi
}

inline excuse() {
  excused = 1;
  attemptOf = NOBODY
}

inline end_send(who) {
  worker[who].open = NONE;
  worker[who].ofOldLife = 0;
  worker[who].message = 0;
  worker[who].attempt = 0
}

inline judge(which) {
  PROMISE(R1, write[which].head == room.head + (write[which].outcome != 0));
  PROMISE(R1, write[which].outcome != ACKED || HAS(left, room.head));
  PROMISE(R2, write[which].outcome != ACKED || (left >> room.head) == 1);
  PROMISE(R1, write[which].outcome != ASSUMED || HAS(left, room.head));
  PROMISE(R1, write[which].outcome != FAILED || room.attempt == ATTEMPTS);
  if
  :: write[which].claims ->
    PROMISE(OB, !fenced[write[which].id] || !JUDGE_OWNERSHIP);
    PROMISE(OA, owner == write[which].id || !JUDGE_OWNERSHIP);
    PROMISE(R3, (left >> (write[which].head + 1)) == 0);
    PROMISE(R4, write[which].outcome != 0 || room.attempt == 0 || (excused && room.phase != SENDING));
    excused = (which == LOST || !leased[write[which].id]);
    attemptOf = (excused -> NOBODY : which)
  :: !write[which].claims && (write[which].outcome != 0 || write[which].phase == AWAITING) ->
    excused = 0;
    attemptOf = NOBODY
  :: else ->
    if
    :: write[which].answers -> excuse()
    :: else
    fi
  fi
}

/* The row takes the write. Whatever else was decided from the row as it was is refused. */
inline store(which) {
  judge(which);
  room.head = write[which].head;
  room.phase = write[which].phase;
  room.attempt = write[which].attempt;
  for (k : 0 .. WRITES - 1) {
    if
    :: k != which && (write[k].stage == ON_ITS_WAY || write[k].stage == EXECUTING) && REFUSES_OLD(k) -> refuse(k)
    :: else
    fi
  }
  for (k : 0 .. W - 1) {
    if
    :: worker[k].open == LEFT && !IS_OPEN(k) ->
      worker[k].message = 0;
      worker[k].attempt = 0
    :: else
    fi
  }
}

inline begin_life(who) {
  worker[who].id = NEW_IDENTITY;
  leased[worker[who].id] = 1;
  identities++
}

inline forget(who) {
  worker[who].holds = 0;
  worker[who].leaving = 0;
  worker[who].raising = 0;
  worker[who].dropped = 0;
  worker[who].toldBefore = 0;
  worker[who].asked = NOTHING
}

inline forget_plan(which) {
  plan[which].made = 0;
  plan[which].free = 0;
  plan[which].giver = 0;
  plan[which].receiver = 0
}

/* The shard's epoch rises: hand-overs of an earlier one are refused. */
inline raise_epoch() {
  if
  :: IS_OLD ->
    lostHandOver = NOBODY;
    for (k : 0 .. W - 1) {
      if
      :: worker[k].asked == HANDING_OVER -> worker[k].asked = STAYS
      :: else
      fi
    }
  :: else
  fi
}

/* Gives the shard of `from` to its heir, if that is not fenced. */
inline hand_over(from) {
  if
  :: owner == from && heir != NOBODY && !fenced[heir] ->
    owner = heir;
    heir = NOBODY;
    raise_epoch()
  :: owner == from && heir != NOBODY && fenced[heir] ->
    AFTER_DEAD_HEIR;
    raise_epoch()
  :: else
  fi
}

/* A worker's room: decisions, each made from the row as it is and stored some time later, and sends. */
proctype Rooms(byte s) provided (room.head < N) {
end:
  do
  /* The claim. */
  :: d_step { DECIDES(s) && room.phase == READY && MAY_CLAIM(s) -> claim(s, 0, room.attempt + 1) }
  /* An ack, and the ack timeout: alone, and with the next claim. */
  :: d_step { ACKED_AT(s) && HOLDS(s) -> decide(s, ACKED, READY, 0) }
  :: d_step { ACKED_AT(s) && room.head + 1 < N && MAY_CLAIM(s) -> claim(s, ACKED, 1) }
  :: d_step {
      DECIDES(s) && room.phase == AWAITING && TIMES_OUT && HOLDS(s) ->
      decide(s, ASSUMED, READY, 0);
      write[s].blind = BLIND
    }
  :: d_step { DECIDES(s) && room.phase == AWAITING && TIMES_OUT && room.head + 1 < N && MAY_CLAIM(s) -> claim(s, ASSUMED, 1) }
  /* Sending, without a send of its own: taken over. */
  :: d_step {
      DECIDES(s) && room.phase == SENDING && !IS_OPEN(s) && MAY_TAKE_OVER(s) ->
      if
      :: RESENDS_AT_ONCE(s) -> claim(s, 0, room.attempt + 1)
      :: else ->
        decide(s, 0, UNKNOWN, room.attempt);
        if
        :: PROVES_TAKE_OVER ->
          write[s].takesOver = 1;
          write[s].proved = 1;
          write[s].id = worker[s].id
        :: else
        fi
      fi;
      /* A clock that is wrong: it may be a successor's attempt. */
      if
      :: !leased[worker[s].id] -> excuse()
      :: else
      fi
    }
  /* The grace of an unknown outcome is over; or a lookup finds the message. */
  :: d_step {
      DECIDES(s) && room.phase == UNKNOWN && HOLDS(s) ->
      if
      :: ASSUMES_UNKNOWN -> decide(s, ASSUMED, READY, 0)
      :: !ASSUMES_UNKNOWN && room.attempt == ATTEMPTS -> decide(s, FAILED, READY, 0)
      :: else -> decide(s, 0, READY, room.attempt)
      fi
    }
  :: d_step { !calm && DECIDES(s) && room.phase == UNKNOWN && HOLDS(s) && HAS(left, room.head) -> decide(s, 0, AWAITING, room.attempt) }

  /* What became of its claim. */
  :: d_step {
      AWAKE(s) && write[s].stage == STORED ->
      worker[s].open = CLAIMED;
      worker[s].ofOldLife = (write[s].id != worker[s].id);
      worker[s].message = write[s].head;
      worker[s].attempt = write[s].attempt;
      clear(s)
    }
  :: d_step { AWAKE(s) && write[s].stage == REFUSED -> clear(s) }

  /* The last look at the lease; then the bytes, in the same step of the process: it may freeze in between, and do nothing else. */
  :: d_step { AWAKE(s) && worker[s].open == CLAIMED && MAY_SEND(s) -> worker[s].open = CHECKED }
  :: d_step {
      worker[s].up && worker[s].open == CHECKED && IN_TIME(s) ->
      PROMISE(R2, worker[s].message <= room.head);
      PROMISE(R4, (left >> (worker[s].message + 1)) == 0 || LATE_ONLY_WITHOUT_LEASE(s));
      if
      :: fenced[worker[s].id] ->
        PROMISE(R4, !sentFenced[worker[s].id]); /* the zombie's window is one request */
        sentFenced[worker[s].id] = 1
      :: else
      fi;
      left = left | (1 << worker[s].message);
      worker[s].open = LEFT
    }
  :: d_step { worker[s].up && worker[s].open == CHECKED && !IN_TIME(s) -> worker[s].open = CLAIMED }
  /* Not sent, without a lease that it trusts: no attempt is used up. Not sent, because it is settled or taken over. */
  :: d_step {
      DECIDES(s) && worker[s].open == CLAIMED && !MAY_SEND(s) && IS_OPEN(s) && room.phase == SENDING ->
      decide(s, 0, READY, room.attempt - 1);
      write[s].answers = 1
    }
  :: d_step { DECIDES(s) && worker[s].open == CLAIMED && (room.head > worker[s].message || (!MAY_SEND(s) && !(IS_OPEN(s) && room.phase == SENDING))) -> end_send(s) }

  /* The platform accepts or refuses, or the send times out; or nobody asks any more. */
  :: d_step {
      !calm && ANSWERED(s) ->
      decide(s, 0, AWAITING, room.attempt);
      write[s].answers = 1
    }
  :: d_step {
      !calm && ANSWERED(s) ->
      if
      :: room.attempt == ATTEMPTS -> decide(s, FAILED, READY, 0)
      :: else -> decide(s, 0, READY, room.attempt)
      fi;
      write[s].answers = 1
    }
  :: d_step {
      ANSWERED(s) && room.phase == SENDING ->
      decide(s, 0, UNKNOWN, room.attempt);
      write[s].answers = 1
    }
  :: d_step { DECIDES(s) && worker[s].open == LEFT && !(IS_OPEN(s) && room.phase == SENDING) -> end_send(s) }
  od
}

/* A worker's lease, on a connection of its own. */
proctype Renewals(byte s) provided (room.head < N) {
end:
  do
  /* The renewal is refused, or comes too late: the life is over, the next has another name. */
  :: d_step {
      AWAKE(s) && !leased[worker[s].id] ->
      forget(s);
      worker[s].ofOldLife = (worker[s].open != NONE);
      begin_life(s)
    }
  :: d_step {
      !worker[s].up ->
      worker[s].up = 1;
      begin_life(s)
    }
  /* The adversary. A hand-over that takes too long ends a lease, too. */
  :: d_step {
      !calm && steals > 0 && worker[s].up && leased[worker[s].id] ->
      steals--;
      leased[worker[s].id] = 0;
      if
      :: attemptOf == s -> excuse()
      :: else
      fi
    }
  :: d_step {
      !calm && crashes > 0 && worker[s].up && (write[s].stage == FREE || write[s].stage >= STORED || write[LOST].stage == FREE) ->
      crashes--;
      if
      :: attemptOf == s -> excuse()
      :: else
      fi;
      abandon(s);
      end_send(s);
      if
      :: worker[s].asked == HANDING_OVER && lostHandOver == NOBODY -> lostHandOver = worker[s].id
      :: else
      fi;
      forget(s);
      worker[s].up = 0
    }
  /* A write's answer is lost. After a claim the generation has to rise. */
  :: d_step {
      !calm && losses > 0 && AWAKE(s) && write[s].stage != FREE && (write[LOST].stage == FREE || write[s].stage >= STORED) ->
      losses--;
      worker[s].raising = (write[s].claims && write[s].id == worker[s].id) || write[s].stage == REFUSED;
      if
      :: write[s].stage == STORED -> excuse()
      :: else
      fi;
      abandon(s)
    }
  od
}

/* A worker's shard, in one loop: asks what it owns, acts on the answer, hands over. */
proctype Shards(byte s) provided (room.head < N) {
end:
  do
  :: d_step {
      AWAKE(s) && worker[s].raising && FENCE_IS_FREE(worker[s].id) ->
      worker[s].raising = 0;
      if
      :: write[LOST].proved && write[LOST].id == worker[s].id ->
        write[LOST].proved = 0;
        if
        :: !SAME_GENERATION(LOST) -> clear(LOST)
        :: else
        fi
      :: else
      fi
    }

  :: d_step {
      AWAKE(s) && worker[s].asked == NOTHING &&
      ((owner == worker[s].id) != worker[s].holds || (worker[s].holds && (heir != NOBODY) != worker[s].leaving)) ->
      if
      :: owner != worker[s].id -> worker[s].asked = NOT_OWNED
      :: owner == worker[s].id && heir == NOBODY -> worker[s].asked = OWNED
      :: else -> worker[s].asked = PROMISED
      fi
    }
  :: d_step {
      AWAKE(s) && (worker[s].asked == NOT_OWNED || worker[s].asked == GIVEN) ->
      worker[s].asked = NOTHING;
      worker[s].holds = 0;
      worker[s].leaving = 0
    }
  :: d_step {
      AWAKE(s) && (worker[s].asked == OWNED || worker[s].asked == PROMISED) ->
      worker[s].holds = 1;
      worker[s].leaving = (worker[s].asked == PROMISED);
      worker[s].asked = NOTHING
    }

  :: d_step {
      AWAKE(s) && worker[s].asked == NOTHING && worker[s].leaving && owner == worker[s].id && heir != NOBODY && IS_QUIET(s) ->
      worker[s].asked = HANDING_OVER
    }
  :: d_step {
      worker[s].asked == HANDING_OVER && SHARD_IS_FREE ->
      worker[s].asked = (owner == worker[s].id && heir != NOBODY && !fenced[heir] -> GIVEN : STAYS);
      hand_over(worker[s].id)
    }
  :: d_step { AWAKE(s) && worker[s].asked == STAYS -> worker[s].asked = NOTHING }

  /* The adversary: the answer is lost; a hand-over may yet be executed. */
  :: d_step {
      !calm && losses > 0 && AWAKE(s) && worker[s].asked != NOTHING && lostHandOver == NOBODY ->
      losses--;
      if
      :: worker[s].asked == HANDING_OVER -> lostHandOver = worker[s].id
      :: else
      fi;
      if
      :: worker[s].asked >= HANDING_OVER -> AFTER_LOST_ANSWER(s)
      :: else
      fi;
      worker[s].asked = NOTHING
    }
#ifdef OLD_ANSWER
  :: d_step { AWAKE(s) && worker[s].holds && owner == worker[s].id && !worker[s].toldBefore -> worker[s].toldBefore = 1 }
  :: d_step { AWAKE(s) && worker[s].toldBefore -> worker[s].toldBefore = 0; worker[s].holds = 1 }
#endif
  od
}

/* Postgres executes a write. */
proctype Store(byte i) provided (room.head < N) {
end:
  do
  :: d_step {
      write[i].stage == ON_ITS_WAY && !write[i].claims && !write[i].takesOver && IS_SENT(i) ->
      if
      :: i < W && write[i].answers -> end_send(i)
      :: else
      fi;
      store(i);
      clear(i)
    }
  :: d_step {
      write[i].stage == ON_ITS_WAY && (write[i].claims || write[i].takesOver) && IS_SENT(i) ->
      if
      :: UNFENCED(i) && SAME_GENERATION(i) && OF_OWNER(i) -> write[i].stage = EXECUTING
      :: else -> refuse(i)
      fi
    }
  :: d_step {
      write[i].stage == EXECUTING ->
      write[i].stage = STORED;
      store(i);
      if
      :: i == LOST || !write[i].claims -> clear(i)
      :: else
      fi
    }
  od
}

#if W == 3
#define IS_NOBODYS(x) (IS_GONE(0, x) && IS_GONE(1, x) && IS_GONE(2, x))
#else
#define IS_NOBODYS(x) (IS_GONE(0, x) && IS_GONE(1, x))
#endif
#define IS_GONE(s, x) (worker[s].id != x || !worker[s].up)

/* The lease of a process that is gone ends. Whose lease has ended is fenced, as soon as its batches are through. */
#define LEASE_ENDS(x) d_step { x < identities && leased[x] && IS_NOBODYS(x) -> leased[x] = 0 }
#define FENCE(x) d_step { \
    x < identities && !leased[x] && !fenced[x] && FENCE_IS_FREE(x) -> \
    fenced[x] = 1; \
    if \
    :: write[LOST].stage == ON_ITS_WAY && write[LOST].proved && write[LOST].id == x && !UNFENCED(LOST) -> clear(LOST) \
    :: else \
    fi \
  }
/* The shard of a fenced owner is given to a worker. */
#define ASSIGN(s) d_step { \
    fenced[owner] && SHARD_IS_FREE && worker[s].up && !fenced[worker[s].id] -> \
    owner = worker[s].id; \
    heir = NOBODY; \
    raise_epoch() \
  }
/* Plans, two at a time: made from the owner as it was read, written where the owner is still that one. */
#define MAKE(p, next) d_step { \
    !calm && moves > 0 && !plan[p].made && (p == 0 || plan[0].made) && owner != next -> \
    moves--; \
    plan[p].made = 1; \
    plan[p].free = fenced[owner]; \
    plan[p].giver = owner; \
    plan[p].receiver = next \
  }
#define WRITE(p) d_step { \
    plan[p].made && SHARD_IS_FREE -> \
    if \
    :: STILL_HOLDS(p) && owner != plan[p].receiver -> \
      if \
      :: IS_FREE(p) && plan[p].receiver != NOBODY -> owner = plan[p].receiver; heir = NOBODY \
      :: IS_FREE(p) && plan[p].receiver == NOBODY -> skip \
      :: else -> heir = plan[p].receiver \
      fi; \
      raise_epoch() \
    :: else \
    fi; \
    forget_plan(p) \
  }

/* All else: the webhook server, which owns nothing; dead workers; plans; and when the faults end. */
proctype World() provided (room.head < N) {
end:
  do
  :: d_step { !calm -> calm = 1 }
  :: d_step { !calm && write[WEB].stage == FREE && room.attempt > 0 && ACK_MATCHES -> decide(WEB, ACKED, READY, 0) }
  :: d_step {
      lostHandOver != NOBODY && SHARD_IS_FREE ->
      hand_over(lostHandOver);
      lostHandOver = NOBODY
    }
  :: LEASE_ENDS(0)
  :: LEASE_ENDS(1)
  :: FENCE(0)
  :: FENCE(1)
#if IDS > 2
  :: LEASE_ENDS(2)
  :: FENCE(2)
#endif
#if IDS > 3
  :: LEASE_ENDS(3)
  :: FENCE(3)
#endif
#if IDS > 4
  :: LEASE_ENDS(4)
  :: FENCE(4)
#endif
#if IDS > 5
  :: LEASE_ENDS(5)
  :: FENCE(5)
#endif
  :: ASSIGN(0)
  :: ASSIGN(1)
#if MOVES > 0
  :: MAKE(0, worker[0].id)
  :: MAKE(0, worker[1].id)
  :: MAKE(0, NOBODY)
  :: WRITE(0)
#endif
#if MOVES > 1
  :: MAKE(1, worker[0].id)
  :: MAKE(1, worker[1].id)
  :: MAKE(1, NOBODY)
  :: WRITE(1)
#endif
#if W == 3
  :: ASSIGN(2)
#if MOVES > 0
  :: MAKE(0, worker[2].id)
#endif
#if MOVES > 1
  :: MAKE(1, worker[2].id)
#endif
#endif
  od
}

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
