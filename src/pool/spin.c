/* SPDX-License-Identifier: MIT */
/*
 * What a pool does before it sleeps: it looks for an answer for a moment, because to be woken takes
 * longer than most answers; or it naps, because it would be woken too often.
 */
#include "pool/pool.h"

#include "channel/channel.h"
#include "channel/spin.h"
#include "wire/ring.h"

#include <poll.h>

enum {
    /* Looks between two looks at the clock. */
    SPIN_TURNS = 32,
    /* See set_apart(). */
    APART_NS = 5 * 1000 * 1000,
    APART_PAUSE_NS = 500 * 1000 * 1000,
    /* So many jobs for each are plenty; and how long a nap may be, and must be to be worth it. */
    PLENTY = 3,
    NAP_MAX_NS = 200 * 1000,
    NAP_MIN_NS = 15 * 1000,
    /* An answer that comes within this is prompt. */
    PROMPT_NS = 25 * 1000,
};

#define APART_PAUSE_MAX_NS ((uint64_t)8 * 1000 * 1000 * 1000)

/* How answers may come that are worth a look before a sleep. */
struct prospect {
    bool ring;   /* from somebody who is at it, on another processor than ours */
    bool beside; /* from somebody who waits for our processor */
    bool socket; /* as an event */
};

static struct prospect look_ahead(const dx_pool *pool)
{
    struct prospect prospect = {false, false, false};

    for (struct dxi_worker *worker = pool->first_awake; worker; worker = worker->next_awake) {
        if (worker->jobs.count == 0 || worker->stage != DXI_STAGE_READY)
            continue;
        if (!dxi_channel_hears_ring(worker->channel)) {
            prospect.socket = true;
            continue;
        }
        enum dxi_peer peer = dxi_channel_peer(worker->channel);

        prospect.ring = prospect.ring || peer == DXI_PEER_AWAKE;
        prospect.beside = prospect.beside || peer == DXI_PEER_BESIDE;
    }
    return prospect;
}

static bool any_rings(const dx_pool *pool)
{
    for (const struct dxi_worker *worker = pool->first_awake; worker; worker = worker->next_awake) {
        if (worker->channel && dxi_channel_rings(worker->channel) &&
            !dxi_worker_muted(pool, worker))
            return true;
    }
    return false;
}

/* Look until then. True if something has come. */
static bool look_until(dx_pool *pool, const struct prospect *prospect, uint64_t end)
{
    do {
        bool rings = false;

        for (int turn = 0; turn < SPIN_TURNS && (prospect->ring || prospect->beside) && !rings;
             turn++) {
            rings = any_rings(pool);
            dxi_relax();
        }
        if (rings || (prospect->socket && dxi_pool_watch(pool, 0) != 0))
            return true;
    } while (dxi_os->now_ns() < end);
    return false;
}

/*
 * Whoever sleeps while his worker is woken by him is put on one processor with it, though others have
 * nothing to do: kernels do that where processors share no cache. They are set apart only if both want
 * to run until the scheduler looks around. So now and then, if all who are at it are beside us, run so
 * long; and if that did not help, not soon again.
 */
static bool set_apart(dx_pool *pool, const struct prospect *prospect, uint64_t deadline_ns)
{
    if (!prospect->beside || prospect->ring || pool->now_ns < pool->apart_ns)
        return false;
    uint64_t end = pool->now_ns + APART_NS;

    if (end > deadline_ns || end > pool->timer_ns)
        return false;
    bool found = look_until(pool, prospect, end);
    bool helped = look_ahead(pool).ring;

    if (helped || pool->apart_pause_ns == 0)
        pool->apart_pause_ns = APART_PAUSE_NS;
    else if (pool->apart_pause_ns < APART_PAUSE_MAX_NS)
        pool->apart_pause_ns *= 2;
    pool->apart_ns = dxi_os->now_ns() + pool->apart_pause_ns;
    if (helped)
        pool->spin.penalty = pool->spin.skip = 0;
    return found;
}

/*
 * Look for an answer for a while: a wake-up costs more than most answers. The penalty bounds what that
 * costs in vain.
 */
bool dxi_pool_spin(dx_pool *pool, uint64_t deadline_ns)
{
    struct prospect prospect;
    uint64_t end = pool->now_ns + pool->spin.limit_ns;

    if (pool->spin.limit_ns == 0)
        return false;
    prospect = look_ahead(pool);
    if (set_apart(pool, &prospect, deadline_ns))
        return true;
    prospect.beside = false;
    if (dxi_spin_skips(&pool->spin))
        return false;
    if (!prospect.ring && !prospect.socket)
        return false;
    if (look_until(pool, &prospect, end < deadline_ns ? end : deadline_ns)) {
        dxi_spin_paid(&pool->spin);
        return true;
    }
    dxi_spin_was_in_vain(&pool->spin);
    return false;
}

/* What was withheld from those that sleep is given to them if the others do not get on with it. */
bool dxi_pool_spare(dx_pool *pool)
{
    struct prospect prospect;

    if (!dxi_pool_is_sparing(pool))
        return false;
    prospect = look_ahead(pool);
    prospect.socket = false;
    if (prospect.ring && pool->spin.limit_ns > 0 &&
        look_until(pool, &prospect, pool->now_ns + PROMPT_NS))
        return true;
    pool->prompt = 0;
    dxi_pool_give(pool);
    return false;
}

/*
 * Workers that have plenty to do are left at it for a moment, and their answers taken together: each
 * wake-up of ours would take the processor from one of them.
 */
void dxi_pool_nap(dx_pool *pool, uint64_t until)
{
    size_t given = pool->unfinished - pool->queue.count - pool->suspects.count;
    uint64_t nap;

    if (pool->options.depth != DX_DEPTH_AUTO || pool->ready == 0 ||
        given < (size_t)PLENTY * pool->ready)
        return;
    nap = pool->service_ns * (given / pool->ready) / 4;
    if (nap > NAP_MAX_NS)
        nap = NAP_MAX_NS;
    if (nap >= NAP_MIN_NS && pool->now_ns + nap < until)
        (void)dxi_os->poll(NULL, 0, pool->now_ns + nap);
}
