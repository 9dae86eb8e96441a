/* UART over VMBus. Source: openvmm vm/devices/serial/vmbus_serial_protocol/src/lib.rs. Little endian, packed. */
#pragma once

#include "lib/core/guid.h"

#define SERIAL_INSTANCE_COM1 GUID(0x700df40e, 0xb947, 0x4776, 0xb8, 0x39, 0xd1, 0xb0, 0xa3, 0x5a, 0xf0, 0x34)
#define SERIAL_INSTANCE_COM2 GUID(0x7e55f4b8, 0xaf84, 0x4e98, 0x9f, 0x1a, 0x8e, 0x8d, 0x0b, 0xde, 0x37, 0x44)
#define SERIAL_VERSION 0x10000u /* Manganese */
#define SERIAL_PAYLOAD_MAX 64

enum serial_type { SERIAL_HOST_NOTIFICATION = 1, SERIAL_HOST_REQUEST, SERIAL_HOST_RESPONSE, SERIAL_GUEST_NOTIFICATION };
enum { SERIAL_RX_CLEAR = 1, SERIAL_TX_DATA = 2 };                               /* host notifications: from us */
enum { SERIAL_RX_AVAILABLE = 1, SERIAL_MODEM_STATUS = 2, SERIAL_TX_COMPLETED = 3 }; /* guest notifications: to us */
enum { SERIAL_REQUEST_VERSION = 1, SERIAL_REQUEST_RX = 2 };

struct serial_header {
	u8 version; /* 1 */
	u8 type;
	u16 id;
};

struct serial_version_request {
	struct serial_header header;
	u32 version;
};

struct serial_tx {
	struct serial_header header;
	u8 len;
	u8 data[SERIAL_PAYLOAD_MAX];
	u8 pad;
};
_Static_assert(sizeof(struct serial_tx) == 70, "TxDataAvailableMessage");
