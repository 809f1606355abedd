/*
 * What a planted bug changes, one definition each; without any of them this file states the rules as they are. README.md
 * names the bugs and says which of them nothing can show, because another rule covers them.
 */

/* The lease as its holder trusts it. WRONG_CLOCKS: until it hears better, as where a machine's clock stood still. */
#ifdef WRONG_CLOCKS
#define TRUSTED(s) true
#else
#define TRUSTED(s) leased[worker[s].id]
#endif

/* BOUNDED_PAUSES: no process stands still between its last look at the lease and the bytes for longer than the margin. */
#ifdef BOUNDED_PAUSES
#define IN_TIME(s) leased[worker[s].id]
#else
#define IN_TIME(s) true
#endif

/* NO_LATE_COPY: the promise that nobody can keep. */
#ifdef NO_LATE_COPY
#define LATE_ONLY_WITHOUT_LEASE(s) false
#else
#define LATE_ONLY_WITHOUT_LEASE(s) (!leased[worker[s].id])
#endif

/* ONLY_MESSAGES: what can be seen at the platform and in the rooms, nothing of ownership. */
#ifdef ONLY_MESSAGES
#define JUDGE_OWNERSHIP false
#else
#define JUDGE_OWNERSHIP true
#endif

/* Who works on a shard's rooms. */
#if defined(HEIR_BEGINS)
#define HOLDS(s) (worker[s].holds || heir == worker[s].id)
#elif defined(READ_BEFORE_FENCE)
#define HOLDS(s) (worker[s].holds || (owner != worker[s].id && !leased[owner]))
#else
#define HOLDS(s) worker[s].holds
#endif
#ifdef READ_BEFORE_FENCE
#define IS_SENT(i) (i >= W || worker[i].holds || write[i].answers)
#else
#define IS_SENT(i) true
#endif

/* A shard with an heir. */
#ifdef LEAVING_TAKES_OVER
#define KEEPS(s) true
#else
#define KEEPS(s) (!worker[s].leaving)
#endif
#if defined(EARLY_HAND_OVER)
#define IS_QUIET(s) true
#else
#define IS_QUIET(s) (worker[s].open == NONE && !(write[s].stage != FREE && write[s].claims) && !worker[s].raising)
#endif
#ifdef LOST_ANSWER_IS_NO
#define AFTER_LOST_ANSWER(s) worker[s].leaving = 0
#else
#define AFTER_LOST_ANSWER(s) skip
#endif
#ifdef NO_EPOCH
#define IS_OLD false
#else
#define IS_OLD true
#endif
#ifdef DEAD_HEIR_STAYS
#define AFTER_DEAD_HEIR skip
#else
#define AFTER_DEAD_HEIR heir = NOBODY
#endif
#ifdef OLD_PLAN
#define IS_FREE(p) plan[p].free
#define STILL_HOLDS(p) true
#else
#define IS_FREE(p) fenced[owner]
#define STILL_HOLDS(p) (owner == plan[p].giver)
#endif

/* The store's conditions. */
#ifdef NO_VERSION
#define REFUSES_OLD(i) false
#else
#define REFUSES_OLD(i) (!write[i].blind)
#endif
#ifdef NO_FENCE
#define UNFENCED(i) true
#else
#define UNFENCED(i) (!fenced[write[i].id])
#endif
#ifdef NO_GENERATION
#define SAME_GENERATION(i) true
#else
#define SAME_GENERATION(i) write[i].proved
#endif
/* SNAPSHOT_FENCE: the fence is looked at, not locked. */
#ifdef SNAPSHOT_FENCE
#define LOCKS(i, x) false
#else
#define LOCKS(i, x) (write[i].stage == EXECUTING && write[i].id == x)
#endif
/* Whether the store looks at the shard's owner: 1 for claims, 2 with its row locked; 3, 4 the same for take-overs, too. */
#ifndef OWNER_PROVED
#define OWNER_PROVED 0
#endif
#if OWNER_PROVED > 0
#define OF_OWNER(i) (owner == write[i].id)
#else
#define OF_OWNER(i) true
#endif
#if OWNER_PROVED == 2 || OWNER_PROVED == 4
#define LOCKS_SHARD(i) (write[i].stage == EXECUTING)
#else
#define LOCKS_SHARD(i) false
#endif
#if OWNER_PROVED > 2
#define PROVES_TAKE_OVER 1
#else
#define PROVES_TAKE_OVER 0
#endif

/* Decisions. */
#ifdef NO_ACK_TIMEOUT
#define TIMES_OUT false
#else
#define TIMES_OUT true
#endif
#ifdef BLIND_SWEEPER
#define BLIND 1
#else
#define BLIND 0
#endif
#ifdef SETTLE_UNKNOWN
#define ASSUMES_UNKNOWN true
#else
#define ASSUMES_UNKNOWN false
#endif
#ifdef BLIND_RESEND
#define RESENDS_AT_ONCE(s) (room.attempt < ATTEMPTS && MAY_CLAIM(s))
#else
#define RESENDS_AT_ONCE(s) false
#endif
#ifdef ACK_UNMATCHED
#define ACK_MATCHES (left != 0)
#else
#define ACK_MATCHES HAS(left, room.head)
#endif
#ifdef DROP_AFTER_REFUSAL
#define DROPS 1
#else
#define DROPS 0
#endif
#if defined(SAME_IDENTITY)
#define NEW_IDENTITY(s) 0
#elif defined(REUSED_IDENTITY)
#define NEW_IDENTITY(s) s
#else
#define NEW_IDENTITY(s) identities
#endif
