/*
 * The wake rule: how a producer on another thread and an executor that is about to wait never miss each other.
 *
 *   producer                              owner
 *   P1  put the work into the list        O1  state = WAITING          (seq_cst)
 *   P2  old = exchange(state, NOTIFIED)   O2  is the list empty?       (seq_cst)
 *   P3  if old == WAITING: kick()         O3  yes: wait; no: go on
 *                                         O4  state = AWAKE, then drain the list
 *
 * P1/P2 and O1/O2 are a store followed by a load of the other side's variable, all seq_cst, so in their total order
 * either O1 comes before P2, and then the producer sees WAITING and kicks, or P2 comes before O1, hence P1 before O2, and
 * then the owner sees the work. Both may happen: a spare kick costs one turn. Neither cannot.
 *
 * The kick must stick: it comes when the owner may not yet be inside its wait. An eventfd with a read pending on the ring
 * does (the completion waits in the ring; wait looks at the ring first). For a VP the same completion reaches mshv_vtl
 * through MSHV_SET_POLL_FILE, which sets `cancel` in the run page. The VP therefore clears `cancel` first, then looks at
 * the ring and the list (exec_pending), then enters: a completion before the clearing is seen by the look, one after it
 * finds `cancel` cleared and sets it, and the kernel checks it with interrupts off before entering VTL0. So the order
 * clear -> look -> enter is the whole rule, and it is in vmm/vp/vp.c in that order.
 *
 * Between P3 of two producers only the first finds WAITING: kicks do not pile up.
 */
#pragma once

#include <stdatomic.h>

#include "lib/core/types.h"

enum wake_state { WAKE_AWAKE, WAKE_WAITING, WAKE_NOTIFIED };

struct wake {
	atomic_uint state;
};

/* P2; true: the caller must kick (P3) */
bool wake_notify(struct wake *wake);
/* O1 */
void wake_prepare(struct wake *wake);
/* O4 */
void wake_done(struct wake *wake);
