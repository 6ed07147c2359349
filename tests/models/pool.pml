/* SPDX-License-Identifier: MIT */
/*
 * A pool and its workers: what becomes of each job, whoever dies, and whether the pool ever sleeps on
 * something that it should do.
 *
 * Modelled: the one thread of the pool, in the steps of its turn (take answers, give out jobs, tend,
 * sleep); workers that start, greet, read jobs in any order, answer or die at any moment, of a job or
 * of nothing, and may end the conversation only; a start that fails; suspects and the worker that is
 * kept for them, blame, retries; backoff and the limit of restarts; drain, cancel, close.
 * Abstracted: time, in that what is to be later is due at any moment; the bytes, and workers that take
 * no more just now; job deadlines (a worker that is killed for one dies as of something else);
 * recycling, order, bounds of the queue. That an answer wakes a pool that sleeps on the fast lane is
 * ring.pml's; here it is one step.
 * Proved: each job that was accepted has exactly one result; an answer that was given counts; with
 * depth 1 no job is run oftener than it may be; no job fails for another's deed (POISON); the pool
 * sleeps only if something will wake it; and at the end no worker is left.
 * sizes: the pool, a clock, and WORKERS workers (processes), of which DEATHS may die or fall silent
 * (255: without end); JOBS jobs, DEPTH with a worker, RETRIES, LIMIT ends in a row
 *
 * run: -DDEATHS=255 -DWORKERS=1
 * run: -DDEATHS=255 -DWORKERS=1 -DDEPTH=2 -DCANCELS
 * run: -DDEPTH=2 -DPOISON
 * run: -DDEPTH=2 -DPOISON -DRETRIES=0
 * run: -DDEPTH=2 -DPOISON -DWORKERS=1 -DJOBS=3
 * run: -DDEPTH=2 -DPOISON -DJOBS=3
 * run: -DDEATHS=1
 * run: -DDEATHS=2 -DRETRIES=0 -DLIMIT=1
 * run: -DDEATHS=2 -DRETRIES=0 -DLIMIT=0 -DCANCELS
 * large: -DDEATHS=2
 * large: -DDEATHS=2 -DDEPTH=2 -DCANCELS
 * large: -DDEATHS=1 -DDEPTH=2 -DJOBS=3
 *
 * bug: BUG_JUDGED_BEFORE_HEARD -DDEATHS=255 -DWORKERS=1
 * bug: BUG_NO_TIMER_AFTER_DEATH -DDEATHS=255 -DWORKERS=1
 * bug: BUG_ALL_ARE_BLAMED -DDEPTH=2 -DPOISON -DRETRIES=0
 * bug: BUG_SUSPECTS_TOGETHER -DDEPTH=2 -DPOISON
 * bug: BUG_KEPT_FOR_THE_DEAD -DDEPTH=2 -DPOISON
 * bug: BUG_CANCELLED_ANSWER_COUNTS -DDEATHS=255 -DWORKERS=1 -DDEPTH=2 -DCANCELS
 * bug: BUG_LULLED_UNSEEN -DDEPTH=2 -DPOISON
 * bug: BUG_BLAMED_WITHOUT_END -DDEATHS=255 -DWORKERS=1
 * bug: BUG_FAILS_WITHOUT_THE_QUEUE -DDEATHS=255 -DWORKERS=1
 * bug: BUG_GIVEN_AND_KEPT -DDEATHS=255 -DWORKERS=1 -DDEPTH=2 -DCANCELS
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef JOBS
#define JOBS 2
#endif
#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef RETRIES
#define RETRIES 1
#endif
#ifdef LIMIT
/* as it was said */
#elif defined(POISON)
#define LIMIT 4 /* ends in a row without an answer: what a poisoned job can cause, and no more */
#else
#define LIMIT 2
#endif
#define NOBODY WORKERS

mtype = { EMPTY, STARTING, READY, ENDING, KILLED }; /* stages */
mtype = { WELL, SILENT, ASKED }; /* why we have a worker end */
mtype = { UNKNOWN, QUEUED, SUSPECT, GIVEN, DROPPED, DONE }; /* jobs */
mtype = { NEVER, LATER, DUE }; /* times */
mtype = { OPEN, DRAINING, FAILED, CLOSING }; /* the pool */

#ifdef DEATHS
byte deaths = DEATHS; /* that are still to come; 255: endlessly many */

inline die_once()
{
    deaths = (deaths == 255 -> 255 : deaths - 1)
}
#endif

/* Of a job. */
mtype job[JOBS] = UNKNOWN;
byte with[JOBS] = NOBODY;
bool unread[JOBS]; /* the worker has not read it */
bool answered[JOBS]; /* the answer is in the channel */
byte blamed[JOBS], runs[JOBS];
bool accepted[JOBS], spared[JOBS];
byte results[JOBS];
/* Of a place. */
mtype stage[WORKERS] = EMPTY;
mtype reason[WORKERS] = WELL;
mtype until[WORKERS] = NEVER;
mtype start_at[WORKERS] = DUE;
bool alive[WORKERS], up[WORKERS], greets[WORKERS], ended[WORKERS], missed[WORKERS];
bool fruitful[WORKERS];
bool awake[WORKERS], event[WORKERS];
bool alone[WORKERS], has_suspect[WORKERS];
/* Of the pool. */
mtype state = OPEN;
mtype timer = NEVER;
byte reserved = NOBODY, fruitless, unfinished, live, leaving;

#define is_with(j, w) ((job[j] == GIVEN || job[j] == DROPPED) && with[j] == (w))
#if JOBS == 3
#define count(w) (is_with(0, w) + is_with(1, w) + is_with(2, w))
#define is_any(what) (job[0] == what || job[1] == what || job[2] == what)
#define says(w) (greets[w] || is_with(0, w) && answered[0] || is_with(1, w) && answered[1] || \
                 is_with(2, w) && answered[2])
#define reads_none(w) !(is_with(0, w) && unread[0] || is_with(1, w) && unread[1] || \
                        is_with(2, w) && unread[2])
#else
#define count(w) (is_with(0, w) + is_with(1, w))
#define is_any(what) (job[0] == what || job[1] == what)
#define says(w) (greets[w] || is_with(0, w) && answered[0] || is_with(1, w) && answered[1])
#define reads_none(w) !(is_with(0, w) && unread[0] || is_with(1, w) && unread[1])
#endif
#define is_open(w) (stage[w] == READY && !alone[w] && count(w) < DEPTH)
#if WORKERS == 2
#define idle_one ((is_open(0) && count(0) == 0) || (is_open(1) && count(1) == 0))
#define any_open (is_open(0) || is_open(1))
#define least(w) (is_open(w) && !(is_open(1 - (w)) && count(1 - (w)) < count(w)))
#define something (occurs(0) || occurs(1))
#else
#define idle_one (is_open(0) && count(0) == 0)
#define any_open is_open(0)
#define least(w) is_open(w)
#define something occurs(0)
#endif
#define staying (live - leaving)
#define wanted (state == OPEN || state == DRAINING -> \
                (unfinished + DROPS < WORKERS -> unfinished + DROPS : WORKERS) : 0)
#define DROPS (job[0] == DROPPED -> 1 : 0)
/* What the kernel tells. */
#define dies(w) (stage[w] != EMPTY && !alive[w])
#define is_over(w) (ended[w] || !alive[w])
#define occurs(w) (dies(w) || event[w])

inline due(at)
{
    if
    :: timer == NEVER || at == DUE -> timer = at
    :: else
    fi
}

inline consider_growth(w)
{
    if
    :: staying < wanted ->
        w = 0;
        do
        :: w < WORKERS && stage[w] == EMPTY -> due(start_at[w]); w++
        :: w < WORKERS && stage[w] != EMPTY -> w++
        :: w == WORKERS -> break
        od
    :: else
    fi
}

/* A job has its result. */
inline finish(j)
{
    results[j]++;
    assert(results[j] == 1);
    unfinished--;
    job[j] = DONE;
    with[j] = NOBODY;
    unread[j] = false;
    answered[j] = false
}

inline retire(w, to)
{
    if
    :: stage[w] == STARTING || stage[w] == READY -> leaving++ /* unreached else: leave() */
    :: else
    fi;
    if
#ifndef BUG_KEPT_FOR_THE_DEAD
    :: reserved == w -> reserved = NOBODY
#endif
    :: else
    fi;
    stage[w] = to
}

inline leave(w, why)
{
    if
    :: reason[w] == WELL -> reason[w] = why
    :: else
    fi;
    retire(w, ENDING);
    until[w] = LATER;
    due(LATER)
}

inline kill(w)
{
    if
    :: stage[w] != EMPTY && stage[w] != KILLED ->
        retire(w, KILLED);
        until[w] = NEVER
    :: else
    fi
}

/* A job is no longer with the worker. */
inline release(w)
{
    if
    :: count(w) == 0 ->
        has_suspect[w] = false;
        if
        :: alone[w] && w != reserved -> alone[w] = false
        :: else
        fi
    :: else
    fi
}

inline fail_all()
{
    state = FAILED;
    k = 0;
    do
    :: k < WORKERS -> reason[k] = ASKED; kill(k); alone[k] = false; has_suspect[k] = false; k++
    :: k == WORKERS -> break
    od;
    reserved = NOBODY;
    k = 0;
    do
    :: k < JOBS ->
        if
#ifdef BUG_FAILS_WITHOUT_THE_QUEUE
        :: job[k] == GIVEN || job[k] == SUSPECT -> finish(k)
#else
        :: job[k] == GIVEN || job[k] == SUSPECT || job[k] == QUEUED ->
#ifdef POISON
            assert(false); /* nothing but a poisoned job, and it is found before */
#endif
            finish(k)
#endif
        :: job[k] == DROPPED -> job[k] = DONE; with[k] = NOBODY
        :: else
        fi;
        k++
    :: k == JOBS -> break
    od;
    k = 0
}

inline note_fruitless(w, started)
{
    start_at[w] = LATER;
    fruitless = (fruitless < LIMIT + 1 -> fruitless + 1 : fruitless);
    if
    :: (state == OPEN || state == DRAINING) && fruitless > LIMIT &&
        (started || stage[0] != READY && stage[WORKERS - 1] != READY) -> fail_all()
    :: else
    fi
}

/* Take all that a worker has said. */
inline take(w)
{
    event[w] = false;
    greets[w] = false;
    if
    :: stage[w] == STARTING && greeted -> stage[w] = READY
    :: else
    fi;
    k = 0;
    do
    :: k < JOBS && is_with(k, w) && answered[k] ->
        fruitful[w] = true;
        fruitless = 0;
        if
        :: job[k] == GIVEN -> finish(k)
#ifdef BUG_CANCELLED_ANSWER_COUNTS
        :: job[k] == DROPPED -> unfinished++; finish(k)
#else
        :: job[k] == DROPPED -> job[k] = DONE; with[k] = NOBODY; answered[k] = false
#endif
        fi;
        release(w);
        took = true;
        k++
    :: k < JOBS && !(is_with(k, w) && answered[k]) -> k++
    :: k == JOBS -> break
    od;
    k = 0
}

/* What is put back is queued again, or is a suspect. */
inline put_back(j, as)
{
    job[j] = as;
    with[j] = NOBODY;
    unread[j] = false
}

inline blame(j)
{
#ifndef BUG_BLAMED_WITHOUT_END
    blamed[j]++;
#endif
    if
    :: blamed[j] > RETRIES ->
#ifdef POISON
        assert(j == 0);
#endif
        finish(j)
    :: else -> put_back(j, SUSPECT)
    fi
}

inline judge(w)
{
    several = count(w) > 1;
    innocent = (reason[w] == ASKED);
    k = 0;
    do
    :: k < JOBS && is_with(k, w) ->
        assert(!answered[k]);
        if
        :: job[k] == DROPPED -> job[k] = DONE; with[k] = NOBODY; unread[k] = false
        :: else ->
            if
            :: !several && reason[w] == WELL && fruitful[w] && !spared[k] &&
                (missed[w] || unread[k]) ->
                spared[k] = true;
                innocent = true
            :: else
            fi;
            if
            :: innocent -> put_back(k, QUEUED)
#ifdef BUG_ALL_ARE_BLAMED
            :: !innocent -> blame(k)
#else
            :: !innocent && several -> put_back(k, SUSPECT)
            :: !innocent && !several -> blame(k)
#endif
            fi
        fi;
        k++
    :: k < JOBS && !is_with(k, w) -> k++
    :: k == JOBS -> break
    od;
    k = 0;
    several = false;
    innocent = false
}

inline bury(w)
{
    if
    :: reason[w] == SILENT && stage[w] != KILLED -> reason[w] = WELL
    :: else
    fi;
    if
    :: stage[w] != KILLED -> retire(w, KILLED)
    :: else
    fi;
#ifndef BUG_JUDGED_BEFORE_HEARD
    take(w);
#endif
    barren = !fruitful[w] && reason[w] != ASKED;
    judge(w);
    if
#ifndef BUG_KEPT_FOR_THE_DEAD
    :: reserved == w -> reserved = NOBODY
#endif
    :: else
    fi;
    stage[w] = EMPTY;
    reason[w] = WELL;
    until[w] = NEVER;
    start_at[w] = DUE;
    awake[w] = false;
    event[w] = false;
    greets[w] = false;
    ended[w] = false;
    missed[w] = false;
    up[w] = false;
    fruitful[w] = false;
    alone[w] = false;
    has_suspect[w] = false;
    live--;
    leaving--;
    if
    :: barren -> note_fruitless(w, true)
    :: else
    fi;
    barren = false;
#ifndef BUG_NO_TIMER_AFTER_DEATH
    consider_growth(k);
#endif
    k = 0
}

inline start(w)
{
    if
    :: stage[w] = STARTING;
        alive[w] = true;
        awake[w] = true;
        live++
#ifdef DEATHS
    :: deaths > 0 -> die_once(); note_fruitless(w, false) /* it could not be started */
#endif
    fi
}

/* Give a job to a worker, who may be dead by now. */
inline give(j, w)
{
    if
    :: !is_over(w) || !ended[w] ->
        /* It takes it, or it is sent with others, and nobody knows yet. */
        job[j] = GIVEN;
        with[j] = w;
        unread[j] = true;
        if
        :: !alive[w] -> missed[w] = true; leave(w, SILENT)
        :: else
        fi
    :: is_over(w) ->
        /* It takes nothing more. */
#ifdef BUG_GIVEN_AND_KEPT
        job[j] = GIVEN;
        with[j] = NOBODY;
#endif
        leave(w, SILENT)
    fi;
    awake[w] = true
}

/* The open worker that has the fewest. */
inline choose(w)
{
    if
    :: least(0) -> w = 0
#if WORKERS == 2
    :: least(1) -> w = 1
#endif
    :: !any_open -> w = NOBODY
    fi
}

inline first(what, j)
{
    j = 0;
    do
    :: j < JOBS && job[j] != what -> j++
    :: j < JOBS && job[j] == what -> break
    :: j == JOBS -> break
    od
}

inline give_suspects()
{
    if
    :: reserved != NOBODY && count(reserved) > 0 && !has_suspect[reserved] && idle_one ->
        alone[reserved] = false;
        reserved = NOBODY
    :: else
    fi;
    if
    :: reserved == NOBODY ->
        choose(u);
        if
        :: u != NOBODY -> alone[u] = true; reserved = u
        :: else
        fi
    :: else
    fi;
#ifdef BUG_SUSPECTS_TOGETHER
    if
    :: reserved != NOBODY && count(reserved) < DEPTH && stage[reserved % WORKERS] == READY ->
#else
    if
    :: reserved != NOBODY && count(reserved) == 0 && stage[reserved % WORKERS] == READY ->
#endif
        first(SUSPECT, k);
        u = reserved;
        give(k, u);
        has_suspect[u] = (count(u) > 0)
    :: else
    fi;
    k = 0;
    u = 0
}

inline give_all()
{
    if
    :: is_any(SUSPECT) -> give_suspects()
    :: else
    fi;
    if
    :: !is_any(SUSPECT) && reserved != NOBODY ->
        u = reserved;
        reserved = NOBODY;
        if
        :: count(u) == 0 -> alone[u] = false
        :: else
        fi;
        u = 0
    :: else
    fi;
    do
    :: is_any(QUEUED) && any_open ->
        choose(u);
        first(QUEUED, k);
        give(k, u);
        k = 0;
        u = 0
    :: else -> break
    od
}

inline tend_one(w)
{
    if
    :: until[w] == LATER -> due(LATER)
    :: until[w] == DUE && stage[w] == ENDING -> kill(w)
    :: until[w] == DUE && stage[w] == READY -> /* a cancelled job is still with it */
        until[w] = NEVER;
        if
        :: is_any(DROPPED) && is_with(0, w) && job[0] == DROPPED -> reason[w] = ASKED; kill(w)
        :: else
        fi
    :: else
    fi;
    if
    :: stage[w] == READY && count(w) == 0 && state == DRAINING && unfinished < staying &&
        !is_any(QUEUED) && !is_any(SUSPECT) -> leave(w, ASKED)
    :: else
    fi
}

inline fill_places()
{
    bool started;

    u = 0;
    do
    :: u < WORKERS && stage[u] == EMPTY && !started && start_at[u] == DUE && staying < wanted ->
        started = true;
        start(u);
        u++
    :: u < WORKERS && !(stage[u] == EMPTY && !started && start_at[u] == DUE && staying < wanted) ->
        u++
    :: u == WORKERS -> break
    od;
    u = 0;
    started = false;
    consider_growth(k);
    k = 0
}

inline tend()
{
    if
    :: timer == DUE ->
        timer = NEVER;
        u = 0;
        do
        :: u < WORKERS -> tend_one(u); u++
        :: u == WORKERS -> break
        od;
        fill_places()
    :: else
    fi
}

inline take_one(w)
{
    if
    :: awake[w] ->
        greeted = greets[w];
        over = is_over(w); /* what it had said before lies there */
        take(w);
        greeted = false;
        if
        :: over && (stage[w] == STARTING || stage[w] == READY) -> leave(w, SILENT)
        :: else
        fi;
        over = false
    :: else
    fi
}

inline lull_one(w)
{
    if
#ifdef BUG_LULLED_UNSEEN
    :: awake[w] -> awake[w] = false
#else
    :: awake[w] && says(w) -> calm = false
    :: awake[w] && !says(w) ->
        awake[w] = false;
        event[w] = (ended[w] && stage[w] != KILLED && stage[w] != ENDING)
#endif
    :: !awake[w]
    fi
}

inline watch_one(w)
{
    if
    :: dies(w) -> greeted = greets[w]; bury(w); greeted = false
    :: event[w] && !dies(w) -> event[w] = false; awake[w] = true
    :: else
    fi
}

inline turn()
{
    atomic { took = false; take_one(0) };
#if WORKERS == 2
    atomic { take_one(1) };
#endif
    atomic { give_all() };
    atomic { tend(); calm = !took; took = false };
    atomic { lull_one(0) };
#if WORKERS == 2
    atomic { lull_one(1) };
#endif
    atomic {
        if
        :: calm && unfinished > 0 -> something || timer == DUE
        :: else
        fi;
        calm = false
    };
    atomic { watch_one(0) };
#if WORKERS == 2
    atomic { watch_one(1) }
#endif
}

inline submit(j)
{
    atomic {
        job[j] == UNKNOWN && state == OPEN ->
        accepted[j] = true;
        job[j] = QUEUED;
        unfinished++;
        consider_growth(k);
        k = 0
    }
}

inline cancel(j)
{
    if
    :: job[j] == QUEUED || job[j] == SUSPECT -> finish(j)
    :: job[j] == GIVEN ->
        /* A stand-in stays with the worker: an answer to it is dropped. */
        u = with[j];
        k = unread[j] + 2 * answered[j];
        finish(j);
        job[j] = DROPPED;
        with[j] = u;
        unread[j] = (k % 2 == 1);
        answered[j] = (k > 1);
        until[u] = (stage[u] == READY -> LATER : until[u]);
        due(LATER);
        u = 0;
        k = 0
    fi
}

/* A worker without jobs has ended. */
inline put_away(w)
{
    event[w] = false;
    if
    :: dies(w) -> stage[w] = EMPTY; live--; leaving--
    :: else
    fi
}

active proctype pool()
{
    byte k, u;
    bool took, calm, greeted, over, several, innocent, barren;

    do
    :: submit(0)
    :: submit(1)
#if JOBS == 3
    :: submit(2)
#endif
#ifdef CANCELS
    :: atomic { job[0] == QUEUED || job[0] == SUSPECT || job[0] == GIVEN -> cancel(0) }
#endif
    :: atomic { state == OPEN && !is_any(UNKNOWN) -> state = DRAINING; due(DUE) }
    :: unfinished > 0 -> turn()
    :: atomic {
            unfinished == 0 && (state == FAILED || !is_any(UNKNOWN)) ->
            state = CLOSING;
            assert(!is_any(GIVEN) && !is_any(QUEUED) && !is_any(SUSPECT));
            k = 0;
            do
            :: k < JOBS -> assert(results[k] == accepted[k]); k++
            :: k == JOBS -> break
            od;
            k = 0;
            do
            :: k < WORKERS -> reason[k] = (stage[k] == EMPTY -> WELL : ASKED); kill(k); k++
            :: k == WORKERS -> break
            od;
            k = 0
        };
        break
    od;
    do
    :: live > 0 ->
        atomic { something; put_away(0) };
#if WORKERS == 2
        atomic { put_away(1) }
#endif
    :: live == 0 -> break
    od;
    assert(leaving == 0 && !alive[0] && !alive[WORKERS - 1])
}

inline speak(w)
{
    event[w] = !awake[w]
}

inline read(j, w)
{
    unread[j] = false;
    runs[j] = (runs[j] < 7 -> runs[j] + 1 : runs[j]);
#if DEPTH == 1
    assert(runs[j] <= 1 + RETRIES)
#endif
}

#define works(w) (alive[w] && up[w] && !ended[w])

inline work(j, w)
{
    read(j, w);
#ifdef POISON
    if
    :: j == 0 -> alive[w] = false
    :: j != 0 -> answered[j] = true; speak(w)
    fi
#endif
}

proctype worker(byte w)
{
end:
    do
    :: atomic { alive[w] && !up[w] && stage[w] == STARTING -> up[w] = true; greets[w] = true; speak(w) }
    :: atomic { alive[w] && stage[w] == KILLED -> alive[w] = false }
    :: atomic { alive[w] && stage[w] == ENDING && reads_none(w) -> alive[w] = false }
    :: atomic { works(w) && is_with(0, w) && unread[0] -> work(0, w) }
    :: atomic { works(w) && is_with(1, w) && unread[1] -> work(1, w) }
#if JOBS == 3
    :: atomic { works(w) && is_with(2, w) && unread[2] -> work(2, w) }
#endif
#ifndef POISON
    :: atomic { works(w) && is_with(0, w) && !unread[0] && !answered[0] ->
            answered[0] = true; speak(w) }
    :: atomic { works(w) && is_with(1, w) && !unread[1] && !answered[1] ->
            answered[1] = true; speak(w) }
#if JOBS == 3
    :: atomic { works(w) && is_with(2, w) && !unread[2] && !answered[2] ->
            answered[2] = true; speak(w) }
#endif
#endif
#ifdef DEATHS
    :: atomic { alive[w] && deaths > 0 -> alive[w] = false; die_once() }
    :: atomic { alive[w] && up[w] && !ended[w] && deaths > 0 ->
            ended[w] = true; die_once(); speak(w) }
#endif
    od
}

/* What is to be later is due some time. */
active proctype clock()
{
end:
    do
    :: atomic { until[0] == LATER -> until[0] = DUE }
    :: atomic { start_at[0] == LATER -> start_at[0] = DUE }
#if WORKERS == 2
    :: atomic { until[1] == LATER -> until[1] = DUE }
    :: atomic { start_at[1] == LATER -> start_at[1] = DUE }
#endif
    :: atomic { timer == LATER -> timer = DUE }
    od
}

init
{
    atomic {
        run worker(0);
#if WORKERS == 2
        run worker(1)
#endif
    }
}
