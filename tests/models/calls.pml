/* SPDX-License-Identifier: MIT */
/*
 * Requests: the books of both sides, and all that can cross.
 *
 * Modelled: the requests of one side, the requester, to the other, the answerer; those of the other
 * direction know nothing of them. Each side has a thread that sends and one that receives. A request
 * is entered before it is sent and settled after it, a send may fail; a deadline or the user ends it
 * early, and the CANCEL is due until somebody writes it. An answer stays in the answerer's book while
 * it leaves, or a refusal until it is written. Either side may end its direction or die at any moment.
 * Abstracted: the bytes; time (a deadline passes when it likes); waiting for room, but for a socket
 * that is full (flow.pml). A conversation is endless: an id stands for each that has a trace nowhere,
 * so none is used twice by a requester like duplex. A stranger may take one again when its request was
 * answered (REUSE=1), or was cancelled too (REUSE=2; its user can tell an answer that is late).
 * Proved: a requester is told of each request exactly once, whatever crosses; the answerer never
 * counts more than the limit that a requester keeps, nor sees an id that is open, and can answer all
 * that it holds; no answer meets a request that it was not for; each book is empty at the end.
 * sizes: 4 threads, and 2 more processes for each of IDS requests at a time; LIMIT of them may be
 * open, ROOM frames in a socket each way
 *
 * run: -DIDS=2 -DLIMIT=1 -DROOM=1
 * run: -DIDS=2 -DLIMIT=2
 * run: -DIDS=2 -DLIMIT=2 -DREUSE=1 -DROOM=1
 * run: -DIDS=2 -DLIMIT=2 -DREUSE=2 -DROOM=1
 * large: -DIDS=3 -DLIMIT=2 -DROOM=1
 * large: -DIDS=2 -DLIMIT=2 -DREUSE=2
 *
 * bug: BUG_ENTERED_AFTER_SEND -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_LATE_ANSWER_TOLD -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_LATE_CANCEL_BREAKS -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_LEAVING_COUNTS -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_STRUCK_BEFORE_CANCEL -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_END_NOT_LOOKED_FOR -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_REFUSES_WHAT_LEAVES -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_NEW_ONE_STRUCK -DIDS=2 -DLIMIT=2 -DREUSE=1 -DROOM=1
 * bug: BUG_CANCELLED_STAYS_LEAVING -DIDS=2 -DLIMIT=2 -DREUSE=2 -DROOM=1
 * bug: BUG_FAILED_STAYS_OPEN -DIDS=2 -DLIMIT=1 -DROOM=1
 * bug: BUG_BEREAVES_HALF -DIDS=2 -DLIMIT=1 -DROOM=1
 */
#ifndef IDS
#define IDS 2
#endif
#ifndef LIMIT
#define LIMIT 1 /* requests that may be open */
#endif
#ifndef REUSE
#define REUSE 0
#endif
#ifndef ROOM
#define ROOM 2 /* frames in a socket */
#endif

mtype = { REQUEST, ANSWER, CANCEL };
mtype = { NONE, SENDING, STARTED, OPEN, DUE };

/* A frame bears an id, and which use of it. */
chan asked = [ROOM] of { mtype, byte, bit };
chan said = [ROOM] of { mtype, byte, bit };
byte flying[IDS]; /* frames with that id in them */

/* Of the requester. */
mtype ours[IDS] = NONE;
byte our_count;
bool over;             /* it has heard the end */
bool told[IDS] = true; /* of the end of the request */
bit use[IDS]; /* tells a use of the id from the one before, and no more can be on their way */
bool cancels;    /* its user may cancel, or has set deadlines */
bool spent[IDS]; /* cancelled, and not used again */
/* Of the answerer. */
mtype theirs[IDS] = NONE;
byte their_count;
byte leaving = IDS;   /* the id whose answer is being sent */
byte answering = IDS; /* the same, as the thread that sends it knows it */
bit answering_use;
bool held[IDS];       /* its user has the request */
bit their_use[IDS];
/* Of both: 0 is the requester. */
bool ended[2], dead[2];

#define can_send(s) (!ended[s] && !dead[s] && !dead[1 - s])
#define is_leaving (leaving < IDS && theirs[leaving % IDS] == OPEN)

#if REUSE == 2
#define closed(i) (ours[i] == NONE && flying[i] == 0 && \
                   (answering != i || answering_use == use[i]))
#elif REUSE == 1
#define closed(i) (ours[i] == NONE && !spent[i])
#else
#define closed(i) (ours[i] == NONE && theirs[i] == NONE && flying[i] == 0 && !held[i] && \
                   leaving != i && answering != i)
#endif
#define can_start(i) (!ended[0] && !dead[0] && !over && our_count < LIMIT && closed(i) && told[i])

inline tell(i)
{
    assert(!told[i]);
    told[i] = true
}

inline strike(i)
{
    ours[i] = NONE;
    our_count--
}

inline post(channel, what, i, mark)
{
    channel!what, i, mark;
    flying[i]++
}

/* It was sent, or never existed. */
inline settle()
{
    if
    :: ours[i] == SENDING && failed ->
        tell(i);
#ifdef BUG_FAILED_STAYS_OPEN
        ours[i] = STARTED
#else
        strike(i)
#endif
#ifdef BUG_END_NOT_LOOKED_FOR
    :: ours[i] == SENDING && !failed -> ours[i] = STARTED
#else
    :: ours[i] == SENDING && !failed && over ->
        tell(i);
        strike(i)
    :: ours[i] == SENDING && !failed && !over -> ours[i] = STARTED
#endif
    :: ours[i] != SENDING /* answered meanwhile */
    fi
}

proctype caller()
{
    byte i;
    bool failed;

    do
    :: atomic {
            if
            :: can_start(0) -> i = 0
#if IDS > 1
            :: can_start(1) -> i = 1
#endif
#if IDS > 2
            :: can_start(2) -> i = 2
#endif
#if IDS > 3
            :: can_start(3) -> i = 3
#endif
            fi;
            use[i] = 1 - use[i];
            told[i] = false;
#ifndef BUG_ENTERED_AFTER_SEND
            ours[i] = SENDING;
#endif
            our_count++;
            failed = false
        };
        if
        :: atomic { can_send(0) && nfull(asked) -> post(asked, REQUEST, i, use[i]) }
        :: failed = true /* at a deadline, or because nobody is there */
        fi;
        atomic {
#ifdef BUG_ENTERED_AFTER_SEND
            ours[i] = SENDING;
#endif
            settle();
            i = 0;
            failed = false
        }
    :: ended[0] = true; break
    :: dead[0] = true; break
    :: break /* it asks no more, and listens */
    od
}

/* dx_cancel() or a deadline; and whoever writes the CANCEL that is due. */
proctype canceller(byte i)
{
end:
    do
    :: atomic {
            cancels && ours[i] == STARTED && !dead[0] ->
            tell(i);
            ours[i] = DUE;
            spent[i] = (REUSE == 1);
#ifdef BUG_STRUCK_BEFORE_CANCEL
            our_count--
#endif
        }
    :: atomic {
            ours[i] == DUE && can_send(0) && nfull(asked) ->
            post(asked, CANCEL, i, use[i]);
#ifdef BUG_STRUCK_BEFORE_CANCEL
            ours[i] = NONE
#else
            strike(i)
#endif
        }
#ifndef BUG_STRUCK_BEFORE_CANCEL
    :: atomic { ours[i] == DUE && !can_send(0) && !dead[0] -> strike(i) }
#else
    :: atomic { ours[i] == DUE && !can_send(0) && !dead[0] -> ours[i] = NONE }
#endif
    od
}

inline sort_answer()
{
    if
#ifdef BUG_ENTERED_AFTER_SEND
    :: ours[i] == NONE ->
        assert(told[i]) /* was it ever made? */
#else
    :: ours[i] == NONE /* late */
#endif
#ifdef BUG_LATE_ANSWER_TOLD
    :: ours[i] != NONE ->
#else
    :: ours[i] == DUE
#if REUSE == 2
    :: ours[i] != NONE && ours[i] != DUE && mark != use[i] /* late, as its user can tell */
    :: ours[i] != NONE && ours[i] != DUE && mark == use[i] ->
#else
    :: ours[i] != NONE && ours[i] != DUE ->
#endif
#endif
        assert(mark == use[i]);
        tell(i);
        strike(i)
    fi
}

proctype requester()
{
    byte i;
    bit mark;

end:
    do
    :: atomic {
            !dead[0] && nempty(said) ->
            said?ANSWER, i, mark;
            flying[i]--;
            sort_answer();
            i = 0;
            mark = 0
        }
    :: atomic { !dead[0] && empty(said) && (ended[1] || dead[1]) -> over = true };
        break
    od;
    /* Each that has no answer is told, one at a time. */
    do
    :: i < IDS ->
        atomic {
            if
#ifdef BUG_BEREAVES_HALF
            :: ours[i] == STARTED && i == 0 ->
#else
            :: ours[i] == STARTED ->
#endif
                tell(i);
                strike(i)
            :: else
            fi;
            i++
        }
    :: i == IDS -> break
    od
}

inline forget(i)
{
    theirs[i] = NONE;
    their_count--
}

inline sort_request()
{
    if
    :: leaving == i && theirs[i] == OPEN ->
#ifdef BUG_NEW_ONE_STRUCK
        skip
#else
        leaving = IDS /* the place is the new one's */
#endif
    :: else ->
#ifdef BUG_LEAVING_COUNTS
        assert(their_count < LIMIT);
#else
        assert(their_count - (is_leaving -> 1 : 0) < LIMIT);
#endif
        assert(theirs[i] == NONE);
        theirs[i] = OPEN;
        their_count++
    fi;
    their_use[i] = mark;
    held[i] = true
}

inline sort_cancel()
{
    if
    :: theirs[i] != NONE ->
        forget(i);
        held[i] = false;
#ifndef BUG_CANCELLED_STAYS_LEAVING
        if
        :: leaving == i -> leaving = IDS
        :: else
        fi
#endif
#ifdef BUG_LATE_CANCEL_BREAKS
    :: theirs[i] == NONE -> assert(false)
#else
    :: theirs[i] == NONE /* it has crossed with the answer */
#endif
    fi
}

proctype answerer()
{
    byte i;
    bit mark;

end:
    do
    :: atomic {
            !dead[1] && nempty(asked) ->
            if
            :: asked?REQUEST, i, mark -> flying[i]--; sort_request()
            :: asked?CANCEL, i, mark -> flying[i]--; sort_cancel()
            fi;
            i = 0;
            mark = 0
        }
    od
}

inline begin_answer(k)
{
    held[k] && !ended[1] && !dead[1] ->
    assert(theirs[k] == OPEN && leaving == IDS);
    i = k;
    mark = their_use[k];
    leaving = k;
    answering = k;
    answering_use = mark;
    held[k] = false
}

/* dx_reply() */
proctype replier()
{
    byte i;
    bit mark;

end:
    do
    :: atomic {
            if
            :: begin_answer(0)
#if IDS > 1
            :: begin_answer(1)
#endif
#if IDS > 2
            :: begin_answer(2)
#endif
#if IDS > 3
            :: begin_answer(3)
#endif
            fi
        };
        if
        :: atomic { can_send(1) && nfull(said) -> post(said, ANSWER, i, mark) };
            atomic {
                if
                :: is_leaving -> forget(leaving)
                :: else
                fi;
                leaving = IDS;
                answering = IDS;
                answering_use = 0;
                i = 0;
                mark = 0
            }
        :: atomic { /* not sent: it is open as before, unless it was cancelled meanwhile */
                if
                :: leaving == i && is_leaving -> held[i] = true
                :: else
                fi;
                leaving = IDS;
                answering = IDS;
                answering_use = 0;
                i = 0;
                mark = 0
            }
        fi
    :: atomic { !ended[1] && !dead[1] -> ended[1] = true }
    :: atomic { !dead[1] -> dead[1] = true }; break
    od
}

/* A handler that refuses, and whoever writes the ERROR that is due. */
proctype refuser(byte i)
{
end:
    do
#ifdef BUG_REFUSES_WHAT_LEAVES
    :: atomic { theirs[i] == OPEN && !dead[1] -> theirs[i] = DUE; held[i] = false }
#else
    :: atomic { theirs[i] == OPEN && held[i] && !dead[1] -> theirs[i] = DUE; held[i] = false }
#endif
    :: atomic {
            theirs[i] == DUE && can_send(1) && nfull(said) ->
            post(said, ANSWER, i, their_use[i]);
            forget(i)
        }
    :: atomic { theirs[i] == DUE && !can_send(1) && !dead[1] -> forget(i) }
    od
}

init
{
    byte i;

    if
    :: cancels = true
    :: cancels = false
    fi;
    atomic {
        run caller(); run requester(); run answerer(); run replier();
        do
        :: i < IDS -> run canceller(i); run refuser(i); i++
        :: else -> break
        od;
        i = 0
    };
    timeout ->
    do
    :: i < IDS ->
        assert(told[i] || dead[0]);
        assert(ours[i] == NONE || dead[0]);
        assert(theirs[i] == NONE || dead[1] || !can_send(1));
        i++
    :: else -> break
    od;
    assert(our_count == 0 || dead[0])
}
