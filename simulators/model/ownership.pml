/* Lives, leases and fences; what a worker knows of its shard; plans, hand-overs and take-overs; and all other events. */

inline begin_life(who) {
  worker[who].id = NEW_IDENTITY(who);
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

/* A worker's lease, on a connection of its own. */
proctype Renewals(byte s) provided (room.head < N) {
end:
  do
  /* The renewal is refused, or comes too late: the life is over, the next has another name. */
  :: d_step {
      AWAKE(s) && !leased[worker[s].id] ->
      forget(s);
      worker[s].ofOldLife = (worker[s].open == CLAIMED);
      begin_life(s)
    }
  /* The process starts again. */
  :: d_step {
      !worker[s].up ->
      worker[s].up = 1;
      begin_life(s)
    }
  /* The adversary: the lease ends while its holder runs on, as it does where a hand-over takes too long. */
  :: d_step {
      !calm && steals > 0 && worker[s].up && leased[worker[s].id] ->
      steals--;
      leased[worker[s].id] = 0;
      if
      :: attemptOf == s -> excuse()
      :: else
      fi
    }
  /* The adversary: the process dies. What it has sent may yet be executed. */
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
  /* The adversary: a write's answer is lost. After a claim the generation has to rise. */
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
  /* The generation rises: waits for an executing claim, refuses one that is still on its way. */
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

  /* Asks what it owns, where that is not what it knows. */
  :: d_step {
      AWAKE(s) && worker[s].asked == NOTHING &&
      ((owner == worker[s].id) != worker[s].holds || (worker[s].holds && (heir != NOBODY) != worker[s].leaving)) ->
      if
      :: owner != worker[s].id -> worker[s].asked = NOT_OWNED
      :: owner == worker[s].id && heir == NOBODY -> worker[s].asked = OWNED
      :: else -> worker[s].asked = PROMISED
      fi
    }
  /* It is another's. */
  :: d_step {
      AWAKE(s) && (worker[s].asked == NOT_OWNED || worker[s].asked == GIVEN) ->
      worker[s].asked = NOTHING;
      worker[s].holds = 0;
      worker[s].leaving = 0
    }
  /* It is its own, with or without an heir. */
  :: d_step {
      AWAKE(s) && (worker[s].asked == OWNED || worker[s].asked == PROMISED) ->
      worker[s].holds = 1;
      worker[s].leaving = (worker[s].asked == PROMISED);
      worker[s].asked = NOTHING
    }

  /* Its last send there has its outcome: asks to hand over. */
  :: d_step {
      AWAKE(s) && worker[s].asked == NOTHING && worker[s].leaving && owner == worker[s].id && heir != NOBODY && IS_QUIET(s) ->
      worker[s].asked = HANDING_OVER
    }
  /* Postgres hands over. */
  :: d_step {
      worker[s].asked == HANDING_OVER && SHARD_IS_FREE ->
      worker[s].asked = (owner == worker[s].id && heir != NOBODY && !fenced[heir] -> GIVEN : STAYS);
      hand_over(worker[s].id)
    }
  /* It stays: an answer that says no more than that. */
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
  /* Planted: an answer to the question what it owns comes late. */
  :: d_step { AWAKE(s) && worker[s].holds && owner == worker[s].id && !worker[s].toldBefore -> worker[s].toldBefore = 1 }
  :: d_step { AWAKE(s) && worker[s].toldBefore -> worker[s].toldBefore = 0; worker[s].holds = 1 }
#endif
  od
}

#if W == 3
#define IS_NOBODYS(x) (IS_GONE(0, x) && IS_GONE(1, x) && IS_GONE(2, x))
#else
#define IS_NOBODYS(x) (IS_GONE(0, x) && IS_GONE(1, x))
#endif
#define IS_GONE(s, x) (worker[s].id != x || !worker[s].up)

/* Statements of Postgres, and the time that passes. A fence waits for the executing claims of its worker. */
#define LEASE_ENDS(x) d_step { x < identities && leased[x] && IS_NOBODYS(x) -> leased[x] = 0 }
#define FENCE(x) d_step { \
    x < identities && !leased[x] && !fenced[x] && FENCE_IS_FREE(x) -> \
    fenced[x] = 1; \
    if \
    :: write[LOST].stage == ON_ITS_WAY && write[LOST].proved && write[LOST].id == x && !UNFENCED(LOST) -> clear(LOST) \
    :: else \
    fi \
  }
#define ASSIGN(s) d_step { \
    fenced[owner] && SHARD_IS_FREE && worker[s].up && !fenced[worker[s].id] -> \
    owner = worker[s].id; \
    heir = NOBODY; \
    raise_epoch() \
  }
/* Plans, two at a time: made from the owner as it was read, written where that one is still the owner. */
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

/* All else. */
proctype World() provided (room.head < N) {
end:
  do
  /* The faults, acks and answers end. */
  :: d_step { !calm -> calm = 1 }
  /* An ack at the webhook server, which owns nothing. */
  :: d_step { !calm && write[WEB].stage == FREE && room.attempt > 0 && ACK_MATCHES -> decide(WEB, ACKED, READY, 0) }
  /* Postgres hands over, for an owner that has given up waiting. */
  :: d_step {
      lostHandOver != NOBODY && SHARD_IS_FREE ->
      hand_over(lostHandOver);
      lostHandOver = NOBODY
    }
  /* The lease of a process that is gone ends. */
  :: LEASE_ENDS(0)
  :: LEASE_ENDS(1)
#if IDS > 2
  :: LEASE_ENDS(2)
#endif
#if IDS > 3
  :: LEASE_ENDS(3)
#endif
#if IDS > 4
  :: LEASE_ENDS(4)
#endif
#if IDS > 5
  :: LEASE_ENDS(5)
#endif
  /* Whose lease has ended is fenced. */
  :: FENCE(0)
  :: FENCE(1)
#if IDS > 2
  :: FENCE(2)
#endif
#if IDS > 3
  :: FENCE(3)
#endif
#if IDS > 4
  :: FENCE(4)
#endif
#if IDS > 5
  :: FENCE(5)
#endif
  /* The shard of a fenced owner is given to a worker. */
  :: ASSIGN(0)
  :: ASSIGN(1)
#if W == 3
  :: ASSIGN(2)
#endif
  /* A plan is made: to move the shard, or to leave it. */
#if MOVES > 0
  :: MAKE(0, worker[0].id)
  :: MAKE(0, worker[1].id)
  :: MAKE(0, NOBODY)
#endif
#if MOVES > 1
  :: MAKE(1, worker[0].id)
  :: MAKE(1, worker[1].id)
  :: MAKE(1, NOBODY)
#endif
#if W == 3 && MOVES > 0
  :: MAKE(0, worker[2].id)
#endif
#if W == 3 && MOVES > 1
  :: MAKE(1, worker[2].id)
#endif
  /* A plan is written. */
#if MOVES > 0
  :: WRITE(0)
#endif
#if MOVES > 1
  :: WRITE(1)
#endif
  od
}
