/* SPDX-License-Identifier: MIT */
/*
 * A side that is killed, at any moment, while it sends, receives or sleeps.
 *
 * Modelled: both sides send and receive; messages are of two pieces, each published by itself; the
 * victim may say END behind a whole message. Its kernel then lets go of its socket, unless a
 * grandchild holds that too, and makes its pidfd readable, in any order. The survivor sleeps on
 * frames, on the end of the socket and on the pidfd; when it has learnt of the death it looks once
 * more what there is, receives it, and tells the end.
 * Abstracted: memory is consistent (ring.pml); what a processor has not stored yet it stores before
 * its kernel lets go of the socket; a look for death between two looks at the ring, which
 * only makes it known earlier.
 * Proved, for up to so many pieces (PIECES) each way: a survivor whose kernel knows of the death
 * tells the end, and never before it has received all that was published; END alone makes it an orderly
 * end, else it is a death, after a whole message or in the middle of one; and without a death all
 * that was published is received and nobody sleeps for nothing.
 * sizes: 2 sides (processes); up to PIECES pieces each way, two a message, RING in a ring, QUARTER
 * taken before room is given back
 *
 * run: -DPIECES=4 -DRING=2 -DQUARTER=2
 * run: -DPIECES=5 -DRING=1
 * run: -DPIECES=4 -DRING=4 -DQUARTER=2
 *
 * bug: BUG_NO_LOOK_AFTER_DEATH -DPIECES=4 -DRING=2 -DQUARTER=2
 * bug: BUG_ONLY_SOCKET -DPIECES=4 -DRING=2 -DQUARTER=2
 * bug: BUG_STARVED_SEES_NO_DEATH -DPIECES=4 -DRING=2 -DQUARTER=2
 * bug: BUG_NOBODY_TO_SEND_TO_IS_THE_END -DPIECES=4 -DRING=2 -DQUARTER=2
 * bug: BUG_END_OF_SOCKET_IS_ORDERLY -DPIECES=4 -DRING=2 -DQUARTER=2
 * bug: BUG_HALF_A_MESSAGE_IS_ORDERLY -DPIECES=4 -DRING=2 -DQUARTER=2
 */
#ifndef PIECES
#define PIECES 4
#endif
#ifndef RING
#define RING 2
#endif
#ifndef QUARTER
#define QUARTER 1
#endif
#define SURVIVOR 0
#define VICTIM 1
#define peer (1 - me)

byte tail[2], head[2]; /* of direction D, which side D sends by */
bool asleep[2], starved[2];
bool socket[2]; /* holds a frame for that side */
bool end_said;  /* by the victim: its last piece is END */
bool killed, dead;
bool socket_over, pidfd_ready, held_open;

mtype = { OPEN, ORDERLY, DIED, DIED_IN_THE_MIDDLE };
mtype report = OPEN;
byte received;
bool hungry; /* the survivor waits for room */

#define death_known (socket_over || pidfd_ready)
#ifdef BUG_ONLY_SOCKET
#define death_seen socket_over
#else
#define death_seen death_known
#endif
#ifdef BUG_STARVED_SEES_NO_DEATH
#define starved_death_seen false
#else
#define starved_death_seen death_seen
#endif

inline wake(flag)
{
    if
    :: flag -> atomic { flag = false; was = true };
        socket[peer] = true; was = false
    :: !flag
    fi
}

inline put()
{
    tail[me]++;
    wake(asleep[me])
}

inline give_back()
{
    head[peer] = taken;
    wake(starved[peer])
}

/* Sleeps until a frame comes, or what else ends it. */
inline sleep(for_room, ends)
{
    if
    :: head[peer] != taken -> give_back()
    :: else
    fi;
    asleep[peer] = true;
    starved[me] = for_room;
    if
    :: tail[peer] != taken || for_room && tail[me] - head[me] < RING
    :: else ->
end_asleep:
        socket[me] || ends
    fi;
    asleep[peer] = false;
    starved[me] = false;
    socket[me] = false
}

inline take()
{
    taken++;
    if
    :: taken - head[peer] >= QUARTER -> give_back()
    :: else
    fi
}

proctype victim()
{
    bit me = VICTIM;
    byte taken;
    bool was, wants_room;

end:
    {
        do
        :: tail[me] < PIECES && !end_said && tail[me] - head[me] < RING -> put()
        :: tail[me] % 2 == 0 && !end_said && tail[me] - head[me] < RING ->
            atomic { end_said = true; tail[me]++ };
            wake(asleep[me])
        :: tail[peer] != taken -> take()
        :: tail[peer] == taken ->
            if
            :: atomic { tail[me] < PIECES && !end_said && tail[me] - head[me] >= RING ->
                wants_room = true
            }
            :: skip
            fi;
            sleep(wants_room, false);
            wants_room = false
        od
    } unless { killed };
    dead = true;
    if
    :: pidfd_ready = true; socket_over = !held_open
    :: socket_over = !held_open; pidfd_ready = true
    fi
}

proctype survivor()
{
    bit me = SURVIVOR;
    byte taken, limit;
    bool was, mourns, unwanted;

    do
    :: !unwanted && tail[me] < PIECES && tail[me] - head[me] < RING -> put()
    :: tail[peer] != taken && (!mourns || taken < limit) -> take()
    :: tail[peer] == taken && !mourns ->
        if
        :: !unwanted && tail[me] < PIECES && tail[me] - head[me] >= RING -> hungry = true
        :: skip
        fi;
#ifdef BUG_NO_LOOK_AFTER_DEATH
        limit = tail[peer];
#endif
        if
        :: hungry && starved_death_seen ->
            unwanted = true; /* -EPIPE */
#ifdef BUG_NOBODY_TO_SEND_TO_IS_THE_END
            report = DIED;
            break
#endif
        :: !hungry && death_seen ->
#ifndef BUG_NO_LOOK_AFTER_DEATH
            limit = tail[peer];
#endif
            mourns = true
        :: else -> sleep(hungry, hungry && starved_death_seen || !hungry && death_seen)
        fi;
        hungry = false
    :: mourns && taken == limit -> break
    od;
    received = taken;
    if
    :: report != OPEN
#ifdef BUG_END_OF_SOCKET_IS_ORDERLY
    :: report == OPEN && socket_over -> report = ORDERLY
    :: report == OPEN && !socket_over && end_said -> report = ORDERLY
#else
    :: report == OPEN && end_said && taken == tail[peer] -> report = ORDERLY
#endif
#ifdef BUG_HALF_A_MESSAGE_IS_ORDERLY
    :: report == OPEN && !end_said -> report = DIED
#else
    :: report == OPEN && !end_said && taken % 2 == 0 -> report = DIED
    :: report == OPEN && !end_said && taken % 2 == 1 -> report = DIED_IN_THE_MIDDLE
#endif
    fi
}

init
{
    atomic {
        if
        :: held_open = true
        :: skip
        fi;
        run victim(); run survivor()
    }
    if
    :: killed = true
    :: skip
    fi;
    timeout ->
    if
    :: killed ->
        assert(report != OPEN);
        assert(received == tail[VICTIM]);
        assert((report == ORDERLY) == end_said);
        assert(end_said || (report == DIED_IN_THE_MIDDLE) == (received % 2 == 1))
    :: else ->
        assert(report == OPEN);
        assert(!hungry)
    fi
}
