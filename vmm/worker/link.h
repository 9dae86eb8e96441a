/*
 * Between control process and worker. Little endian, host-sized: both ends come from one build.
 *
 * Launch: fd 3 SOCK_STREAM (requests), fd 4 VTL (MSHV_CREATE_VTL; VTL0's memory already added), fd 5 /dev/mshv_vtl_low, fd 6
 * /dev/mshv_hvcall, fd 7 SOCK_SEQPACKET (notifications, worker to control), fd 8 a memory file with the host's VTL2 settings
 * document (may be empty), fd 9 a listening
 * socket for debuggers of VTL0, or /dev/null: nobody is to debug, fd 10 SOCK_SEQPACKET (devices that other processes play, struct
 * link_device), or /dev/null: there are none. End of file on fd 3 ends the worker.
 *
 * Request on fd 3: struct link_request, then path_len bytes of path, then value_len bytes of value (updates).
 * Reply: struct link_reply, then its body: Node bytes for inspect, Value bytes for update. Replies carry the request's id and
 * may come in another order. A malformed request ends the worker: the stream cannot be trusted any more.
 */
#pragma once

#include "lib/core/types.h"
#include "spec/get.h"

#define LINK_FD_REQUESTS 3
#define LINK_FD_VTL 4
#define LINK_FD_LOW 5
#define LINK_FD_HVCALL 6
#define LINK_FD_NOTIFY 7
#define LINK_FD_SETTINGS 8
#define LINK_FD_GDB 9
#define LINK_FD_DEVICES 10
#define LINK_FD_LAST LINK_FD_DEVICES

#define LINK_BODY_MAX 1024u          /* path and value together */
#define LINK_REQUESTS_MAX 8u         /* under way at once; one more answers -EBUSY */

enum link_op { LINK_INSPECT = 1, LINK_UPDATE = 2, LINK_STOP = 3, /* stop all VPs, reply, end with status 0 */
	       /* fd 8 has another document. Body of the reply: empty, or why nothing was changed, as GET's result document */
	       LINK_SETTINGS = 4,
	       LINK_PAUSE = 5,    /* no VP enters VTL0; answered when none is in it. -EALREADY,
		       -EAGAIN (VTL0 was not started yet) */
	       LINK_RESUME = 6,   /* -EALREADY when not paused, -ENOTRECOVERABLE: its state was spoilt */
	       /* body: the saved state of VPs and devices (lib/state), taken while no VP runs. -ETIME: a disk does not answer */
	       LINK_SAVE = 7 };

struct link_request {
	u32 len;       /* of what follows this field */
	u32 id;
	u8 op;
	u8 depth;
	u16 path_len;
	u16 value_len;
	u16 limit;     /* inspect: enum node_sensitivity, 0 for everything */
};
_Static_assert(sizeof(struct link_request) == 16, "link request");

struct link_reply {
	u32 len;       /* of what follows this field */
	u32 id;
	s32 error;     /* 0 or -errno; an inspect error is a Node of its own kind, not this */
};
_Static_assert(sizeof(struct link_reply) == 12, "link reply");

enum link_notification {
	LINK_STARTED = 1,    /* VTL0 runs */
	LINK_POWER_OFF,      /* VTL0 asked; its VPs are stopped */
	LINK_RESET,          /* likewise; the host reloads the image */
	LINK_WATCHDOG,       /* a reset, since VTL0's watchdog expired */
	LINK_TRIPLE_FAULT,   /* all VPs are stopped */
	LINK_GUEST_CRASH,    /* VTL0 reported through the crash MSRs; it runs on */
	LINK_FAILED,         /* the worker cannot go on; it ends, or waits for inspection with its VPs stopped */
};

/*
 * On fd 10. To the worker, with two descriptors (events, commands): its process is ready, the first time or again; without, and
 * with an error: nobody plays it any more, or never will. From the worker: that process is to be ended; another may follow.
 */
enum link_device_id { LINK_DEVICE_TPM = 1 };
struct link_device {
	u32 device; /* enum link_device_id */
	s32 error;
};
_Static_assert(sizeof(struct link_device) == 8, "link device");

#define LINK_TEXT_MAX 240u
#define LINK_REGISTERS_MAX 40u
struct link_notify {
	u32 type;
	u32 vp;
	u64 now_ns;               /* CLOCK_MONOTONIC, when it happened */
	char text[LINK_TEXT_MAX]; /* NUL-terminated */
	u32 register_count;       /* with TRIPLE_FAULT and GUEST_CRASH (vmm/vp/vp.h) */
	struct get_register registers[LINK_REGISTERS_MAX];
};
