/* SPDX-License-Identifier: MIT */
/*
 * How a conversation gets from the socket onto the rings, and how descriptors keep to their
 * message.
 *
 * Modelled: both sides send all the time, messages with and without descriptors, and each may end
 * its direction at any moment: by shutting the socket down as long as it sends by that, by END in
 * the ring after that. The maker may offer the fast lane, the acceptor accepts, declines, or has
 * ended its direction and cannot answer. A sender that finds its ring full waits for a WAKE; who has
 * shut its socket down can send none. Sockets, rings and the descriptors that are kept for messages
 * to come have room for so many (SOCKET, RING, PARCELS).
 * Abstracted: a frame is whole or absent; memory is consistent and nobody sleeps (ring.pml); a side
 * receives without bound (flow.pml); nobody dies (death.pml).
 * Proved, for up to so many messages (MESSAGES) of each side: all arrive, each once and in order,
 * across the switch; a message's descriptors are in the socket when its frame is found in the ring,
 * and no others are taken for them; words come only when they may; and when nothing moves any more,
 * both have ended, both know it, and nobody waits for room.
 * sizes: 2 sides (processes); up to MESSAGES of each, SOCKET frames in a socket, RING in a ring,
 * PARCELS of descriptors that wait
 *
 * run: -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * run: -DSOCKET=1 -DRING=2 -DPARCELS=2 -DMESSAGES=3
 *
 * bug: BUG_RING_AFTER_OFFER -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_READ_RING_EARLY -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_NO_SWITCH -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_SOCKET_AFTER_ACCEPT -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_FRAME_BEFORE_DESCRIPTORS -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_DESCRIPTORS_UNORDERED -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_WAKE_BEFORE_SWITCH -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_SHUT_AFTER_SWITCH -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_NO_LOOK_AFTER_SHUT -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 * bug: BUG_ONLY_WAKE_WAKES -DSOCKET=2 -DRING=1 -DPARCELS=1 -DMESSAGES=3
 */
#ifndef SOCKET
#define SOCKET 2
#endif
#ifndef RING
#define RING 1
#endif
#ifndef PARCELS
#define PARCELS 2
#endif
#ifndef MESSAGES
#define MESSAGES 3 /* of each side */
#endif
#define after(counter) ((counter) + 1)
#define peer (1 - me)

/*
 * Who has not switched yet says no WAKE: SWITCH is still to come, or SHUT. A socket that is full
 * needs none. In each case there is something else by which the peer looks up.
 */
#ifdef BUG_WAKE_BEFORE_SWITCH
#define may_wake true
#else
#define may_wake out_fast
#endif

#ifdef BUG_SHUT_AFTER_SWITCH
#define may_shut true
#else
#define may_shut !out_fast
#endif

mtype = { NONE, MESSAGE, BEARER, END, OFFER, ACCEPT, DECLINE, SWITCH, DESCRIPTORS, WAKE, SHUT };

chan socket[2] = [SOCKET] of {mtype, byte}; /* to that side */
chan ring[2] = [RING] of {mtype, byte};     /* from that side */
bool starved[2];

/* What the check at the end looks at. */
byte said[2], heard[2];
bool waits[2], over[2], ended[2];

/* The message of that number has come. */
inline hear(number)
{
    assert(number == heard[me]);
    heard[me] = after(heard[me])
}

/* One frame from the socket. */
inline hear_socket()
{
    atomic {
        socket[me]?kind, number;
        if
        :: kind == MESSAGE ->
            assert(!in_fast && !over[me]);
            hear(number)
        :: kind == OFFER ->
            if
            :: due = ACCEPT
            :: due = DECLINE
            fi
        :: kind == ACCEPT -> in_fast = true; due = SWITCH
        :: kind == DECLINE -> skip
        :: kind == SWITCH -> in_fast = true
        :: kind == DESCRIPTORS ->
            assert(in_fast);
            parcels!number
        :: kind == WAKE -> assert(in_fast)
        :: kind == SHUT ->
            assert(!in_fast && !over[me]);
            shut = true;
            over[me] = true
        fi;
#ifdef BUG_ONLY_WAKE_WAKES
        waits[me] = waits[me] && kind != WAKE;
#else
        waits[me] = false;
#endif
        if
        :: ended[me] && !out_fast -> due = NONE /* cannot be said any more */
        :: else
        fi;
        kind = NONE; number = 0
    }
}

/* One frame from the ring; the room is given back. */
inline hear_ring()
{
    atomic {
        ring[peer]?kind, number;
        assert(!over[me]);
        if
        :: kind == MESSAGE -> hear(number)
        :: kind == BEARER ->
            /* What is missing lies in the socket already: nobody waits for it. */
            do
            :: empty(parcels) ->
                assert(nempty(socket[me]));
                hear_words()
            :: nempty(parcels) -> break
            od;
            hear(number);
            parcels?due_number;
            assert(due_number == number);
            due_number = 0
        :: kind == END -> over[me] = true
        fi;
        kind = NONE; number = 0
    };
    atomic {
        if
        :: starved[peer] ->
            starved[peer] = false;
            if
            :: may_wake && !gone && nfull(socket[peer]) -> socket[peer]!WAKE, 0
            :: !may_wake || gone || full(socket[peer])
            fi
        :: else
        fi
    }
}

/* After the switch the socket holds nothing but words. */
inline hear_words()
{
    socket[me]?word, due_number;
    assert(word == DESCRIPTORS || word == WAKE);
    if
    :: word == DESCRIPTORS -> parcels!due_number
    :: else
    fi;
#ifdef BUG_ONLY_WAKE_WAKES
    waits[me] = waits[me] && word != WAKE;
#else
    waits[me] = false; /* a WAKE was left out where the socket was full */
#endif
    word = NONE; due_number = 0
}

proctype side(bit me)
{
    chan parcels = [PARCELS] of {byte}; /* the messages that these descriptors are for */
    mtype kind = NONE, due = NONE, word = NONE;
    mtype pending = NONE; /* a frame for the ring */
    byte number, due_number;
    bool out_fast, in_fast, offered, gone, shut;

end:
    do
    /* Say by the socket. */
    :: atomic { !ended[me] && said[me] < MESSAGES && !out_fast && nfull(socket[peer]) ->
        socket[peer]!MESSAGE, said[me];
        said[me] = after(said[me])
    }
    :: atomic { !ended[me] && may_shut && pending == NONE && nfull(socket[peer]) ->
        socket[peer]!SHUT, 0;
        ended[me] = true; gone = true; due = NONE
    }
    :: atomic { me == 0 && !offered && !ended[me] && nfull(socket[peer]) ->
        socket[peer]!OFFER, 0;
        offered = true;
#ifdef BUG_RING_AFTER_OFFER
        out_fast = true
#endif
    }
    :: atomic { due != NONE && pending == NONE && nfull(socket[peer]) ->
#ifdef BUG_NO_SWITCH
        if
        :: due != SWITCH -> socket[peer]!due, 0
        :: else
        fi;
#else
        socket[peer]!due, 0;
#endif
#ifdef BUG_SOCKET_AFTER_ACCEPT
        if
        :: due == ACCEPT
        :: due != DECLINE -> out_fast = true
        :: else
        fi;
#else
        out_fast = (due != DECLINE);
#endif
        due = NONE
    }

    /* Say by the ring. */
    :: atomic { !ended[me] && said[me] < MESSAGES && out_fast && pending == NONE ->
        pending = MESSAGE
    }
    :: atomic { !ended[me] && out_fast && pending == NONE -> pending = END; ended[me] = true }
#ifdef BUG_FRAME_BEFORE_DESCRIPTORS
    :: !ended[me] && out_fast && pending == NONE && nfull(ring[me]) ->
        ring[me]!BEARER, said[me];
        socket[peer]!DESCRIPTORS, said[me];
        said[me] = after(said[me])
#endif
    :: atomic { !ended[me] && said[me] < MESSAGES && out_fast && pending == NONE &&
        nfull(socket[peer]) ->
#ifdef BUG_DESCRIPTORS_UNORDERED
        if
        :: socket[peer]!DESCRIPTORS, said[me]
        :: socket[peer]!DESCRIPTORS, after(said[me])
        fi;
#else
        socket[peer]!DESCRIPTORS, said[me];
#endif
        pending = BEARER
    }
    :: atomic { pending != NONE && nfull(ring[me]) && !waits[me] ->
        ring[me]!pending, said[me];
        if
        :: pending != END -> said[me] = after(said[me])
        :: else
        fi;
        pending = NONE
    }
    :: pending != NONE && full(ring[me]) && !waits[me] ->
        starved[me] = true;
        atomic {
            if
            :: full(ring[me]) -> waits[me] = true
            :: nfull(ring[me]) -> starved[me] = false
            fi
        }
#ifndef BUG_NO_LOOK_AFTER_SHUT
    /* No WAKE can come: looks again after a time. */
    :: atomic { waits[me] && shut && nfull(ring[me]) -> waits[me] = false }
#endif

    /* Receive, at any moment, also while it waits. */
    :: nempty(socket[me]) && (nfull(parcels) || !socket[me]?[DESCRIPTORS, _]) -> hear_socket()
#ifndef BUG_ONLY_WAKE_WAKES
    :: atomic { waits[me] && nempty(socket[me]) && nfull(ring[me]) -> waits[me] = false }
#endif
#ifdef BUG_READ_RING_EARLY
    :: nempty(ring[peer]) -> hear_ring()
#else
    :: in_fast && nempty(ring[peer]) -> hear_ring()
#endif
    od
}

init
{
    atomic { run side(0); run side(1) }
    timeout ->
    assert(ended[0] && ended[1] && over[0] && over[1]);
    assert(!waits[0] && !waits[1]);
    assert(said[0] == heard[1] && said[1] == heard[0])
}
