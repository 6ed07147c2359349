/* SPDX-License-Identifier: MIT */
/*
 * Two sides that both send over a socket, and what is left of a message that had begun when its sender
 * would wait no longer.
 *
 * Modelled: each side, one thread, sends a message of so many pieces or receives one, as it likes, for
 * ever. The kernel takes any part of what is sent, until its buffer is full, and tells of room only
 * when little is left in it. Who waits for room takes in what comes, up to the backlog, and is told
 * (-EDEADLK) when nothing moves any more and the backlog is full. A deadline may pass and the kernel
 * may have no memory at any moment (HASTY): of a message that had begun the rest is kept in the
 * outbox, and leaves before all else, with the next send or before and in a sleep; one that had not is
 * told to have failed, and may be sent again. At some moment the haste ends, and both only receive.
 * Abstracted: a piece stands for bytes, so that what is read of a frame's header is not here; time, in
 * that "nothing moves" stands for 100 ms without a move, and a user who does neither is one who does
 * so later; a thread for each direction; collected messages, which leave as one long one would;
 * descriptors; the fast lane (flow.pml); death (death.pml).
 * Proved, for conversations of any length: each message that was accepted arrives, once, whole and in
 * order, and one that was told to have failed does not; nobody waits for ever; when nothing moves any
 * more, both wait to receive and everything has arrived, or both wait to send with both backlogs
 * full, and then are told; a waiting sender takes in no more than the backlog; and no conversation goes
 * on for ever without a message or that.
 * sizes: 2 sides (processes); messages of 1 to LONGEST pieces, KERNEL of them in a socket (room is
 * told at LOW), BACKLOG that a waiting sender takes in, INBOX in all
 *
 * run: -DKERNEL=1
 * run: -DKERNEL=2
 * run: -DKERNEL=1 -DHASTY
 * live: -DKERNEL=1
 * large: -DKERNEL=2 -DLONGEST=3 -DBACKLOG=2
 *
 * bug: BUG_TAKES_NOTHING_IN -DKERNEL=1
 * bug: BUG_NOBODY_IS_TOLD -DKERNEL=1
 * bug: BUG_REST_DROPPED -DKERNEL=1
 * bug: BUG_REST_TOLD_AS_FAILED -DKERNEL=1
 * bug: BUG_REST_FROM_THE_BEGINNING -DKERNEL=1
 * bug: BUG_MESSAGE_BEFORE_REST -DKERNEL=1
 * bug: BUG_REST_NOT_NOTED -DKERNEL=1 -DHASTY
 * bug: BUG_ROOM_NOT_HEARD_ASLEEP -DKERNEL=1 -DHASTY
 * bug: BUG_REFUSED_AND_UNTIMED -DKERNEL=1 -DHASTY
 * bug: BUG_TAKES_IN_WITHOUT_BOUND -DKERNEL=1
 * livebug: BUG_HEARS_WHAT_IT_CANNOT_TAKE -DKERNEL=1
 */
#ifndef KERNEL
#define KERNEL 2 /* pieces in a socket, each way */
#endif
#ifndef LOW
#define LOW 0 /* pieces in it when it tells that there is room */
#endif
#ifndef LONGEST
#define LONGEST 2 /* pieces of a message */
#endif
#ifndef BACKLOG
#define BACKLOG 1 /* pieces that a waiting sender takes in */
#endif
#define INBOX (BACKLOG + LONGEST)
#define LAP 2 /* numbers of messages: enough to tell one from its neighbours */
#define peer (1 - me)

mtype = { SEND, RECEIVE };

/* A piece is the number of its message, its place in that, and whether it is the last. */
chan wire[2] = [KERNEL] of { byte, byte, bit };    /* from that side */
chan outbox[2] = [LONGEST] of { byte, byte, bit }; /* of that side */
chan inbox[2] = [INBOX] of { byte, byte, bit };
mtype wants[2];
byte said[2];  /* the number of the next message */
byte heard[2]; /* of the next that is to be received */
bool calm;     /* the haste is over */

#define readable (len(wire[peer]) > 0)
#define writable (len(wire[me]) <= LOW)
#define backlog_full(s) (len(inbox[s]) >= BACKLOG)
#define whole (inbox[me]??[_, _, 1])
#ifdef BUG_TAKES_NOTHING_IN
#define may_take false
#elif defined(BUG_TAKES_IN_WITHOUT_BOUND)
#define may_take (nfull(inbox[me]))
#else
#define may_take (!backlog_full(me))
#endif
#ifdef HASTY
#define hasty (!calm)
#else
#define hasty false
#endif

#define stuck(s) (wants[s] == SEND && backlog_full(s) && len(wire[s]) > LOW)
#define idle(s) (wants[s] == RECEIVE && empty(outbox[s]) && empty(wire[s]) && said[s] == heard[1 - s])

/* From the socket into the inbox. */
inline take()
{
    wire[peer]?number, place, last;
    inbox[me]!number, place, last;
    number = 0; place = 0; last = 0
}

/* From the outbox into the socket. */
inline push()
{
    outbox[me]?number, place, last;
    wire[me]!number, place, last;
    number = 0; place = 0; last = 0
}

inline deliver()
{
    do
    :: inbox[me]?number, place, last ->
        assert(number == heard[me] && place == expected);
        expected++;
        if
        :: last -> break
        :: else
        fi
    od;
    heard[me] = (heard[me] + 1) % LAP;
    expected = 0; number = 0; place = 0; last = 0
}

/* Until there may be room, or it would wait no longer. */
inline wait_to_send()
{
    do
    :: atomic { readable && may_take ->
            take();
            assert(len(inbox[me]) <= BACKLOG)
        }
    :: writable -> break
#ifdef BUG_HEARS_WHAT_IT_CANNOT_TAKE
    :: readable
#endif
    :: atomic { hasty -> failed = true }; break
#ifndef BUG_NOBODY_IS_TOLD
    :: atomic { timeout && stuck(me) -> failed = true };
progress_told:
        break
#endif
    od
}

/* What its user does next. */
inline choose()
{
    if
    :: !calm -> wants[me] = SEND; size = 1
#if LONGEST > 1
    :: !calm -> wants[me] = SEND; size = LONGEST
#endif
    :: wants[me] = RECEIVE
    fi
}

/* What becomes of a message when its send returns. */
inline settle()
{
    atomic {
        if
#if defined(BUG_REST_DROPPED)
        :: done == size -> said[me] = (said[me] + 1) % LAP
        :: done < size
#elif defined(BUG_REST_TOLD_AS_FAILED)
        :: done == size -> said[me] = (said[me] + 1) % LAP
        :: done > 0 && done < size -> keep_rest()
        :: done == 0
#else
        :: done > 0 -> keep_rest(); said[me] = (said[me] + 1) % LAP
        :: done == 0
#endif
        fi;
        failed = false; size = 0; done = 0;
        choose()
    }
}

inline keep_rest()
{
#ifdef BUG_REST_FROM_THE_BEGINNING
    done = (done < size -> 0 : done);
#endif
    do
    :: done < size -> outbox[me]!said[me], done, (done + 1 == size); done++
    :: done == size -> break
    od
}

inline send()
{
    do
    :: atomic { nempty(outbox[me]) && nfull(wire[me]) -> push() }
#ifdef BUG_MESSAGE_BEFORE_REST
    :: atomic { done < size && nfull(wire[me]) ->
#else
    :: atomic { empty(outbox[me]) && done < size && nfull(wire[me]) ->
#endif
            wire[me]!said[me], done, (done + 1 == size);
            done++
        }
    :: empty(outbox[me]) && done == size -> break
    :: full(wire[me]) && (nempty(outbox[me]) || done < size) ->
        wait_to_send();
        if
        :: failed -> break
        :: else
        fi
    :: hasty -> break /* no memory */
    od;
progress_sent:
    settle()
}

inline receive()
{
    do
    :: atomic { whole -> deliver(); choose() };
progress_received:
        break
    :: atomic { readable && nfull(inbox[me]) -> take() }
#ifndef BUG_REST_NOT_NOTED
    :: atomic { nempty(outbox[me]) && nfull(wire[me]) -> push() }
    :: !whole && !readable && (empty(outbox[me]) || full(wire[me])) -> sleep()
    :: atomic { !whole && !readable && nempty(outbox[me]) && hasty -> refused = true };
        sleep()
#else
    :: !whole && !readable -> sleep()
#endif
    :: atomic { hasty -> choose() }; break
    od
}

inline sleep()
{
    expected = 0;
end_asleep:
    if
    :: readable
#if !defined(BUG_ROOM_NOT_HEARD_ASLEEP) && !defined(BUG_REST_NOT_NOTED)
    :: nempty(outbox[me]) && !refused && writable
#endif
#ifndef BUG_REFUSED_AND_UNTIMED
    :: refused
#endif
    :: hasty
    fi;
    refused = false
}

proctype side(bit me)
{
    byte size, done; /* pieces of the message that is sent, and those that have left */
    byte number, place, expected;
    bit last;
    bool failed, refused;

    atomic { choose() };
    do
    :: wants[me] == SEND -> send()
    :: wants[me] == RECEIVE -> receive()
    od
}

init
{
    atomic { run side(0); run side(1) }
#ifdef HASTY
    calm = true;
#endif
    timeout ->
    assert(idle(0) && idle(1) || stuck(0) && stuck(1))
}
