/* A serial port's bytes between VTL2 and its host. Source: openvmm vm/devices/serial/vmbus_serial_protocol. */
#pragma once

#include "lib/core/guid.h"

#define UART_INTERFACE GUID(0x8b60ccf6, 0x709f, 0x4c11, 0x90, 0xb5, 0x22, 0x9c, 0x95, 0x9a, 0x9e, 0x6a)
#define UART_COM1 GUID(0x700df40e, 0xb947, 0x4776, 0xb8, 0x39, 0xd1, 0xb0, 0xa3, 0x5a, 0xf0, 0x34)
#define UART_COM2 GUID(0x7e55f4b8, 0xaf84, 0x4e98, 0x9f, 0x1a, 0x8e, 0x8d, 0x0b, 0xde, 0x37, 0x44)
#define UART_VERSION 0x10000u
#define UART_PAYLOAD_MAX 64

enum uart_message_type { UART_HOST_NOTIFICATION = 1, UART_HOST_REQUEST = 2, UART_HOST_RESPONSE = 3, UART_GUEST_NOTIFICATION = 4 };
enum uart_host_notification { UART_RX_CLEAR_BUFFER = 1, UART_TX_DATA_AVAILABLE = 2 };
enum uart_guest_notification { UART_RX_DATA_AVAILABLE = 1, UART_SET_MODEM_STATUS = 2, UART_TX_COMPLETED = 3 };
enum uart_request { UART_VERSION_REQUEST = 1, UART_GET_RX_DATA = 2 };

struct uart_header {
	u8 version, type;
	u16 id;
};

struct uart_tx_data {
	struct uart_header header;
	u8 length, data[UART_PAYLOAD_MAX], pad;
};
_Static_assert(sizeof(struct uart_tx_data) == 70, "vmbus_serial_protocol TxDataAvailableMessage");

struct uart_modem_status {
	struct uart_header header;
	u8 modem_status, connected;
};

struct uart_version_request {
	struct uart_header header;
	u32 version;
};

struct uart_version_response {
	struct uart_header header;
	u8 accepted, pad;
};

struct uart_rx_data {
	struct uart_header header;
	u8 length, more, data[UART_PAYLOAD_MAX];
};
_Static_assert(sizeof(struct uart_rx_data) == 70, "vmbus_serial_protocol RxDataResponse");
