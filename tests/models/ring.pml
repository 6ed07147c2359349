/* SPDX-License-Identifier: MIT */
/*
 * The ring, and the handshake by which a side sleeps and is woken.
 *
 * Modelled: a side writes messages of one or two cells, publishes them at once or later, and is
 * starved when there is no room; it receives, gives room back at a part of the ring or along with
 * what it publishes, and is asleep when there is nothing; it sleeps on its socket, where a frame of
 * the other side wakes it. A socket that is full loses a frame, and one that the kernel has no memory
 * for is owed: before a sleep, and now and then in it, it is sent again, and may be refused each time
 * (REFUSES). Memory is that of memory.pml. Each side is one thread, which chooses at every moment what
 * to do; a send that waits takes in what comes.
 * Abstracted: a cell stands for bytes; how much a side keeps of what it took in (flow.pml bounds
 * that); the frame of a message; a side that owes a wake-up and never calls again; death (death.pml).
 * Proved, for conversations of any length: nothing is read before it was written nor overwritten
 * before it was read; whenever nothing moves any more, all that was published has been received,
 * nobody waits for room, and no side sleeps on what it has not published; and no conversation goes
 * on for ever without a message.
 * sizes: 2 sides and their 2 store buffers (processes); CELLS in a ring, LONGEST of a message,
 * STORES in a buffer, QUARTER taken before room is given back; MESSAGES each way, or without end
 *
 * One way, where the ring begins again at its first cell when it is empty, or not; both ways at
 * once with rings of one cell, and of two cells for two messages each way; and with refused frames,
 * where nobody may wait for room that the other side may keep (LONGEST + QUARTER <= CELLS + 1):
 * run: -DONE_WAY -DREWIND -DQUARTER=2
 * run: -DONE_WAY -DQUARTER=2
 * run: -DCELLS=1 -DLONGEST=1 -DSTORES=2
 * run: -DLONGEST=1 -DSTORES=2 -DMESSAGES=2 -DQUARTER=2
 * run: -DONE_WAY -DLONGEST=1 -DQUARTER=2 -DREFUSES
 * live: -DONE_WAY
 * large: -DONE_WAY -DCELLS=4 -DQUARTER=2
 *
 * bug: BUG_NO_FENCE_AFTER_TAIL -DONE_WAY
 * bug: BUG_NO_FENCE_AFTER_HEAD -DONE_WAY
 * bug: BUG_NO_FENCE_ASLEEP -DONE_WAY
 * bug: BUG_NO_LOOK_ASLEEP -DONE_WAY
 * bug: BUG_RELAXED_TAIL -DONE_WAY
 * bug: BUG_TAIL_BEFORE_BYTES -DONE_WAY
 * bug: BUG_RELAXED_LOAD -DONE_WAY
 * bug: BUG_HEAD_BEFORE_COPY -DONE_WAY
 * bug: BUG_HEAD_KEPT_ASLEEP -DONE_WAY -DQUARTER=2
 * bug: BUG_CORKED_ASLEEP -DONE_WAY
 * bug: BUG_DRAIN_AFTER_LOOK -DONE_WAY
 * bug: BUG_NO_EXCHANGE -DONE_WAY
 * bug: BUG_BASE_AFTER_TAIL -DONE_WAY -DREWIND -DQUARTER=2
 * bug: BUG_BASE_BEFORE_TAIL -DONE_WAY -DREWIND -DQUARTER=2
 * bug: BUG_REWIND_UNTAKEN -DONE_WAY -DREWIND -DQUARTER=2
 * bug: BUG_REFUSED_FORGOTTEN -DONE_WAY -DLONGEST=1 -DQUARTER=2 -DREFUSES
 * bug: BUG_OWED_UNTIMED -DONE_WAY -DLONGEST=1 -DQUARTER=2 -DREFUSES
 * bug: BUG_WAITS_FOR_WHAT_IS_KEPT -DONE_WAY -DLONGEST=1 -DQUARTER=2 -DREFUSES
 */
#ifndef QUARTER
#define QUARTER 1 /* cells that are taken before room is given back */
#endif
#ifdef BUG_WAITS_FOR_WHAT_IS_KEPT
#undef LONGEST
#define LONGEST 2
#endif
#ifndef LONGEST
#define LONGEST 2 /* cells of a message */
#endif
#include "memory.pml"

byte written[2], published[2], taken[2];
bool socket[2]; /* holds a frame for that side */
bool hungry[2]; /* this side waits for room */
hidden byte got;

#define room(size) (between(seen_head, written[me]) + (size) <= CELLS)
#define inbound (1 - me)
#ifndef REFUSES
#define looks_up false
#elif defined(BUG_OWED_UNTIMED)
#define looks_up false
#else
#define looks_up (wanted && owed || timed)
#endif
#define something (seen_tail != taken[inbound] || wanted && room(wanted))

/*
 * What is atomic here has one access to memory that is shared, or is a word to the kernel: between
 * two of these anything may happen.
 */

inline wake(flag)
{
    was = memory[flag];
    if
    :: was ->
#ifdef BUG_NO_EXCHANGE
        store(flag, 0);
#else
        exchange(flag, was);
#endif
        atomic {
            if
            :: was -> say_wake(); was = 0
            :: else
            fi
        }
    :: else
    fi
}

inline say_wake()
{
#ifdef REFUSES
    if
    :: socket[1 - me] = true
#ifdef BUG_REFUSED_FORGOTTEN
    :: skip
#else
    :: owed = true /* the kernel has no memory for it */
#endif
    fi
#else
    socket[1 - me] = true
#endif
}

inline pay_wake()
{
    atomic {
        if
        :: owed -> owed = false; say_wake()
        :: else
        fi
    }
}

/* The bytes are in the ring; the other side sees them from here on. */
inline publish()
{
    if
    :: atomic { published[me] != written[me] -> published[me] = written[me] };
#ifndef ONE_WAY
        if
        :: atomic { released != taken[inbound] -> released = taken[inbound]; gives = true };
            store(HEAD(inbound), released)
        :: skip
        fi;
#endif
        store(TAIL(me), written[me]);
#ifdef BUG_BASE_AFTER_TAIL
        store(BASE(me), base);
#endif
#ifndef BUG_NO_FENCE_AFTER_TAIL
        fence();
#endif
        wake(ASLEEP(me));
#ifndef ONE_WAY
        if
        :: atomic { gives -> gives = false };
            wake(STARVED(inbound))
        :: else
        fi
#endif
    :: published[me] == written[me]
    fi
}

inline give_back()
{
    if
    :: atomic { released != taken[inbound] -> released = taken[inbound] };
        store(HEAD(inbound), released);
#ifndef BUG_NO_FENCE_AFTER_HEAD
        fence();
#endif
        wake(STARVED(inbound))
    :: released == taken[inbound]
    fi
}

/* Returns with something to look at, or after having been woken. */
inline sleep()
{
#ifdef REFUSES
    pay_wake();
#endif
#ifndef BUG_CORKED_ASLEEP
    publish();
#endif
#ifdef REFUSES
    timed = owed;
#endif
#ifndef BUG_HEAD_KEPT_ASLEEP
    give_back();
#endif
    announce(1);
#ifndef BUG_NO_FENCE_ASLEEP
    fence();
#endif
#ifndef BUG_NO_LOOK_ASLEEP
    look();
#endif
#ifdef BUG_DRAIN_AFTER_LOOK
    socket[me] = false;
#endif
    if
    :: something
    :: atomic { !something && wanted -> hungry[me] = true };
        atomic { socket[me] || looks_up -> hungry[me] = false }
    :: !something && !wanted ->
end_asleep:
        socket[me] || looks_up
    fi;
#ifdef REFUSES
    timed = false;
#endif
    announce(0);
    socket[me] = false
}

inline announce(value)
{
    atomic {
        if
        :: receives -> store(ASLEEP(inbound), value)
        :: else
        fi
    };
    atomic {
        if
        :: wanted -> store(STARVED(me), value)
        :: else
        fi
    }
}

inline look()
{
    atomic {
        if
        :: receives -> seen_tail = memory[TAIL(inbound)]
        :: else
        fi
    };
#if defined(REWIND) && !defined(BUG_BASE_BEFORE_TAIL)
    seen_base = memory[BASE(inbound)];
#endif
    atomic {
        if
        :: wanted -> seen_head = memory[HEAD(me)]
        :: else
        fi
    }
}

inline take()
{
#ifdef BUG_HEAD_BEFORE_COPY
    store(HEAD(inbound), after(taken[inbound], 1));
#endif
    atomic {
#ifdef BUG_RELAXED_LOAD
        assert(early == taken[inbound]);
#else
        got = memory[CELL(inbound, between(seen_base, taken[inbound]))];
        assert(got == taken[inbound])
#endif
    };
progress:
    taken[inbound] = after(taken[inbound], 1);
    if
    :: between(released, taken[inbound]) >= QUARTER -> give_back()
    :: else
    fi
}

inline write()
{
#ifdef BUG_TAIL_BEFORE_BYTES
    store(TAIL(me), after(written[me], wanted));
#endif
#ifdef REWIND
    if
#ifdef BUG_REWIND_UNTAKEN
    :: atomic { published[me] == written[me] && base != written[me] -> base = written[me] };
#else
    :: atomic { seen_head == written[me] && base != written[me] -> base = written[me] };
#endif
#ifndef BUG_BASE_AFTER_TAIL
        store(BASE(me), base)
#endif
    :: skip
    fi;
#endif
    store(CELL(me, between(base, written[me])), written[me]);
    atomic {
        if
        :: wanted == 2 ->
            store(CELL(me, between(base, written[me]) + 1), after(written[me], 1))
        :: else
        fi
    };
    atomic { written[me] = after(written[me], wanted); wanted = 0 };
    if
    :: publish()
    :: skip /* corked */
    fi
}

inline count_message()
{
#ifdef MESSAGES
    said++;
    sends = (said < MESSAGES)
#else
    skip
#endif
}

proctype side(bit me)
{
#ifdef MESSAGES
    byte said;
#endif
    byte seen_head, seen_tail, released;
    byte base, seen_base; /* the counters of what lies in the first cells */
    byte wanted; /* cells that are to be sent */
    bit was;
#ifdef REFUSES
    bool owed;  /* a frame that wakes the other side */
    bool timed; /* it was before the side went to sleep */
#endif
#ifdef BUG_RELAXED_LOAD
    byte early;
#endif
#ifdef ONE_WAY
    bool sends = (me == 0);
    bool receives = (me == 1);
#else
    bool sends = true;
    bool receives = true;
    bool gives; /* room, along with what is published */
#endif

end:
    do
    :: atomic { !wanted && sends -> wanted = 1; count_message() }
#if LONGEST > 1
    :: atomic { !wanted && sends -> wanted = 2; count_message() }
#endif
    :: wanted && room(wanted) -> write()
    :: wanted && !room(wanted) || !wanted && receives ->
#ifdef BUG_RELAXED_LOAD
        early = memory[CELL(inbound, between(seen_base, taken[inbound]))];
#endif
#ifdef BUG_BASE_BEFORE_TAIL
        seen_base = memory[BASE(inbound)];
#endif
        look();
        if
        :: wanted && room(wanted)
        :: seen_tail != taken[inbound] -> take()
        :: !something -> sleep()
        fi
    :: atomic { !wanted && sends -> sends = false }; /* for ever */
        publish()
#ifdef REFUSES
    :: !wanted && !sends && !receives && owed -> pay_wake()
#endif
    od
}

init
{
    byte i;

    atomic {
        memory[CELL(0, 0)] = LAP; memory[CELL(1, 0)] = LAP;
        run side(0); run side(1); run buffer(0); run buffer(1)
    }
    timeout ->
    do
    :: i < 2 ->
        assert(taken[i] == published[i]);
        assert(taken[i] == written[i]);
        assert(!hungry[i]);
        i++
    :: else -> break
    od
}
