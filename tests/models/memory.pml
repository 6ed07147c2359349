/* SPDX-License-Identifier: MIT */
/*
 * The shared memory of the fast lane, for the models that include this: two rings, one a direction,
 * and what a processor may do with the stores of each side before the other side sees them.
 *
 * A side's store waits in its buffer. A release store leaves when it is the oldest; any other as
 * soon as no older store to the same variable waits. That is weaker than x86 (all leave in their
 * order) and as weak as C11 lets stores be here. A fence waits until the buffer is empty. An
 * exchange happens in memory, after all older stores. Loads happen in the order in which they are
 * written: the bugs that reorder them are planted one by one.
 *
 * Direction D is that which side D sends by; the other side is 1 - D. Counters rise modulo twice
 * the cells. A cell holds the counter of the moment when it was written, so one that is read before
 * it was written, or was overwritten before it was read, has another value than is expected.
 */
#ifndef CELLS
#define CELLS 2
#endif
#ifndef STORES
#define STORES 3 /* that a buffer holds */
#endif
#define LAP (2 * CELLS)
#define after(counter, steps) (((counter) + (steps)) % LAP)
#define between(from, to) (((to) + LAP - (from)) % LAP)

#define TAIL(d) (d)
#define HEAD(d) (2 + (d))
#define ASLEEP(d) (4 + (d))
#define STARVED(d) (6 + (d))
#define BASE(d) (8 + (d))
#define CELL(d, place) (10 + (d) * CELLS + (place) % CELLS)

byte memory[10 + 2 * CELLS];
chan stores[2] = [STORES] of {byte, byte};

#define store(variable, value) stores[me]!variable, value
#define fence() empty(stores[me])
#define exchange(variable, was) \
    atomic { empty(stores[me]) -> was = memory[variable]; memory[variable] = 0 }
#define leaves(variable) \
    :: atomic { stores[me]??eval(variable), value -> memory[variable] = value; value = 0 }
#define oldest_leaves \
    :: atomic { stores[me]?variable, value -> memory[variable] = value; variable = 0; value = 0 }

/* What the processor does behind the back of a side. */
proctype buffer(bit me)
{
    byte variable, value;

end:
    do
    oldest_leaves
    leaves(ASLEEP(1 - me))
    leaves(STARVED(me))
    leaves(BASE(me))
    leaves(CELL(me, 0))
#if CELLS > 1
    leaves(CELL(me, 1))
#endif
#if CELLS > 2
    leaves(CELL(me, 2))
    leaves(CELL(me, 3))
#endif
#ifdef BUG_RELAXED_TAIL
    leaves(TAIL(me))
#endif
    od
}
