/*
 * The TPM's device. Its _DSM is the Physical Presence Interface 1.3 (TCG, 5.1), over the pair of ports that Hyper-V's TPM has
 * (spec/tpm_crb.h), function by function as Hyper-V's firmware answers it (mu_msvm MsvmPkg/AcpiTables/Dsdt.asl).
 */
#include "spec/tpm.h"
#include "spec/tpm_crb.h"
#include "vmm/loader/aml.h"
#include "vmm/loader/loader.h"
#include "vmm/mem/places.h"

#define FUNCTION 2u /* arguments of _DSM: UUID, revision, function, package */
#define PACKAGE 3u
#define PPI_NOT_IMPLEMENTED 3u
#define PPI_REBOOT 2u

/* 3dddfaa6-361b-4eb4-a424-8d10089d1653 as ToUUID() stores it */
static const u8 ppi_uuid[16] = { 0xa6, 0xfa, 0xdd, 0x3d, 0x1b, 0x36, 0xb4, 0x4e, 0xa4, 0x24, 0x8d, 0x10, 0x08, 0x9d, 0x16, 0x53 };

/* the control port: what the data port stands for from now on */
static void choose(struct aml *a, u8 command)
{
	aml_byte(a, AML_STORE);
	aml_integer(a, command);
	aml_put(a, "CTLP", 4);
}

/* the data port = package[index] */
static void pass(struct aml *a, u8 index)
{
	aml_put(a, (u8[]){ AML_STORE, AML_DEREF, AML_INDEX, (u8)(AML_ARG0 + PACKAGE) }, 4);
	aml_integer(a, index);
	aml_byte(a, 0);
	aml_put(a, "DATP", 4);
}

static void return_data(struct aml *a)
{
	aml_byte(a, AML_RETURN);
	aml_put(a, "DATP", 4);
}

/* Package () { 0, what the ports say to each of the commands } */
static void return_package(struct aml *a, const u8 *commands, u8 count)
{
	const u8 zeroes[] = { 0, 0, 0 };

	/* 0x12, PkgLength in one byte, the number of elements */
	aml_put(a, (u8[]){ AML_STORE, 0x12, (u8)(count + 3), (u8)(count + 1) }, 4);
	aml_put(a, zeroes, count + 1u);
	aml_byte(a, AML_LOCAL0);
	for (u8 i = 0; i < count; i++) {
		choose(a, commands[i]);
		aml_byte(a, AML_STORE);
		aml_put(a, "DATP", 4);
		aml_put(a, (u8[]){ AML_INDEX, AML_LOCAL0 }, 2);
		aml_integer(a, i + 1u);
		aml_byte(a, 0);
	}
	aml_put(a, (u8[]){ AML_RETURN, AML_LOCAL0 }, 2);
}

static void return_constant(struct aml *a, u8 function, u64 value)
{
	size_t mark = aml_if_argument(a, FUNCTION, function);

	aml_return_integer(a, value);
	aml_close(a, mark);
}

/* a request; with a second integer, which one more command takes first (Hyper-V's firmware drops it) */
static void request(struct aml *a)
{
	size_t mark = aml_if_argument(a, FUNCTION, 7), second = aml_if(a);

	/* SizeOf (Arg3) > 1 */
	aml_put(a, (u8[]){ AML_GREATER, AML_SIZEOF, (u8)(AML_ARG0 + PACKAGE), 1 }, 4);
	choose(a, TPM_PORT_PPI_SET_OPERATION_ARG);
	pass(a, 1);
	aml_close(a, second);
	choose(a, TPM_PORT_PPI_SET_OPERATION);
	pass(a, 0);
	return_data(a);
	aml_close(a, mark);
}

static void presence(struct aml *a)
{
	size_t mark = aml_if_argument(a, FUNCTION, 0);

	aml_byte(a, AML_RETURN);
	aml_buffer(a, "\xff\x01", 2); /* functions 0 to 8 */
	aml_close(a, mark);
	mark = aml_if_argument(a, FUNCTION, 1);
	aml_byte(a, AML_RETURN);
	aml_string(a, "1.3");
	aml_close(a, mark);
	return_constant(a, 2, PPI_NOT_IMPLEMENTED);
	mark = aml_if_argument(a, FUNCTION, 3);
	return_package(a, (u8[]){ TPM_PORT_PPI_PENDING_OPERATION }, 1);
	aml_close(a, mark);
	return_constant(a, 4, PPI_REBOOT);
	mark = aml_if_argument(a, FUNCTION, 5);
	return_package(a, (u8[]){ TPM_PORT_PPI_LAST_OPERATION, TPM_PORT_PPI_LAST_RESULT }, 2);
	aml_close(a, mark);
	return_constant(a, 6, PPI_NOT_IMPLEMENTED);
	request(a);
	mark = aml_if_argument(a, FUNCTION, 8);
	choose(a, TPM_PORT_PPI_USER_CONFIRMATION);
	pass(a, 0);
	return_data(a);
	aml_close(a, mark);
}

void acpi_tpm_device(struct aml *a)
{
	size_t device = aml_device(a, "TPM2");

	aml_name(a, "_HID");
	aml_string(a, "MSFT0101");
	aml_name(a, "_CID");
	aml_string(a, "VTPM0101");
	aml_name(a, "_UID");
	aml_integer(a, 1);
	aml_name(a, "_STA");
	aml_integer(a, 15);
	size_t crs = aml_crs_open(a);

	/* the registers that the table names first: drivers look there for those of the locality */
	aml_res_memory(a, (u32)places[PLACE_TPM_REGISTERS].base, (u32)places[PLACE_TPM_REGISTERS].len);
	aml_res_memory(a, (u32)places[PLACE_TPM_BUFFERS].base, (u32)places[PLACE_TPM_BUFFERS].len);
	aml_res_memory(a, TPM_CRB_BASE, PAGE_SIZE);
	aml_crs_close(a, crs);
	aml_ports(a, "GIO_", TPM_PORT_BASE, TPM_PORT_LEN, "CTLPDATP");
	size_t method = aml_method(a, "_DSM", 4), uuid = aml_if_argument_is(a, 0, ppi_uuid, sizeof(ppi_uuid));

	presence(a);
	aml_return_integer(a, 1);
	aml_close(a, uuid);
	aml_byte(a, AML_RETURN);
	aml_buffer(a, "\0", 1);
	aml_close(a, method);
	aml_close(a, device);
}
