/* The room: its row, writes on their way to it, what its workers decide and send, and the promises it is judged by. */

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

/* A worker's room: decisions, each made from the row as it is and stored some time later, and sends. */
proctype Rooms(byte s) provided (room.head < N) {
end:
  do
  /* The claim. */
  :: d_step { DECIDES(s) && room.phase == READY && MAY_CLAIM(s) -> claim(s, 0, room.attempt + 1) }
  /* An ack at the holder, alone and with the next claim. */
  :: d_step { ACKED_AT(s) && HOLDS(s) -> decide(s, ACKED, READY, 0) }
  :: d_step { ACKED_AT(s) && room.head + 1 < N && MAY_CLAIM(s) -> claim(s, ACKED, 1) }
  /* The ack timeout, alone and with the next claim. */
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
  /* The grace of an unknown outcome is over. */
  :: d_step {
      DECIDES(s) && room.phase == UNKNOWN && HOLDS(s) ->
      if
      :: ASSUMES_UNKNOWN -> decide(s, ASSUMED, READY, 0)
      :: !ASSUMES_UNKNOWN && room.attempt == ATTEMPTS -> decide(s, FAILED, READY, 0)
      :: else -> decide(s, 0, READY, room.attempt)
      fi
    }
  /* A lookup finds the message. */
  :: d_step { !calm && DECIDES(s) && room.phase == UNKNOWN && HOLDS(s) && HAS(left, room.head) -> decide(s, 0, AWAITING, room.attempt) }

  /* Its claim is stored: a send is open. */
  :: d_step {
      AWAKE(s) && write[s].stage == STORED ->
      worker[s].open = CLAIMED;
      worker[s].ofOldLife = (write[s].id != worker[s].id);
      worker[s].message = write[s].head;
      worker[s].attempt = write[s].attempt;
      clear(s)
    }
  /* Its claim was refused. */
  :: d_step { AWAKE(s) && write[s].stage == REFUSED -> clear(s) }

  /* The last look at the lease. The bytes are next: the process may stand still in between, and does nothing else. */
  :: d_step { AWAKE(s) && worker[s].open == CLAIMED && MAY_SEND(s) -> worker[s].open = CHECKED }
  /* The bytes leave. */
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
  /* Not sent, without a lease that it trusts: no attempt is used up. */
  :: d_step {
      DECIDES(s) && worker[s].open == CLAIMED && !MAY_SEND(s) && IS_OPEN(s) && room.phase == SENDING ->
      decide(s, 0, READY, room.attempt - 1);
      write[s].answers = 1
    }
  /* Not sent: settled or taken over meanwhile. */
  :: d_step { DECIDES(s) && worker[s].open == CLAIMED && (room.head > worker[s].message || (!MAY_SEND(s) && !(IS_OPEN(s) && room.phase == SENDING))) -> end_send(s) }

  /* The platform accepts. */
  :: d_step {
      !calm && ANSWERED(s) ->
      decide(s, 0, AWAITING, room.attempt);
      write[s].answers = 1
    }
  /* The platform refuses. */
  :: d_step {
      !calm && ANSWERED(s) ->
      if
      :: room.attempt == ATTEMPTS -> decide(s, FAILED, READY, 0)
      :: else -> decide(s, 0, READY, room.attempt)
      fi;
      write[s].answers = 1
    }
  /* The send times out. */
  :: d_step {
      ANSWERED(s) && room.phase == SENDING ->
      decide(s, 0, UNKNOWN, room.attempt);
      write[s].answers = 1
    }
  /* Answered, and the row has moved on. */
  :: d_step { DECIDES(s) && worker[s].open == LEFT && !(IS_OPEN(s) && room.phase == SENDING) -> end_send(s) }
  od
}

proctype Store(byte i) provided (room.head < N) {
end:
  do
  /* Postgres stores a decision that is no claim. */
  :: d_step {
      write[i].stage == ON_ITS_WAY && !write[i].claims && !write[i].takesOver && IS_SENT(i) ->
      if
      :: i < W && write[i].answers -> end_send(i)
      :: else
      fi;
      store(i);
      clear(i)
    }
  /* A claim takes its proof: locks the fence row, or is refused. */
  :: d_step {
      write[i].stage == ON_ITS_WAY && (write[i].claims || write[i].takesOver) && IS_SENT(i) ->
      if
      :: UNFENCED(i) && SAME_GENERATION(i) && OF_OWNER(i) -> write[i].stage = EXECUTING
      :: else -> refuse(i)
      fi
    }
  /* The claim commits. */
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
