/* SPDX-License-Identifier: MIT */
/*
 * Two sides that both send, and the bound of what a sender takes in while it waits.
 *
 * Modelled: each side wants to send a piece of a message or to receive one, as it likes, for ever;
 * who waits for room takes in what comes, up to the backlog, and is both starved and asleep
 * meanwhile; room is given back at a part of the ring, before a sleep, or along with what is sent;
 * frames in the socket wake. A sender gives up (-EDEADLK) when nothing moves any more and its
 * backlog is full.
 * Abstracted: time, in that "nothing moves" stands for 100 ms without a move; a side whose user does
 * neither, for whom a sender waits until its deadline; what the pieces hold (ring.pml, with a weaker
 * memory than here); death (death.pml).
 * Proved, for conversations of any length: nobody waits for ever; when nothing moves any more, both
 * wait to receive and nothing is there, or both wait to send and both rings and backlogs are full,
 * and then a sender is told; and no conversation goes on for ever without a message or that.
 * sizes: 2 sides (processes); RING pieces in a ring, QUARTER taken before room is given back,
 * BACKLOG that a waiting sender takes in; messages without end
 *
 * run: -DRING=2 -DBACKLOG=1
 * run: -DRING=2 -DBACKLOG=2 -DQUARTER=2
 * run: -DRING=4 -DBACKLOG=3 -DQUARTER=2
 * live: -DRING=2 -DBACKLOG=1
 *
 * bug: BUG_TAKES_NOTHING_IN -DRING=2 -DBACKLOG=1
 * bug: BUG_NOT_ASLEEP_WHILE_STARVED -DRING=2 -DBACKLOG=1
 * bug: BUG_NOT_STARVED_WHILE_ASLEEP -DRING=2 -DBACKLOG=1
 * bug: BUG_HEAD_KEPT_ASLEEP -DRING=2 -DBACKLOG=2 -DQUARTER=2
 * bug: BUG_NO_LOOK_ASLEEP -DRING=2 -DBACKLOG=1
 * bug: BUG_GIVES_UNSEEN -DRING=4 -DBACKLOG=3 -DQUARTER=2
 * bug: BUG_NOBODY_IS_TOLD -DRING=2 -DBACKLOG=1
 * bug: BUG_BACKLOG_NOT_RECEIVED -DRING=2 -DBACKLOG=1
 */
#ifndef RING
#define RING 2 /* pieces in a ring */
#endif
#ifndef BACKLOG
#define BACKLOG 1 /* pieces that a waiting sender takes in */
#endif
#ifndef QUARTER
#define QUARTER 1 /* pieces that are taken before their room is given back */
#endif
#define peer (1 - me)

mtype = { NOTHING, SEND, RECEIVE };

/* Of direction D, which side D sends by. */
byte filled[2]; /* pieces that can be taken */
byte used[2];   /* pieces without room for another: filled, and taken but not given back */
bool asleep[2], starved[2];
/* Of a side. */
byte backlog[2];
bool socket[2];
mtype wants[2] = NOTHING;
bool sleeps[2];

#define room(d) (used[d] < RING)
#define takes_in(s) (wants[s] == RECEIVE && backlog[s] == 0 || \
                     wants[s] == SEND && !room(s) && backlog[s] < BACKLOG)
#define stuck(s) (sleeps[s] && wants[s] == SEND && !room(s) && backlog[s] == BACKLOG)
#define idle(s) (sleeps[s] && wants[s] == RECEIVE && backlog[s] == 0 && filled[1 - s] == 0)

inline wake(flag)
{
    if
    :: atomic { flag -> flag = false; socket[peer] = true }
    :: !flag
    fi
}

inline give_back()
{
    atomic { used[peer] = used[peer] - owed; owed = 0 };
    wake(starved[peer])
}

inline sleep()
{
#ifndef BUG_HEAD_KEPT_ASLEEP
    if
    :: owed > 0 -> give_back()
    :: else
    fi;
#endif
#ifdef BUG_NOT_ASLEEP_WHILE_STARVED
    asleep[peer] = (wants[me] == RECEIVE);
#else
    asleep[peer] = (wants[me] == RECEIVE || backlog[me] < BACKLOG);
#endif
#ifdef BUG_NOT_STARVED_WHILE_ASLEEP
    starved[me] = (wants[me] == SEND && !asleep[peer]);
#else
    starved[me] = (wants[me] == SEND);
#endif
#ifdef BUG_NO_LOOK_ASLEEP
    sleeps[me] = true;
#else
    atomic {
        if
        :: filled[peer] > 0 && takes_in(me)
        :: wants[me] == SEND && room(me)
        :: else -> sleeps[me] = true
        fi
    };
#endif
    if
    :: wants[me] == RECEIVE ->
end_asleep:
        atomic { !sleeps[me] || socket[me] -> sleeps[me] = false }
    :: wants[me] == SEND ->
        if
        :: atomic { !sleeps[me] || socket[me] -> sleeps[me] = false }
#ifndef BUG_NOBODY_IS_TOLD
        :: atomic { timeout && stuck(me) -> sleeps[me] = false; wants[me] = RECEIVE } /* -EDEADLK */
#endif
        fi
    fi;
    asleep[peer] = false;
    starved[me] = false;
    socket[me] = false
}

proctype side(bit me)
{
    byte owed;

    do
    :: wants[me] == NOTHING -> wants[me] = SEND
    :: wants[me] == NOTHING -> wants[me] = RECEIVE
    :: wants[me] == SEND && room(me) ->
progress_sent:
        atomic { used[me]++; filled[me]++; wants[me] = NOTHING };
        if
        :: atomic { owed > 0 -> used[peer] = used[peer] - owed; owed = 0 };
            wake(asleep[me]);
#ifndef BUG_GIVES_UNSEEN
            wake(starved[peer])
#endif
        :: wake(asleep[me])
        fi
#ifdef BUG_BACKLOG_NOT_RECEIVED
    :: atomic { wants[me] == RECEIVE && backlog[me] > 0 && filled[peer] > 0 ->
#else
    :: atomic { wants[me] == RECEIVE && backlog[me] > 0 ->
#endif
        backlog[me]--;
        wants[me] = NOTHING
    }
#ifndef BUG_TAKES_NOTHING_IN
    :: atomic { filled[peer] > 0 && takes_in(me) ->
#else
    :: atomic { filled[peer] > 0 && takes_in(me) && wants[me] == RECEIVE ->
#endif
        filled[peer]--;
        owed++;
        backlog[me]++
    };
        if
        :: owed >= QUARTER -> give_back()
        :: else
        fi
    :: (wants[me] == SEND && !room(me) || wants[me] == RECEIVE && backlog[me] == 0) &&
        !(filled[peer] > 0 && takes_in(me)) -> sleep()
    od
}

init
{
    atomic { run side(0); run side(1) }
    timeout ->
    assert(idle(0) && idle(1) || stuck(0) && stuck(1) && filled[0] == RING && filled[1] == RING)
}
